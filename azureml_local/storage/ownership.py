"""Whose a folder is, and who else may change or read what is in it.

Whoever can write to a state folder or to a cache can have commands run by the user whose server uses it (git's
CVE-2022-24765 was of this kind). So what another user of the machine owns is never used, and what is ours is closed to
others before it is.
"""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path


class ForeignFolder(PermissionError):
    """A folder or file that can't be used safely; the message says which, why, and what to do."""


def trusted_users() -> frozenset[int]:
    """The users whose files this process may rely on: itself, root, and who called sudo."""
    own = os.geteuid()
    caller = os.environ.get("SUDO_UID", "") if own == 0 else ""
    return frozenset({own, 0, *([int(caller)] if caller.isdecimal() else [])})


def is_ours(path: Path) -> bool:
    """Whether a path, and what it leads to where it is a link, belong to a user whom this process trusts."""
    try:
        return {path.lstat().st_uid, path.stat().st_uid} <= trusted_users()
    except OSError:
        return False


def check_owner(path: Path) -> None:
    """Raises ForeignFolder for what belongs to another user. Nothing, for what isn't there, or has just gone: a running
    server replaces files in its state folder while another process looks at them.
    """
    owners = set[int]()
    with contextlib.suppress(FileNotFoundError):
        owners.add(path.lstat().st_uid)
        owners.add(path.stat().st_uid)
    foreign = owners - trusted_users()
    if foreign:
        raise ForeignFolder(
            f"{path} belongs to another user of this machine (number {min(foreign)}), who could run commands "
            "as you through it."
        )


def close_to_others(folder: Path) -> None:
    """Take other users' rights to a folder of ours.

    Raises:
        ForeignFolder: it is another user's, or its file system keeps no rights. OSError.
    """
    check_owner(folder)
    if not _open_to_others(folder):
        return
    if folder.stat().st_uid == os.geteuid() or os.geteuid() == 0:
        folder.chmod(stat.S_IMODE(folder.stat().st_mode) & 0o700)
    if _open_to_others(folder):
        raise ForeignFolder(
            f"{folder} is open to other users of this machine, and can't be closed: its file system keeps no rights, "
            "or it belongs to root."
        )


def private_folder(folder: Path) -> Path:
    """Make a folder that only this user may enter; one that is there is closed to others.

    Raises:
        ForeignFolder: it is another user's. OSError: it can't be made.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    close_to_others(folder)
    return folder


def _open_to_others(folder: Path) -> bool:
    return bool(stat.S_IMODE(folder.stat().st_mode) & 0o077)
