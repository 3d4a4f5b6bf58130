"""Explanations of storage errors for users: a full disk, permissions, damage."""

from __future__ import annotations

import errno
import re
from dataclasses import dataclass
from typing import Literal

FaultKind = Literal["full", "unwritable", "damaged", "lost", "gone", "busy"]

ADVICE: dict[FaultKind, str] = {
    "full": "The disk of the state folder is full. Make room; nothing that was acknowledged before is lost.",
    "unwritable": (
        "The state folder can't be read or written. `azureml-local doctor` says which part of it, and what to do."
    ),
    "damaged": (
        "The database of this workspace is damaged. `azureml-local doctor` says more; `azureml-local restore` brings "
        "back a backup."
    ),
    "lost": (
        "A blob is registered, but its file is gone from the state folder. `azureml-local doctor` lists what is "
        "missing; upload it again, or restore a backup."
    ),
    "gone": (
        "The state folder of this workspace was removed or moved while its server ran, so nothing can be stored any "
        "more. The server stops; `azureml-local up` starts one on a new folder."
    ),
    "busy": "Another process holds the database of this workspace for too long. Try again.",
}

# For files inside the state folder or outside it, a cache's for example.
OF_FILE: dict[FaultKind, str] = {
    "full": "The disk of {path} is full. Make room; nothing that was acknowledged before is lost.",
    "unwritable": "{path} can't be read or written. `azureml-local doctor` looks over the state folder and the caches.",
}

ERRNO: dict[int, FaultKind] = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EFBIG), "full"),
    **dict.fromkeys((errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO), "unwritable"),
}
# SQLite's messages (sqlite3ErrStr): Python 3.10 doesn't expose error codes.
WORDS: dict[str, FaultKind] = {
    "database or disk is full": "full",
    "readonly database": "unwritable",
    "unable to open database file": "unwritable",
    "disk I/O error": "unwritable",
    "malformed": "damaged",
    "not a database": "damaged",
    "database is locked": "busy",
}
BLOB_FILE = re.compile(r"[0-9a-f]{32}")


class StateGone(OSError):
    """The database file was removed or moved since it was opened: further writes would be lost."""


@dataclass(frozen=True)
class Trouble:
    """A storage error with its explanation. ``path`` is the file that could not be written or read, where the system
    names it.
    """

    kind: FaultKind
    cause: str
    path: str | None = None

    def __str__(self) -> str:
        if self.path is not None and self.kind in OF_FILE:
            return f"{OF_FILE[self.kind].format(path=self.path)} ({self.cause})"
        return f"{ADVICE[self.kind]} ({self.cause})"


def explain(error: BaseException) -> Trouble | None:
    """Explain an exception that comes from the storage; None for any other."""
    kind: FaultKind | None = None
    path: str | None = None
    if isinstance(error, OSError):
        kind = ERRNO.get(error.errno or 0)
        if isinstance(error, StateGone):
            kind = "gone"
        elif isinstance(error, FileNotFoundError) and BLOB_FILE.fullmatch(str(error.filename).rsplit("/", 1)[-1]):
            kind = "lost"
        path = None if error.filename is None else str(error.filename)
        cause = str(error) if path is None else str(error.strerror)
    else:
        # SQLAlchemy wraps the driver's exceptions.
        cause = str(getattr(error, "orig", error))
        if "sqlite3" in type(getattr(error, "orig", error)).__module__:
            kind = next((found for words, found in WORDS.items() if words in cause), None)
    return Trouble(kind, cause, path) if kind else None
