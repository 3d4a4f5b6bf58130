"""The names of a workspace, and when there can be a new one."""

from __future__ import annotations

from pathlib import Path

import pytest

from azureml_local.names import DEFAULT_NAME, WorkspaceName
from azureml_local.storage.database import Database
from azureml_local.workspace.environments import Environments
from azureml_local.workspace.errors import Conflict, Invalid, NotFound
from azureml_local.workspace.identity import Identity


@pytest.fixture
def database(tmp_path: Path) -> Database:
    return Database(tmp_path / "database.sqlite3")


def test_a_workspace_is_created_only_where_nothing_is_yet(database: Database) -> None:
    identity = Identity(database)
    identity.answer_to(DEFAULT_NAME)
    created = WorkspaceName("sub", "group", "created")
    identity.create(created)
    assert Identity(database).find("SUB", "Group", "CREATED") == created
    Environments(database).register("any", {})
    with pytest.raises(Conflict, match="created in group, subscription sub"):
        identity.create(WorkspaceName("sub", "group", "second"))
    with pytest.raises(NotFound):
        identity.find("sub", "group", "second")


@pytest.mark.parametrize("name", ["", "a", "-ab", "a b", "a/b", "../x", "n" * 34, "ab\n"])
def test_workspace_name_invalid_creates_nothing(database: Database, name: str) -> None:
    with pytest.raises(Invalid):
        Identity(database).create(WorkspaceName("sub", "group", name))
