"""What goes wrong with disks and files is said in a sentence, with what to do."""

from __future__ import annotations

import errno
import sqlite3
from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError

from azureml_local.storage.folder import StateFolder, StateFolderError
from azureml_local.storage.inspection import lost_parts
from azureml_local.storage.trouble import explain
from azureml_local.workspace import Workspace


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "full"),
        (OSError(errno.EROFS, "Read-only file system"), "unwritable"),
        (PermissionError(errno.EACCES, "Permission denied"), "unwritable"),
        (FileNotFoundError(errno.ENOENT, "No such file", "/state/blobs/ab/" + "ab" * 16), "lost"),
        (OperationalError("INSERT", {}, sqlite3.OperationalError("database or disk is full")), "full"),
        (OperationalError("SELECT", {}, sqlite3.DatabaseError("database disk image is malformed")), "damaged"),
        (sqlite3.OperationalError("attempt to write a readonly database"), "unwritable"),
        (OperationalError("BEGIN", {}, sqlite3.OperationalError("database is locked")), "busy"),
        (FileNotFoundError(errno.ENOENT, "No such file", "/etc/nothing"), None),
        (ValueError("database or disk is full"), None),
    ],
)
def test_storage_error_is_described_by_its_cause(error: Exception, kind: str | None) -> None:
    found = explain(error)
    assert (found and found.kind) == kind


@pytest.fixture
def store(tmp_path: Path) -> StateFolder:
    folder = StateFolder(tmp_path)
    folder.create()
    workspace = Workspace(folder)
    workspace.blobs.put_bytes("c", "x", b"bytes")
    workspace.close()
    assert lost_parts(folder) is None
    return folder


def test_missing_database_is_not_taken_for_a_new_store(store: StateFolder) -> None:
    store.database.unlink()
    assert "is gone, but the blobs" in str(lost_parts(store))


def test_missing_write_ahead_log_is_detected(store: StateFolder) -> None:
    """What the last commits changed is only there until SQLite has copied it into the database."""
    database = store.database
    killed = sqlite3.connect(database)
    killed.execute("UPDATE blobs SET size = 5")
    killed.commit()
    log = database.with_name(database.name + "-wal")
    assert lost_parts(store) is None
    log.unlink()
    assert "held the last changes" in str(lost_parts(store))
    killed.close()


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"signing_key": 1}', "null"])
def test_damaged_secrets_are_reported_in_a_sentence(store: StateFolder, text: str) -> None:
    store.secrets()
    (store.root / "secrets.json").write_text(text)
    with pytest.raises(StateFolderError, match="Delete it to have new secrets made"):
        store.secrets()
