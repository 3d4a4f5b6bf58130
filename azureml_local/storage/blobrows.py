"""Rows of blobs and blocks, read and written with plain SQLite statements.

An upload of a thousand small files waits for the database a thousand times, and SQLAlchemy takes ten times as long for
one row as SQLite itself. Everything else in the store uses SQLAlchemy, which creates these tables too (`tables`).
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from typing import Any, NamedTuple

from azureml_local.storage.blobnames import LAST
from azureml_local.storage.database import from_json
from azureml_local.storage.tables import Json


class BlobRow(NamedTuple):
    """A committed blob, as a row of `tables.Blob`."""

    container: str
    name: str
    file: str
    size: int
    kind: str
    etag: str
    md5: str | None
    content_type: str
    created: str
    modified: str
    live: bool = False
    blocks: int = 0
    extra: Json | None = None


class BlockRow(NamedTuple):
    """An uncommitted block, as a row of `tables.Block`."""

    container: str
    blob: str
    id: str
    file: str
    size: int
    created: str


BLOB, BLOCK = ", ".join(BlobRow._fields), ", ".join(BlockRow._fields)
FIND = f"SELECT {BLOB} FROM blobs WHERE container = ? AND name = ?"
# One bound on each side: of two, SQLite would use the first one in the statement and scan all names from there.
FROM, AFTER = (
    f"SELECT {BLOB} FROM blobs WHERE container = ? AND name {bound} ? AND name < ? ORDER BY name LIMIT ?"
    for bound in (">=", ">")
)
SAVE = f"INSERT OR REPLACE INTO blobs ({BLOB}) VALUES ({', '.join('?' for _ in BlobRow._fields)})"
REMOVE = "DELETE FROM blobs WHERE container = ? AND name = ?"
BLOCKS = f"SELECT {BLOCK} FROM blocks WHERE container = ? AND blob = ? ORDER BY id"
ANY_BLOCK = f"{BLOCKS} LIMIT 1"
FIND_BLOCK = f"SELECT {BLOCK} FROM blocks WHERE container = ? AND blob = ? AND id = ?"
SAVE_BLOCK = f"INSERT OR REPLACE INTO blocks ({BLOCK}) VALUES ({', '.join('?' for _ in BlockRow._fields)})"
REMOVE_BLOCKS = "DELETE FROM blocks WHERE container = ? AND blob = ?"


def find(rows: sqlite3.Connection, container: str, name: str) -> BlobRow | None:
    row = rows.execute(FIND, (container, name)).fetchone()
    return None if row is None else _blob(row)


def following(
    rows: sqlite3.Connection, container: str, prefix: str, after: str, limit: int | None
) -> Sequence[BlobRow]:
    """The blobs whose names start with ``prefix``, sorted by name, from the first one after ``after``."""
    statement, bound = (FROM, prefix) if after < prefix else (AFTER, after)
    no_limit = -1
    values = (container, bound, prefix + LAST, no_limit if limit is None else limit)
    return [_blob(row) for row in rows.execute(statement, values)]


def save(rows: sqlite3.Connection, blob: BlobRow) -> None:
    """Insert or replace the row of a blob."""
    rows.execute(SAVE, (*blob[:-1], json.dumps(blob.extra)))


def remove(rows: sqlite3.Connection, container: str, name: str) -> None:
    rows.execute(REMOVE, (container, name))


def blocks_of(rows: sqlite3.Connection, container: str, name: str) -> Sequence[BlockRow]:
    """The uncommitted blocks of a blob, by id."""
    return [BlockRow._make(row) for row in rows.execute(BLOCKS, (container, name))]


def any_block(rows: sqlite3.Connection, container: str, name: str) -> BlockRow | None:
    row = rows.execute(ANY_BLOCK, (container, name)).fetchone()
    return None if row is None else BlockRow._make(row)


def find_block(rows: sqlite3.Connection, container: str, name: str, block_id: str) -> BlockRow | None:
    row = rows.execute(FIND_BLOCK, (container, name, block_id)).fetchone()
    return None if row is None else BlockRow._make(row)


def save_block(rows: sqlite3.Connection, block: BlockRow) -> None:
    """Insert or replace the row of an uncommitted block."""
    rows.execute(SAVE_BLOCK, block)


def remove_blocks(rows: sqlite3.Connection, container: str, name: str) -> Sequence[str]:
    """Delete the rows of a blob's uncommitted blocks. Returns their files."""
    files = [block.file for block in blocks_of(rows, container, name)]
    if files:
        rows.execute(REMOVE_BLOCKS, (container, name))
    return files


def _blob(row: Sequence[Any]) -> BlobRow:
    *others, live, blocks, extra = row
    return BlobRow._make((*others, bool(live), blocks, None if extra is None else from_json(extra)))
