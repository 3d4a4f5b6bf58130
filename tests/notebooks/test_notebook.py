"""The notebooks under nbval, as CI runs them: each cell's output against the committed one, on a fresh workspace."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parents[2]
PART_1, SEARCH = "img-classification-part1-training.ipynb", "img-classification-search.ipynb"
PART_2 = "img-classification-part2-deploy.ipynb"
# Part 2 deploys the model of part 1.
TOGETHER = [pytest.param((PART_1, PART_2), id="parts"), pytest.param((SEARCH,), id="search")]
HERE = Path(__file__).parent

pytestmark = pytest.mark.slow


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of what a reader has: the run leaves its traces there."""
    for folder in ("notebooks", "sklearn-mnist"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("data", "__pycache__"))
    shutil.copy(ROOT / "utils.py", tmp_path)
    return tmp_path


def nbval(
    project: Path, names: Sequence[str], sanitize: Path, *, mnist: str | None = None, **variables: str
) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if key != "AZUREML_LOCAL_MNIST"} | variables
    environment |= {"AZUREML_LOCAL_OFFLINE": "1"} if mnist is None else {"AZUREML_LOCAL_MNIST": mnist}
    command = [sys.executable, "-m", "pytest", "-pno:cacheprovider", "-pno:schemathesis", "--azureml-local", "--nbval"]
    options = ["--nbval-current-env", "--nbval-sanitize-with", str(sanitize), "--rootdir", str(project), "-q"]
    return subprocess.run(
        [*command, *options, *(f"notebooks/{name}" for name in names)],
        cwd=project,
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
    )


@pytest.fixture
def embedded_sanitizer(tmp_path: Path) -> Path:
    joined = tmp_path / "sanitize.cfg"
    joined.write_text("\n".join((HERE / name).read_text() for name in ("sanitize.cfg", "sanitize-embedded.cfg")))
    return joined


@pytest.mark.parametrize("names", TOGETHER)
def test_outputs_are_the_committed_ones_on_the_real_mnist(project: Path, names: Sequence[str]) -> None:
    mnist = os.environ.get("AZUREML_LOCAL_MNIST")
    if not mnist:
        pytest.skip("AZUREML_LOCAL_MNIST names no folder with the original MNIST")
    done = nbval(project, names, HERE / "sanitize.cfg", mnist=mnist)
    assert done.returncode == 0, done.stdout[-6000:]


@pytest.mark.sdk("RunDetails.show", "MNIST.get_file_dataset")
@pytest.mark.parametrize("names", TOGETHER)
def test_outputs_are_the_committed_ones_but_for_the_figures_on_the_embedded_digits(
    project: Path, embedded_sanitizer: Path, names: Sequence[str]
) -> None:
    # As on a compute instance of Azure's, where part 1 draws the SDK's widget.
    done = nbval(project, names, embedded_sanitizer, CI_NAME="an-instance")
    assert done.returncode == 0, done.stdout[-6000:]


def test_notebook_with_a_broken_cell_fails(project: Path, embedded_sanitizer: Path) -> None:
    path = project / "notebooks" / PART_1
    notebook = nbformat.read(path, as_version=4)
    (cell,) = [cell for cell in notebook.cells if cell.id == "workspace-connect"]
    cell.source = cell.source.replace("ws.location", "ws.lokation")
    # Up to there is enough.
    notebook.cells = notebook.cells[: notebook.cells.index(cell) + 1]
    nbformat.write(notebook, path)
    done = nbval(project, [PART_1], embedded_sanitizer)
    assert done.returncode == 1
    assert "lokation" in done.stdout
