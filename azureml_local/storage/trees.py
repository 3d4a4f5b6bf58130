"""Read-only folder trees, and the removal of trees that lack write permission."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
import uuid
from pathlib import Path
from typing import BinaryIO


def open_regular(path: Path) -> BinaryIO:
    """Open a regular file for reading in a folder that a job may have written to: follows no link, and never blocks as
    opening a pipe does. Raises OSError, also for anything but a regular file.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    return os.fdopen(descriptor, "rb")


def seal(folder: Path) -> None:
    """Make a folder's content readable for everyone and writable for no one (root ignores modes)."""
    for root, _, names in os.walk(folder, topdown=False):
        for name in names:
            path = Path(root, name)
            if not path.is_symlink():
                path.chmod(0o444)
        Path(root).chmod(0o555)


def remove_tree(folder: Path) -> None:
    """Remove a folder with its content, even if read-only; what can't be removed stays, and so does a link.

    Never raises OSError.
    """
    _remove(folder)
    if os.path.lexists(folder):
        make_removable(folder)
        _remove(folder)
    with contextlib.suppress(OSError):
        if folder.is_dir() and not folder.is_symlink():
            _remove_deep(folder)


def _remove(folder: Path) -> None:
    with contextlib.suppress(RecursionError):
        shutil.rmtree(folder, ignore_errors=True)


def _remove_deep(folder: Path) -> None:
    """Remove a folder that is nested deeper than shutil.rmtree can recurse and than a path can be long.

    The content of subfolders is moved up until there are none. Raises OSError.
    """
    while folders := [Path(entry.path) for entry in os.scandir(folder) if entry.is_dir(follow_symlinks=False)]:
        for each in folders:
            each.chmod(0o700)
            for entry in os.scandir(each):
                if entry.is_dir(follow_symlinks=False):
                    Path(entry.path).chmod(0o700)
                    Path(entry.path).rename(folder / uuid.uuid4().hex)
                else:
                    Path(entry.path).unlink()
            each.rmdir()
    shutil.rmtree(folder)


def make_removable(folder: Path) -> None:
    """Give the owner the permission to remove a folder's content; other users' files stay as they are.

    Only folders need it. Links and their targets are not changed: a job's folder has links to files that other jobs
    read.
    """
    with contextlib.suppress(OSError):
        if folder.is_symlink() or not folder.is_dir():
            return
        folder.chmod(0o700)
    for root, names, _ in os.walk(folder):
        for name in names:
            path = Path(root, name)
            with contextlib.suppress(OSError):  # another user's, or too long a path
                if not path.is_symlink():
                    path.chmod(0o700)
