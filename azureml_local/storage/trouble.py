"""What is wrong with a store, in a sentence: the disk, its permissions, or damage."""

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
        "The state folder of this workspace was removed or moved while its server ran, so nothing is kept any "
        "more. The server ends; `azureml-local up` starts one on a new folder."
    ),
    "busy": "Another process holds the database of this workspace for too long. Try again.",
}

ERRNO: dict[int, FaultKind] = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EFBIG), "full"),
    **dict.fromkeys((errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO), "unwritable"),
}
# SQLite's own words (sqlite3ErrStr): error codes are not given to Python 3.10.
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
    """The database's file isn't where it was opened: what would be written now, nobody finds again."""


@dataclass(frozen=True)
class Trouble:
    kind: FaultKind
    cause: str

    def __str__(self) -> str:
        return f"{ADVICE[self.kind]} ({self.cause})"


def explain(error: BaseException) -> Trouble | None:
    """What an exception says of the store; None where it says nothing of it."""
    kind: FaultKind | None = None
    if isinstance(error, OSError):
        kind = ERRNO.get(error.errno or 0)
        if isinstance(error, StateGone):
            kind = "gone"
        elif isinstance(error, FileNotFoundError) and BLOB_FILE.fullmatch(str(error.filename).rsplit("/", 1)[-1]):
            kind = "lost"
        cause = str(error)
    else:
        # SQLAlchemy wraps what the driver raised.
        cause = str(getattr(error, "orig", error))
        if "sqlite3" in type(getattr(error, "orig", error)).__module__:
            kind = next((found for words, found in WORDS.items() if words in cause), None)
    return Trouble(kind, cause) if kind else None
