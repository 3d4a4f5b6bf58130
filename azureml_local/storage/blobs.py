"""Blobs: bytes as files, names in the database.

A blob's name never becomes a path: its bytes lie in a file with a random name, and the database says which. So no name
can escape the folder, names that differ only by case are distinct, and a blob is replaced atomically: the file is
complete before the row that names it is committed.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from azureml_local.storage.bloberrors import BlobError as BlobError
from azureml_local.storage.bloberrors import missing
from azureml_local.storage.blobnames import LAST, begins, check_name
from azureml_local.storage.blobrows import BlobRow, blocks_of, find, following, remove, remove_blocks, save
from azureml_local.storage.blocks import find_parts, stage
from azureml_local.storage.clock import now
from azureml_local.storage.database import Database
from azureml_local.storage.sealed import check_unsealed
from azureml_local.storage.tables import Blob, Block, Json
from azureml_local.storage.uploads import PIECE, Upload, UploadWriter, iterate, write_all

logger = logging.getLogger("azureml_local.storage")

BLOCK_BLOB = "BlockBlob"
APPEND_BLOB = "AppendBlob"

# Precondition of a write, called with the existing blob (None: there is none); raises BlobError when it fails.
Condition = Callable[[BlobRow | None], None]


def always(_: BlobRow | None) -> None:
    """The precondition that always holds."""


def if_absent(old: BlobRow | None) -> None:
    """Precondition that there is no blob yet; raises BlobError 409 BlobAlreadyExists."""
    if old is not None:
        raise BlobError(409, "BlobAlreadyExists", f"The blob {old.name!r} exists already.")


class BlobStore:
    """The blobs of one store."""

    def __init__(self, database: Database, root: Path) -> None:
        self._database = database
        self._root = root

    # Reading ------------------------------------------------------------------------------------------------

    def get(self, container: str, name: str) -> BlobRow:
        """Raises BlobError 404 BlobNotFound."""
        with self._database.rows() as rows:
            return self._measured(_found(rows, container, name))

    def exists(self, container: str, name: str) -> bool:
        with self._database.rows() as rows:
            return find(rows, container, name) is not None

    def list(self, container: str, prefix: str = "", after: str = "", limit: int | None = None) -> Sequence[BlobRow]:
        """Blobs sorted by name, from the first one after ``after``."""
        with self._database.rows() as rows:
            return [self._measured(blob) for blob in following(rows, container, prefix, after, limit)]

    def page(
        self, container: str, prefix: str, delimiter: str, after: str, limit: int
    ) -> tuple[Sequence[BlobRow | str], str | None]:
        """One page of a listing: at most ``limit`` blobs, and folders (names up to a delimiter) instead of the blobs in
        them.

        Returns the ``after`` of the next page too, None where this is the last one.
        """
        entries: list[BlobRow | str] = []
        while True:
            wanted = limit - len(entries) + 1
            batch = self.list(container, prefix, after, wanted)
            for blob in batch:
                if len(entries) == limit:
                    return entries, after
                head, cut, _ = blob.name[len(prefix) :].partition(delimiter) if delimiter else (blob.name, "", "")
                if cut:
                    folder = prefix + head + cut
                    entries.append(folder)
                    after = folder + LAST
                    break  # skips the other blobs of the folder
                entries.append(blob)
                after = blob.name
            else:
                return entries, None

    def path(self, blob: BlobRow) -> Path:
        """The file with a blob's bytes, for reading only."""
        return self._root / blob.file

    def open(self, container: str, name: str) -> tuple[BlobRow, BinaryIO]:
        """A blob and its open file, which can be read to its end even if the blob is replaced or deleted meanwhile.

        Raises BlobError 404; FileNotFoundError where the bytes are lost.
        """
        blob = self.get(container, name)
        while True:
            try:
                return blob, self.path(blob).open("rb", buffering=0)
            except FileNotFoundError:
                tried, blob = blob.file, self.get(container, name)
                if blob.file == tried:
                    raise

    def read_bytes(self, container: str, name: str) -> bytes:
        with self.open(container, name)[1] as file:
            return file.read()

    def _measured(self, blob: BlobRow) -> BlobRow:
        return blob._replace(size=self.path(blob).stat().st_size) if blob.live else blob

    # Writing ------------------------------------------------------------------------------------------------

    def writer(self, *, hashed: bool = True) -> UploadWriter:
        return UploadWriter(self._new_file(), hashed=hashed)

    def put(
        self,
        container: str,
        name: str,
        upload: Upload,
        *,
        kind: str = BLOCK_BLOB,
        content_type: str = "application/octet-stream",
        md5: str | None = None,
        extra: Json | None = None,
        condition: Condition = always,
    ) -> BlobRow:
        """Make an upload the whole content of a blob. ``md5`` (hexadecimal) is the client's checksum, which is
        verified.
        """
        with self._owning(upload), self._database.writing() as rows:
            check_name(name)
            old = find(rows, container, name)
            check_unsealed(old)
            condition(old)
            file, md5 = self._relative(upload.path), md5 or upload.md5.hex() or None
            blob = _new(old, container, name, file, upload.size, kind, content_type, md5=md5, extra=extra)
            stale = [*remove_blocks(rows, container, name), *([old.file] if old else [])]
            save(rows, blob)
        self.unlink(stale)
        return blob

    def put_bytes(
        self, container: str, name: str, data: bytes, content_type: str = "application/octet-stream", **options: Any
    ) -> BlobRow:
        return self.put(container, name, self.upload_of(data), content_type=content_type, **options)

    def upload_of(self, data: bytes) -> Upload:
        with self.writer() as writer:
            writer.write(data)
            return writer.finish()

    def put_file(self, container: str, name: str, source: BinaryIO) -> BlobRow:
        """Store the content of an open file, from its current position, as a blob."""
        check_name(name)
        with self.writer() as writer:
            while chunk := source.read(PIECE):
                writer.write(chunk)
            upload = writer.finish()
        return self.put(container, name, upload)

    def change(self, container: str, name: str, condition: Condition, **values: Any) -> BlobRow:
        """Replace a blob's ``content_type``, ``md5`` or ``extra``; its bytes stay. Raises BlobError 404."""
        with self._database.writing() as rows:
            old = find(rows, container, name)
            check_unsealed(old)
            condition(old)
            if old is None:
                raise missing(container, name)
            blob = _changed(old, **values)
            save(rows, blob)
        return blob

    # Block blobs --------------------------------------------------------------------------------------------

    def stage_block(
        self, container: str, name: str, block_id: str, upload: Upload, condition: Condition = always
    ) -> None:
        """Store a block until a block list commits it; a block with the same id is replaced.

        Raises BlobError 409 for a blob of another kind, 400 for an id that isn't as long as the others.
        """
        with self._owning(upload), self._database.writing() as rows:
            check_name(name)
            blob = find(rows, container, name)
            check_unsealed(blob)
            condition(blob)
            if blob is not None and blob.kind != BLOCK_BLOB:
                raise BlobError(409, "InvalidBlobType", f"The blob {name!r} is no block blob.")
            stale = stage(rows, container, name, block_id, self._relative(upload.path), upload.size)
        self.unlink(stale)

    def commit_blocks(
        self,
        container: str,
        name: str,
        block_ids: Sequence[tuple[str, str]],
        *,
        content_type: str = "application/octet-stream",
        md5: str | None = None,
        extra: Json | None = None,
        condition: Condition = always,
    ) -> BlobRow:
        """Join blocks in the given order; each is (where to look for it, id).

        Raises BlobError 400 InvalidBlockList when one is not there.
        """
        for attempt in (1, 2):
            with self._database.rows() as rows:
                parts = find_parts(rows, container, name, block_ids)
            try:
                with self.writer(hashed=False) as writer:  # as in Azure: the checksum comes from the client, unverified
                    for part in parts:
                        for data in iterate((self._root / part.file).open("rb", buffering=0), part.start, part.size):
                            writer.write(data)
                    upload = writer.finish()
                break
            except FileNotFoundError:
                # An earlier attempt of this client has just committed the same list: it gets that result.
                if attempt == 2:
                    raise
        committed = [[part.id, part.size] for part in parts]
        return self.put(
            container,
            name,
            upload,
            content_type=content_type,
            md5=md5,
            extra={**(extra or {}), "blocks": committed},
            condition=condition,
        )

    def blocks(
        self, container: str, name: str
    ) -> tuple[Sequence[tuple[str, int]], Sequence[tuple[str, int]], BlobRow | None]:
        """Ids and sizes of a blob's committed blocks, and of its uncommitted ones."""
        with self._database.rows() as rows:
            blob = find(rows, container, name)
            waiting = blocks_of(rows, container, name)
        committed = [(str(name), int(size)) for name, size in ((blob and blob.extra) or {}).get("blocks", [])]
        if blob is None and not waiting:
            raise missing(container, name)
        return committed, [(block.id, block.size) for block in waiting], blob

    # Append blobs -------------------------------------------------------------------------------------------

    def create_append(self, container: str, name: str, content_type: str = "application/octet-stream") -> BlobRow:
        """Create an empty append blob; an existing blob is replaced."""
        return self.put(container, name, self.writer().finish(), kind=APPEND_BLOB, content_type=content_type)

    def append(
        self, container: str, name: str, data: bytes | Upload, condition: Condition = always
    ) -> tuple[int, BlobRow]:
        """Append to an append blob. Returns the offset where the data begins, and the blob.

        Raises BlobError 404; 409 for a blob of another kind, or a log that the server itself is writing.
        """
        size = data.size if isinstance(data, Upload) else len(data)
        with self._database.writing() as rows:
            old = find(rows, container, name)
            check_unsealed(old)
            condition(old)
            if old is None:
                raise missing(container, name)
            if old.kind != APPEND_BLOB or old.live:
                raise BlobError(409, "InvalidBlobType", f"The blob {name!r} is no append blob that a client may write.")
            # The row's size is authoritative: bytes of an append that was never acknowledged are overwritten.
            with self.path(old).open("r+b", buffering=0) as file:
                file.seek(old.size)
                for piece in data.pieces() if isinstance(data, Upload) else [data]:
                    write_all(file, piece)
                file.truncate()
            blob = _changed(old, size=old.size + size, blocks=old.blocks + 1, md5=None)
            save(rows, blob)
        return old.size, blob

    def create_live(self, container: str, name: str, content_type: str = "text/plain; charset=utf-8") -> Path:
        """Create a live blob, which a process is still writing: a reader gets what is in the file at that moment.

        The content type has a charset: without one, the SDK's wait_for_completion reads a text as Latin-1 (requests
        does). A blob that is live already is continued, as when a new server recovers an earlier one's job.
        """
        check_name(name)
        with self._database.writing() as rows:
            old = find(rows, container, name)
            if old is not None and old.live:
                return self.path(old)
            path = self._new_file()
            path.touch()
            save(rows, _new(old, container, name, self._relative(path), 0, APPEND_BLOB, content_type, live=True))
        if old is not None:
            self.unlink([old.file])
        return path

    def seal(self, container: str, name: str) -> None:
        """End the live state of a blob: its size is the file's size now."""
        with self._database.writing() as rows:
            blob = find(rows, container, name)
            if blob is not None and blob.live:
                save(rows, _changed(blob, size=self.path(blob).stat().st_size, live=False))

    def delete(self, container: str, name: str, condition: Condition = always) -> None:
        """Raises BlobError 404 BlobNotFound."""
        with self._database.writing() as rows:
            blob = _found(rows, container, name)
            condition(blob)
            stale = [*remove_blocks(rows, container, name), blob.file]
            remove(rows, container, name)
        self.unlink(stale)

    def forget(self, session: Session, container: str, prefix: str) -> Sequence[str]:
        """Delete blobs within the caller's transaction. Returns their files, to `unlink` after the commit."""
        under = (Blob.container == container, begins(Blob.name, prefix))
        waiting = (Block.container == container, begins(Block.blob, prefix))
        files = session.scalars(select(Blob.file).where(*under)).all()
        blocks = session.scalars(select(Block.file).where(*waiting)).all()
        session.execute(delete(Blob).where(*under))
        session.execute(delete(Block).where(*waiting))
        return [*files, *blocks]

    def delete_all(self, container: str) -> None:
        """Delete what is in a container."""
        with self._database.write() as session:
            files = self.forget(session, container, "")
        self.unlink(files)

    # Files --------------------------------------------------------------------------------------------------

    def _new_file(self) -> Path:
        name = uuid.uuid4().hex
        folder = self._root / name[:2]
        folder.mkdir(exist_ok=True)
        return folder / name

    def _relative(self, path: Path) -> str:
        return f"{path.parent.name}/{path.name}"

    @contextlib.contextmanager
    def _owning(self, upload: Upload) -> Iterator[None]:
        """Context of a transaction that stores an upload: when it fails, the upload's file is removed."""
        try:
            yield
        except BaseException:
            self.unlink([self._relative(upload.path)])
            raise

    def unlink(self, files: Iterable[str]) -> None:
        """Remove files that no row names any more. A file that can't be removed now is removed at the next start."""
        for file in files:
            try:
                (self._root / file).unlink(missing_ok=True)
            except OSError as error:
                logger.warning("The orphaned blob file %s can't be removed: %s", file, error)


def _found(rows: sqlite3.Connection, container: str, name: str) -> BlobRow:
    blob = find(rows, container, name)
    if blob is None:
        raise missing(container, name)
    return blob


def _new(
    old: BlobRow | None, container: str, name: str, file: str, size: int, kind: str, content_type: str, **values: Any
) -> BlobRow:
    moment = now()
    return BlobRow(
        container,
        name,
        file,
        size,
        kind,
        etag=_etag(),
        content_type=content_type,
        created=old.created if old else moment,
        modified=moment,
        **{"md5": None, **values},
    )


def _changed(blob: BlobRow, **values: Any) -> BlobRow:
    return blob._replace(modified=now(), etag=_etag(), **values)


def _etag() -> str:
    return f'"0x{uuid.uuid4().hex[:16].upper()}"'
