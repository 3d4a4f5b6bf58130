"""Curated environments: names, what stands for them, and what is said of those that have no counterpart."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from azureml_local.runtime.conda import read_packages
from azureml_local.workspace.curated import TABLE, counterpart, refusal

DIFFERENCES = Path(__file__).parents[2] / "docs" / "differences.md"


@pytest.mark.parametrize("one", TABLE, ids=lambda one: one.name)
def test_curated_definition_is_one_that_builds_read(one) -> None:  # type: ignore[no-untyped-def]
    packages = read_packages(one.definition()["python"]["condaDependencies"])
    assert {"azureml-core", "azureml-defaults"} <= {each.name for each in packages.named("azureml-")}
    assert packages.python.contains(f"{one.python}.13") if one.python else not packages.python


def test_curated_name_needs_its_prefix_in_a_workspace_but_not_in_the_registry() -> None:
    names = {name: counterpart(name) for name in ("AZUREML-minimal", "AzureML-sklearn-1.5", "sklearn-1.5", "minimal")}
    assert [found.name if found else None for found in names.values()] == ["AzureML-Minimal", "sklearn-1.5", None, None]
    of_registry = [counterpart(name, registry=True) for name in ("SKLEARN-1.5", "AzureML-sklearn-1.5", "sklearn-9.9")]
    assert [found.name if found else None for found in of_registry] == ["sklearn-1.5", "sklearn-1.5", None]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("acpt-pytorch-2.2-cuda12.1", r"needs CUDA.*with torch==2\.2\.\*"),
        ("AzureML-TensorFlow-2.2-GPU", r"needs CUDA.*with tensorflow==2\.2\.\*"),
        ("AzureML-AutoML-DNN", "is AutoML's"),
        ("AzureML-Dask-CPU", "needs MPI"),
        ("AzureML-mine", "isn't in azureml-local's list.*the packages that your script imports"),
    ],
)
def test_refusal_of_a_curated_environment_says_what_to_register(name: str, words: str) -> None:
    assert re.search(rf"(?s){name}.*{words}", refusal(name))


def test_every_curated_environment_is_in_the_documentation() -> None:
    section = DIFFERENCES.read_text().partition("## Curated environments")[2]
    listed = re.findall(r"^\| `([^`]+)` \| ([^|]+) \|", section, flags=re.MULTILINE)
    assert listed == [(one.name, f"{one.python or 'any'}") for one in TABLE]
