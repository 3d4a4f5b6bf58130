"""Deletion of a workspace: removes the workspace's own files, and no others in its folder."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from pathlib import Path

from azureml_local.storage.folder import StateFolder, StateFolderError
from azureml_local.storage.trees import make_removable

SQLITE = b"SQLite format 3\0"
SECRETS = {"signing_key", "sign_in", "account_key", "view_key"}
NAMES = ("client", "tutorial", "kernel.lock", ".gitignore")


def delete(folder: StateFolder) -> list[str]:
    """Delete a workspace whose server has stopped. Returns a sentence for each thing that was left in place.

    Raises StateFolderError for a folder that holds no workspace.
    """
    check(folder)
    left = []
    # The secrets last: they identify the folder as a workspace if the deletion is interrupted.
    for path in sorted(_parts(folder), key=lambda path: path.name == "secrets.json"):
        if path.is_symlink():
            left.append(f"{path} was a link; {path.resolve()} is left as it is.")
            path.unlink()
        elif path.is_dir():
            make_removable(path)
            for inside in path.iterdir() if path.is_mount() else [path]:
                shutil.rmtree(inside) if inside.is_dir() and not inside.is_symlink() else inside.unlink()
            if path.exists():
                left.append(f"{path} is a mount point; it was emptied, not removed.")
        else:
            path.unlink()
    others = sorted(path.name for path in folder.root.iterdir() if path not in _parts(folder))
    if others:
        more = ", ..." if len(others) > 3 else ""
        left.append(f"{folder.root} stays, with files of others: {', '.join(others[:3])}{more}")
    elif not left and not folder.root.is_symlink() and not folder.root.is_mount():
        folder.root.rmdir()
    return left


def check(folder: StateFolder) -> None:
    """Raises StateFolderError unless this is the folder of a workspace, or empty."""
    if any(folder.root.iterdir()) and not (_has_secrets(folder.root / "secrets.json") or _has_database(folder)):
        raise StateFolderError(f"{folder.root} holds no workspace of azureml-local; nothing was deleted.")


def _parts(folder: StateFolder) -> list[Path]:
    root = folder.root
    database = folder.database.name
    files = [
        folder.log,
        folder.instance,
        folder.lock,
        folder.start_lock,
        folder.users,
        folder.sign_in_page,
        root / "secrets.json",
    ]
    parts = [
        folder.blobs,
        folder.runs,
        folder.services,
        folder.datasets,
        folder.tls,
        *files,
        *(root / name for name in NAMES),
    ]
    copies = [path for path in root.iterdir() if path.name.startswith((f"{database}.version-", ".secrets.json."))]
    parts += [root / (database + ending) for ending in ("", "-wal", "-shm", "-journal")] + copies
    return [path for path in parts if os.path.lexists(path)]


def _has_secrets(path: Path) -> bool:
    with contextlib.suppress(OSError, ValueError):
        found = json.loads(path.read_text("utf-8"))
        return isinstance(found, dict) and found.keys() >= SECRETS
    return False


def _has_database(folder: StateFolder) -> bool:
    """Whether there is a database of azureml-local beside a workspace's folders. A damaged one counts: it is a reason
    for a reset.
    """
    with contextlib.suppress(OSError), folder.database.open("rb") as file:
        return file.read(len(SQLITE)) == SQLITE and folder.blobs.is_dir()
    return False
