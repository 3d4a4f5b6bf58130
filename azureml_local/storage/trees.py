"""Folders that many read and nobody changes, and removing what can't be written to."""

from __future__ import annotations

import os
import shutil
from pathlib import Path


def seal(folder: Path) -> None:
    """From now on everybody may read what is in a folder, and nobody may change it (but root, whom no mode binds)."""
    for root, _, names in os.walk(folder, topdown=False):
        for name in names:
            path = Path(root, name)
            if not path.is_symlink():
                path.chmod(0o444)
        Path(root).chmod(0o555)


def remove_tree(folder: Path) -> None:
    """Remove a folder and what is in it, be it read-only or not; what can't be removed stays."""
    shutil.rmtree(folder, ignore_errors=True)
    if os.path.lexists(folder):
        make_removable(folder)
        shutil.rmtree(folder, ignore_errors=True)


def make_removable(folder: Path) -> None:
    """Give the owner the right to remove what is in a folder.

    Only folders need it. A link stays what it is, and so does what it points at: a job's folder has links to what
    others read.
    """
    if folder.is_symlink() or not folder.is_dir():
        return
    folder.chmod(0o700)
    for root, names, _ in os.walk(folder):
        for name in names:
            path = Path(root, name)
            if not path.is_symlink():
                path.chmod(0o700)
