"""Blobs: bytes as files, names in the database.

A blob's name never becomes a path: its bytes lie in a file with a random name, and the database says which.
So no name can reach outside the folder, names that differ only by case stay apart, and a blob is replaced
whole or not at all: the file is complete before the row that names it is committed.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from azureml_local.storage.clock import now
from azureml_local.storage.database import Database
from azureml_local.storage.tables import Blob, Block

logger = logging.getLogger("azureml_local.storage")

BLOCK_BLOB = "BlockBlob"
APPEND_BLOB = "AppendBlob"
MAX_BLOB_NAME = 1024


class BlobError(Exception):
    """A blob operation that can't be done. ``code`` and ``status`` are the blob service's own."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code = status, code


@dataclass(frozen=True)
class Upload:
    """Bytes that have arrived in a file of ours and belong to no blob yet."""

    path: Path
    size: int
    md5: bytes


class UploadWriter:
    """Takes bytes as they come; ``finish`` gives the Upload, ``discard`` forgets what was not finished.

    A finished upload belongs to whom it is given to: the store removes its file itself when it can't keep it. Were
    it removed by others, after a failure or a cancelled request, its row might have been committed already.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("wb")
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._size = 0

    def write(self, data: bytes) -> None:
        self._file.write(data)
        self._md5.update(data)
        self._size += len(data)

    def finish(self) -> Upload:
        self._file.close()
        return Upload(self._path, self._size, self._md5.digest())

    def __enter__(self) -> UploadWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self.discard()

    def discard(self) -> None:
        if not self._file.closed:
            # On a full disk closing fails too; the file goes all the same, and makes room.
            with contextlib.suppress(OSError):
                self._file.close()
            self._path.unlink(missing_ok=True)


class BlobStore:
    """The blobs of one store."""

    def __init__(self, database: Database, root: Path) -> None:
        self._database = database
        self._root = root

    # Reading ------------------------------------------------------------------------------------------------

    def get(self, container: str, name: str) -> Blob:
        """Raises BlobError 404 BlobNotFound."""
        with self._database.read() as session:
            blob = session.get(Blob, (container, name))
        if blob is None:
            raise BlobError(404, "BlobNotFound", f"The blob {name!r} doesn't exist in the container {container!r}.")
        return self._measured(blob)

    def exists(self, container: str, name: str) -> bool:
        with self._database.read() as session:
            return session.get(Blob, (container, name)) is not None

    def list(self, container: str, prefix: str = "", after: str = "", limit: int | None = None) -> Sequence[Blob]:
        """Blobs in order of their names, from the first one after ``after``."""
        query = select(Blob).where(Blob.container == container, Blob.name > after).order_by(Blob.name)
        if prefix:
            # A range on the primary key: LIKE would fold case and read % and _ as wildcards.
            query = query.where(Blob.name >= prefix, Blob.name < prefix + "\U0010ffff")
        with self._database.read() as session:
            return [self._measured(blob) for blob in session.scalars(query.limit(limit))]

    def path(self, blob: Blob) -> Path:
        """The file with a blob's bytes; read it, don't write it."""
        return self._root / blob.file

    def read_bytes(self, container: str, name: str) -> bytes:
        return self.path(self.get(container, name)).read_bytes()

    def _measured(self, blob: Blob) -> Blob:
        if blob.live:
            blob.size = self.path(blob).stat().st_size
        return blob

    # Writing ------------------------------------------------------------------------------------------------

    def writer(self) -> UploadWriter:
        return UploadWriter(self._new_file())

    def put(
        self,
        container: str,
        name: str,
        upload: Upload,
        *,
        kind: str = BLOCK_BLOB,
        content_type: str = "application/octet-stream",
        only_if_absent: bool = False,
    ) -> Blob:
        """Make an upload the whole content of a blob.

        Raises BlobError 409 BlobAlreadyExists when ``only_if_absent`` and it is there.
        """
        with self._owning(upload), self._database.write() as session:
            check_name(name)
            old = session.get(Blob, (container, name))
            if old is not None and only_if_absent:
                raise BlobError(409, "BlobAlreadyExists", f"The blob {name!r} exists already.")
            blob = self._row(container, name, upload.path, upload.size, kind, content_type, old)
            blob.md5 = upload.md5.hex()
            # Before the merge, which makes the old row the new one.
            stale = [*self._drop_blocks(session, container, name), *([old.file] if old else [])]
            session.merge(blob)
        self._unlink(stale)
        return blob

    def put_bytes(self, container: str, name: str, data: bytes, content_type: str = "application/octet-stream") -> Blob:
        with self.writer() as writer:
            writer.write(data)
            upload = writer.finish()
        return self.put(container, name, upload, content_type=content_type)

    def put_file(self, container: str, name: str, source: Path) -> Blob:
        """Copy a file in."""
        with self.writer() as writer, source.open("rb") as file:
            while chunk := file.read(1 << 20):
                writer.write(chunk)
            upload = writer.finish()
        return self.put(container, name, upload)

    def stage_block(self, container: str, name: str, block_id: str, upload: Upload) -> None:
        """Keep a block until a block list commits it; the same id again replaces it."""
        with self._owning(upload), self._database.write() as session:
            check_name(name)
            old = session.get(Block, (container, name, block_id))
            stale = [old.file] if old else []
            session.merge(
                Block(
                    container=container,
                    blob=name,
                    id=block_id,
                    file=self._relative(upload.path),
                    size=upload.size,
                    created=now(),
                )
            )
        self._unlink(stale)

    def commit_blocks(self, container: str, name: str, block_ids: Iterable[str], content_type: str) -> Blob:
        """Join staged blocks in the given order.

        Raises BlobError 400 InvalidBlockList when one was never staged.
        """
        with self._database.read() as session:
            staged = {
                b.id: b for b in session.scalars(select(Block).where(Block.container == container, Block.blob == name))
            }
        with self.writer() as writer:
            for block_id in block_ids:
                if block_id not in staged:
                    raise BlobError(400, "InvalidBlockList", f"The block {block_id!r} of {name!r} was never uploaded.")
                writer.write((self._root / staged[block_id].file).read_bytes())
            upload = writer.finish()
        return self.put(container, name, upload, content_type=content_type)

    def create_append(self, container: str, name: str, content_type: str = "application/octet-stream") -> Blob:
        """An empty append blob in place of whatever was there."""
        return self.put(container, name, self.writer().finish(), kind=APPEND_BLOB, content_type=content_type)

    def append(self, container: str, name: str, data: bytes) -> tuple[int, Blob]:
        """Add to an append blob. Returns the offset where the data begins, and the blob."""
        with self._database.write() as session:
            blob = session.get(Blob, (container, name))
            if blob is None:
                raise BlobError(404, "BlobNotFound", f"The blob {name!r} doesn't exist in the container {container!r}.")
            if blob.kind != APPEND_BLOB:
                raise BlobError(409, "InvalidBlobType", f"The blob {name!r} is no append blob.")
            offset = blob.size
            # The row's size is the truth: bytes of an append that was never acknowledged are written over.
            with self.path(blob).open("r+b") as file:
                file.seek(offset)
                file.write(data)
                file.truncate()
            blob.size = offset + len(data)
            blob.blocks += 1
            blob.modified, blob.etag, blob.md5 = now(), _etag(), None
        return offset, blob

    def create_live(self, container: str, name: str, content_type: str = "text/plain") -> Path:
        """A blob that a process is writing: whoever reads it gets what is in the file at that moment.

        One that is live already is gone on with, as when a new server takes up an earlier one's job.
        """
        check_name(name)
        with self._database.write() as session:
            old = session.get(Blob, (container, name))
            if old is not None and old.live:
                return self.path(old)
            path = self._new_file()
            path.touch()
            blob = self._row(container, name, path, 0, APPEND_BLOB, content_type, old)
            blob.live = True
            stale = [old.file] if old else []
            session.merge(blob)
        self._unlink(stale)
        return path

    def seal(self, container: str, name: str) -> None:
        """The process is done: from now on the blob is as long as its file is now."""
        with self._database.write() as session:
            blob = session.get(Blob, (container, name))
            if blob is not None and blob.live:
                blob.size, blob.live, blob.modified, blob.etag = (
                    self.path(blob).stat().st_size,
                    False,
                    now(),
                    _etag(),
                )

    def delete(self, container: str, name: str) -> None:
        with self._database.write() as session:
            blob = session.get(Blob, (container, name))
            if blob is None:
                raise BlobError(404, "BlobNotFound", f"The blob {name!r} doesn't exist in the container {container!r}.")
            session.delete(blob)
        self._unlink([blob.file])

    # Files --------------------------------------------------------------------------------------------------

    def _row(
        self, container: str, name: str, path: Path, size: int, kind: str, content_type: str, old: Blob | None
    ) -> Blob:
        moment = now()
        return Blob(
            container=container,
            name=name,
            file=self._relative(path),
            size=size,
            kind=kind,
            etag=_etag(),
            md5=None,
            content_type=content_type,
            created=old.created if old else moment,
            modified=moment,
            live=False,
            blocks=0,
        )

    def _drop_blocks(self, session: Session, container: str, name: str) -> Sequence[str]:
        of_blob = (Block.container == container, Block.blob == name)
        files = list(session.scalars(select(Block.file).where(*of_blob)))
        if files:
            session.execute(delete(Block).where(*of_blob))
        return files

    def _new_file(self) -> Path:
        name = uuid.uuid4().hex
        folder = self._root / name[:2]
        folder.mkdir(exist_ok=True)
        return folder / name

    def _relative(self, path: Path) -> str:
        return path.relative_to(self._root).as_posix()

    @contextlib.contextmanager
    def _owning(self, upload: Upload) -> Iterator[None]:
        """Around a transaction: when it fails, nobody will ever ask for the upload's file."""
        try:
            yield
        except BaseException:
            self._unlink([self._relative(upload.path)])
            raise

    def _unlink(self, files: Iterable[str]) -> None:
        """Remove files that no row names any more. One that stays is removed at the next start."""
        for file in files:
            try:
                (self._root / file).unlink(missing_ok=True)
            except OSError as error:
                logger.warning("The file %s of no blob can't be removed: %s", file, error)


def check_name(name: str) -> None:
    """Raises BlobError for a name that the blob service would not take, or that could mislead whoever
    downloads it.
    """
    parts = name.split("/")
    if not name or len(name) > MAX_BLOB_NAME or "\0" in name or "\\" in name or ".." in parts or name.startswith("/"):
        raise BlobError(400, "InvalidResourceName", f"{name[:80]!r} is no valid blob name.")


def iterate(path: Path, start: int, length: int, chunk: int = 1 << 20) -> Iterator[bytes]:
    """``length`` bytes of a file from ``start`` on, in pieces."""
    with path.open("rb") as file:
        file.seek(start, os.SEEK_SET)
        while length > 0 and (data := file.read(min(chunk, length))):
            length -= len(data)
            yield data


def _etag() -> str:
    return f'"0x{uuid.uuid4().hex[:16].upper()}"'
