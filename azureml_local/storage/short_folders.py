"""Short folders of runs, for files that need a short path: a Unix socket's has at most 107 bytes (unix(7)), and
programs put sockets below their TMPDIR and HOME, for which a run's own folder is too deep.

A short folder lies in the system's directory for temporary files, is accessible to its owner only, and has an
unpredictable name. A link in the run's folder points to it and is made first: so the removal of the run's folder finds
it, even when its creator was killed. Where the server is gone when the job ends, the job's supervisor removes it
(runtime.supervisor). One whose run's folder went without either of them (a state folder deleted after its server was
killed) is swept by any later server: a link in it points back to the run's folder, and whoever uses it holds a lock.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from azureml_local.storage.locks import try_lock
from azureml_local.storage.trees import remove_tree

LINK = "short"
# In the short folder: the run's folder.
BACK = "run"
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
        (place / BACK).symlink_to(folder.absolute())
        return place


@contextlib.contextmanager
def in_use(place: Path) -> Iterator[int]:
    """Keep a short folder from being swept; who inherits the descriptor keeps it as long. Raises OSError."""
    descriptor = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try_lock(descriptor, shared=True)
        yield descriptor
    finally:
        os.close(descriptor)


def sweep() -> int:
    """Remove this user's short folders whose runs' folders are gone and that nobody uses. Returns their number."""
    swept = 0
    for base in {_base(), Path(tempfile.gettempdir())}:
        for place in base.glob("azl-*"):
            with contextlib.suppress(OSError, ValueError):
                if not _ours(place):
                    continue
                folder = (place / BACK).readlink()
                if (folder / LINK).is_symlink() and (folder / LINK).readlink() == place:
                    continue
                with in_use(place) as descriptor:
                    if try_lock(descriptor):
                        remove_tree(place)
                        swept += 1
    return swept


def find(folder: Path) -> Path | None:
    """The short folder of the run with this folder. None where there is none, or where a job has made the link point
    elsewhere.
    """
    try:
        place = Path((folder / LINK).readlink())
        return place if place.is_absolute() and ".." not in place.parts and _ours(place) else None
    except (OSError, ValueError):
        return None


def remove(folder: Path) -> None:
    """Remove the short folder of the run with this folder, if there is one."""
    if (place := find(folder)) is not None:
        remove_tree(place)
    with contextlib.suppress(OSError):  # none, or something else of this name: it goes with the run's folder
        (folder / LINK).unlink()


def _ours(place: Path) -> bool:
    """Whether a folder has the name and the owner of a short one. Raises OSError, ValueError."""
    found = place.lstat()
    return bool(NAME.fullmatch(place.name)) and stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid()


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
