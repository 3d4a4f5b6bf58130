"""Read-only consistency checks of a store."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from azureml_local.storage.folder import StateFolder

MOST = 20


@dataclass
class BlobFiles:
    """Differences between the files of the blob folder and the rows of the database."""

    count: int = 0
    size: int = 0
    missing: list[str] = field(default_factory=list)  # names of blobs whose file is gone
    short: list[str] = field(default_factory=list)  # names of blobs whose file has fewer bytes than the row says
    orphaned: list[str] = field(default_factory=list)  # files that no row names


def lost_parts(folder: StateFolder) -> str | None:
    """Why a store must not be opened: a part of its database is missing, and writing to it would lose more."""
    database = folder.database
    if not database.exists():
        if any(blob_files_in(folder.blobs)):
            return (
                f"The database {database} is gone, but the blobs of the workspace are still there. Put it back or "
                "restore a backup; `azureml-local reset` starts an empty workspace."
            )
        return None
    # SQLite removes both when the last process closes the database, the index first; so an index alone says that
    # another program removed the log.
    index, log = (database.with_name(database.name + ending) for ending in ("-shm", "-wal"))
    if index.exists() and not log.exists():
        return (
            f"The file {log} is gone; it held the last changes of the workspace. Put it back or restore a backup; "
            f"to go on without these changes, remove {index.name} too."
        )
    return None


def blob_files_in(root: Path) -> Iterator[str]:
    """Names of the files in the blob folder, in the form that rows use."""
    for folder, _, names in os.walk(root):
        relative = Path(folder).relative_to(root).as_posix()
        for name in names:
            yield name if relative == "." else f"{relative}/{name}"


def open_read_only(path: Path) -> contextlib.closing[sqlite3.Connection]:
    """Open a database for reading, whether or not a server is writing it. Raises sqlite3.Error.

    Call `lost_parts` first: SQLite recreates missing files, which would hide the loss.
    """
    # SQLite makes an index of the log even for reading. Where it can't, and there is no log, no process is writing
    # either.
    fixed = not os.access(path.parent, os.W_OK) and not path.with_name(path.name + "-wal").exists()
    words = f"file:{quote(os.fsencode(path))}?mode=ro{'&immutable=1' if fixed else ''}"
    return contextlib.closing(sqlite3.connect(words, uri=True, timeout=5))


def damage(connection: sqlite3.Connection) -> list[str]:
    """Errors that SQLite finds in the whole file (``PRAGMA integrity_check``); empty when there are none."""
    try:
        found = [str(row[0]) for row in connection.execute(f"PRAGMA integrity_check({MOST})")]
        strangers = connection.execute("PRAGMA foreign_key_check").fetchmany(MOST)
    except sqlite3.DatabaseError as error:
        return [str(error)]
    return [*(line for line in found if line != "ok"), *(f"{row[0]}: a row refers to nothing" for row in strangers)]


def compare_blobs(connection: sqlite3.Connection, root: Path) -> BlobFiles:
    """Compare the rows of blobs with the files. On a running store a file that is just being uploaded counts as
    orphaned.
    """
    files = set(blob_files_in(root))
    found = BlobFiles()
    rows = "SELECT container || '/' || name, file, size, live FROM blobs"
    blocks = "SELECT container || '/' || blob || ' (a block)', file, size, 0 FROM blocks"
    for name, file, size, live in connection.execute(f"{rows} UNION ALL {blocks}"):
        found.count += 1
        found.size += size
        files.discard(file)
        try:
            there = (root / file).stat().st_size
        except OSError:
            found.missing.append(name)
            continue
        if there < size and not live:
            found.short.append(name)
    found.orphaned = sorted(files)
    return found
