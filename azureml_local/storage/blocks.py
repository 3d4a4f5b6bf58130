"""Blocks: pieces of a blob that were uploaded one by one, and that a block list joins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from sqlalchemy import Connection, Table, bindparam, delete, insert, select
from sqlalchemy.orm import Session

from azureml_local.storage.bloberrors import BlobError
from azureml_local.storage.clock import now
from azureml_local.storage.tables import Blob, Block

# Where a block list says that a block is to be looked for.
UNCOMMITTED, COMMITTED, LATEST = "Uncommitted", "Committed", "Latest"

# Without the work of the object mapper, since every small blob that is written asks.
BLOCKS = cast(Table, Block.__table__)
OF_BLOB = (BLOCKS.c.container == bindparam("c"), BLOCKS.c.blob == bindparam("b"))
FILES_OF = select(BLOCKS.c.file).where(*OF_BLOB)
DROP = delete(BLOCKS).where(*OF_BLOB)


@dataclass(frozen=True)
class Part:
    """Where a block's bytes are: a block that waits is a whole file, a committed one a piece of its blob's."""

    id: str
    file: str
    start: int
    size: int


def staged(session: Session, container: str, name: str) -> Sequence[Block]:
    """The blocks of a blob that no list has committed, by id."""
    query = select(Block).where(Block.container == container, Block.blob == name)
    return session.scalars(query.order_by(Block.id)).all()


def stage(session: Session, container: str, name: str, block_id: str, file: str, size: int) -> list[str]:
    """Keep a block. Returns the files that nobody needs any more. Raises BlobError 400 for an odd id."""
    of_blob = (Block.container == container, Block.blob == name)
    other = session.scalar(select(Block.id).where(*of_blob).limit(1))
    if other is not None and len(other) != len(block_id):
        raise BlobError(400, "InvalidBlobOrBlock", "The ids of a blob's blocks must all be of the same length.")
    stale = list(session.scalars(select(Block.file).where(*of_blob, Block.id == block_id)))
    row = {"container": container, "blob": name, "id": block_id, "file": file, "size": size, "created": now()}
    session.execute(insert(Block.__table__).prefix_with("OR REPLACE"), row)  # type: ignore[arg-type]
    return stale


def drop_blocks(connection: Connection, container: str, name: str) -> list[str]:
    """Forget the blocks that wait: the blob was written anew. Returns their files."""
    which = {"c": container, "b": name}
    files = [str(file) for (file,) in connection.execute(FILES_OF, which)]
    if files:
        connection.execute(DROP, which)
    return files


def find_parts(
    session: Session, container: str, name: str, blob: Blob | None, wanted: Sequence[tuple[str, str]]
) -> list[Part]:
    """The parts that a block list names. Raises BlobError 400 InvalidBlockList when one is not there."""
    waiting = {block.id: Part(block.id, block.file, 0, block.size) for block in staged(session, container, name)}
    committed: dict[str, Part] = {}
    start = 0
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
