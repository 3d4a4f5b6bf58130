"""The key vault: what it keeps outlives the server, but not the loss of its key."""

from __future__ import annotations

from pathlib import Path

import pytest

from azureml_local.storage.database import Database
from azureml_local.workspace.errors import Conflict, Invalid
from azureml_local.workspace.keyvault import KeyVault


@pytest.fixture
def database(tmp_path: Path) -> Database:
    return Database(tmp_path / "database.sqlite3")


def test_a_secret_outlives_the_server_and_needs_the_stores_key(database: Database) -> None:
    KeyVault(database, "the store's key").set({"name": ("value", "text/plain")})
    assert KeyVault(database, "the store's key").get("NAME") == ("value", "text/plain")
    other = KeyVault(database, "a key made anew")
    with pytest.raises(Conflict, match="Set it again"):
        other.get("name")
    other.set({"Name": ("new", None)})
    assert other.get("name") == ("new", None)
    assert list(other.names()) == ["Name"]


def test_secret_of_the_same_value_is_encrypted_differently_each_time(database: Database, tmp_path: Path) -> None:
    KeyVault(database, "key").set({f"secret-{number}": ("guess me", None) for number in range(2)})
    with database._engine.connect() as connection:
        kept = connection.exec_driver_sql("SELECT value FROM secrets").scalars().all()
    assert len(set(kept)) == 2
    assert not any("guess me" in value for value in kept)


def test_secrets_beyond_the_limit_of_a_batch_are_refused(database: Database) -> None:
    with pytest.raises(Invalid, match="At most 1000"):
        KeyVault(database, "key").set({f"secret-{number}": ("", None) for number in range(1001)})
