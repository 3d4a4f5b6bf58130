"""Short folders of runs, for files that need a short path: a Unix socket's has at most 107 bytes (unix(7)), and
programs put sockets below their TMPDIR and HOME, for which a run's own folder is too deep.

A short folder lies in the system's directory for temporary files, is accessible to its owner only, and has an
unpredictable name. A link in the run's folder points to it and is made first: so the removal of the run's folder finds
it, even when its creator was killed. Where the server is gone when the job ends, the job's supervisor removes it
(runtime.supervisor).
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import stat
import tempfile
from pathlib import Path

from azureml_local.storage.trees import remove_tree

LINK = "short"
NAME = re.compile(r"azl-[0-9a-f]{8}")
# Leaves 80 bytes for a program's own names below it: multiprocessing's "tmp/pymp-12345678/listener-12345678" has 36.
LONGEST_BASE = 14


def make(folder: Path) -> Path:
    """Create the short folder of the run with this folder; an earlier one is removed. Raises OSError."""
    remove(folder)
    base, link = _base(), folder / LINK
    while True:
        place = base / f"azl-{secrets.token_hex(4)}"
        link.symlink_to(place)
        try:
            place.mkdir(mode=0o700)  # never what is there already
        except FileExistsError:
            link.unlink()
            continue
        return place


def find(folder: Path) -> Path | None:
    """The short folder of the run with this folder. None where there is none, or where a job has made the link point
    elsewhere.
    """
    try:
        place = Path((folder / LINK).readlink())
        found = place.lstat()
    except (OSError, ValueError):
        return None
    ours = place.is_absolute() and NAME.fullmatch(place.name) and ".." not in place.parts
    return place if ours and stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() else None


def remove(folder: Path) -> None:
    """Remove the short folder of the run with this folder, if there is one."""
    if (place := find(folder)) is not None:
        remove_tree(place)
    with contextlib.suppress(OSError):  # none, or something else of this name: it goes with the run's folder
        (folder / LINK).unlink()


def hold(path: Path) -> bool:
    """Whether a path lies in the short folder of any run."""
    return any(NAME.fullmatch(name) for name in path.parts)


def _base() -> Path:
    """The directory for temporary files, if its path is short; else /tmp, if users can't remove each other's folders
    there.
    """
    usual, short = Path(tempfile.gettempdir()), Path("/tmp")
    if len(os.fsencode(usual)) > LONGEST_BASE and os.access(short, os.W_OK | os.X_OK):
        mode = short.stat().st_mode
        if mode & stat.S_ISVTX or not mode & stat.S_IWOTH:
            return short
    return usual
