"""Blocks: pieces of a blob that were uploaded one by one, and that a block list joins."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from azureml_local.storage.bloberrors import BlobError
from azureml_local.storage.blobrows import BlockRow, any_block, blocks_of, find, find_block, save_block
from azureml_local.storage.clock import now

# The places that a block list can name for a block.
UNCOMMITTED, COMMITTED, LATEST = "Uncommitted", "Committed", "Latest"


@dataclass(frozen=True)
class Part:
    """Location of a block's bytes: an uncommitted block is a whole file, a committed one a range of its blob's file."""

    id: str
    file: str
    start: int
    size: int


def stage(rows: sqlite3.Connection, container: str, name: str, block_id: str, file: str, size: int) -> Sequence[str]:
    """Store an uncommitted block. Returns the files that are obsolete now. Raises BlobError 400 for an invalid id."""
    other, old = any_block(rows, container, name), find_block(rows, container, name, block_id)
    if other is not None and len(other.id) != len(block_id):
        raise BlobError(400, "InvalidBlobOrBlock", "The ids of a blob's blocks must all be of the same length.")
    save_block(rows, BlockRow(container, name, block_id, file, size, now()))
    return [old.file] if old is not None else []


def find_parts(
    rows: sqlite3.Connection, container: str, name: str, wanted: Sequence[tuple[str, str]]
) -> Sequence[Part]:
    """The parts that a block list names. Raises BlobError 400 InvalidBlockList when one is not there."""
    waiting = {block.id: Part(block.id, block.file, 0, block.size) for block in blocks_of(rows, container, name)}
    committed: dict[str, Part] = {}
    start = 0
    blob = find(rows, container, name)
    for block_id, size in (blob.extra or {}).get("blocks", []) if blob is not None else []:
        assert blob is not None
        committed[block_id] = Part(block_id, blob.file, start, size)
        start += size
    parts = []
    for state, block_id in wanted:
        found = waiting.get(block_id) if state != COMMITTED else None
        if found is None and state != UNCOMMITTED:
            found = committed.get(block_id)
        if found is None:
            raise BlobError(400, "InvalidBlockList", f"The block {block_id!r} of {name!r} was never uploaded.")
        parts.append(found)
    return parts
