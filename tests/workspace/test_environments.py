"""Environments: what submitting registers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from azureml_local.storage.database import Database
from azureml_local.workspace.environments import Environments
from azureml_local.workspace.errors import NotFound


@pytest.fixture
def environments(tmp_path: Path) -> Environments:
    return Environments(Database(tmp_path / "database.sqlite3"))


def definition(**more: Any) -> dict[str, Any]:
    return {"name": "used", "version": None, "python": {"userManagedDependencies": True}, **more}


def test_environment_of_a_run_is_registered_once(environments: Environments) -> None:
    registered = environments.register("used", definition())
    used = environments.used(definition(databricks={"eggLibraries": []}))
    assert (used["version"], used["databricks"]) == (registered.version, {"eggLibraries": []})
    changed = environments.used(definition(version="1", python={"userManagedDependencies": False}))
    assert changed["version"] == "2"
    assert environments.used(definition(version="mine"))["version"] == "mine"


@pytest.mark.parametrize("odd", [{"name": "a/b"}, {"name": None}, {"python": "six"}, {"version": "latest"}])
def test_environment_that_cannot_be_registered_is_left_to_the_run(
    environments: Environments, odd: dict[str, Any]
) -> None:
    assert environments.used(definition(**odd)) == definition(**odd)
    with pytest.raises(NotFound):
        environments.get("used")
