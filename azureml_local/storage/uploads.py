"""Uploads: data received into a file before it is stored as a blob."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

PIECE = 1 << 20


@dataclass(frozen=True)
class Upload:
    """A completely received file that belongs to no blob yet. ``md5`` is empty where it wasn't requested."""

    path: Path
    size: int
    md5: bytes

    def pieces(self) -> Iterator[bytes]:
        return iterate(self.path.open("rb", buffering=0), 0, self.size)


class UploadWriter:
    """Writer of an upload; ``finish`` returns the Upload, ``discard`` removes an unfinished one.

    A finished upload is owned by its receiver: the store removes the file itself when it can't store it. If the caller
    removed it, after a failure or a cancelled request, its row might have been committed already.
    """

    def __init__(self, path: Path, *, hashed: bool = True) -> None:
        self._path = path
        self._file = path.open("wb", buffering=0)
        self._md5 = hashlib.md5(usedforsecurity=False) if hashed else None
        self._size = 0

    def write(self, data: bytes) -> None:
        write_all(self._file, data)
        if self._md5 is not None:
            self._md5.update(data)
        self._size += len(data)

    @property
    def md5(self) -> bytes:
        return self._md5.digest() if self._md5 is not None else b""

    def finish(self) -> Upload:
        self._file.close()
        return Upload(self._path, self._size, self.md5)

    def __enter__(self) -> UploadWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self.discard()

    def discard(self) -> None:
        if not self._file.closed:
            # On a full disk closing fails too; the file is removed all the same, which frees space.
            with contextlib.suppress(OSError):
                self._file.close()
            self._path.unlink(missing_ok=True)


def write_all(file: BinaryIO, data: bytes) -> None:
    """Write all data to an unbuffered file, whose ``write`` may accept only a part at a time."""
    rest = memoryview(data)
    while rest:
        rest = rest[file.write(rest) or 0 :]


def iterate(file: BinaryIO, start: int, length: int) -> Iterator[bytes]:
    """Iterate over ``length`` bytes of a file from ``start`` on, in chunks, and close it."""
    with file:
        file.seek(start)
        while length > 0 and (data := file.read(min(PIECE, length))):
            length -= len(data)
            yield data
