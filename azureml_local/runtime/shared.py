"""Cache of dataset files that the jobs of one machine share: read-only folders, each with one state of a dataset.

A folder is named by its key, ``FLOW-CONTENT`` (`dataflows.Fingerprints`), and beside it lies its lock: a file that
holds the folder's state when it was made, and whose modification time is that of the last use. The maker of the folder
has the lock exclusively; users share it, and so does the supervisor of a job, which outlives the server. So the kernel
counts the users, and no cleanup is needed after one that was killed.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import stat
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from azureml_local.storage.locks import try_lock
from azureml_local.storage.ownership import private_folder
from azureml_local.storage.trees import remove_tree, seal

POLL_SECONDS = 0.05
# How long an unused folder is kept; and one with a former state of a dataset whose files have changed.
KEPT_SECONDS = 24 * 3600.0
FORMER_KEPT_SECONDS = 600.0
UNFINISHED = ".part"
LOCK = ".lock"


class NotShared(Exception):
    """A folder that is in use was modified after it was made."""


@dataclass
class Use:
    """A shared folder in use until `close`, or a new one: fill ``unfinished``, then `publish` it.

    ``found`` is whether it existed already. It stays while any process has ``descriptor`` open.
    """

    folder: Path
    unfinished: Path
    descriptor: int
    found: bool
    complete: bool

    def publish(self) -> None:
        """Make the filled folder available to all jobs."""
        seal(self.unfinished)
        state = _state(self.unfinished).encode()
        self.unfinished.rename(self.folder)
        os.pwrite(self.descriptor, state, 0)
        self.complete = True
        fcntl.flock(self.descriptor, fcntl.LOCK_SH)

    def close(self) -> None:
        if not self.complete:
            remove_tree(self.unfinished)
        os.close(self.descriptor)


class SharedFolders:
    """The shared folders below one root, which is created on first use."""

    def __init__(self, root: Path) -> None:
        self._root = root

    @contextlib.contextmanager
    def use(self, key: str, cancelled: threading.Event, waits: Callable[[], None]) -> Iterator[Use | None]:
        """Get a folder to use, or to make, in which case all others wait. None when ``cancelled`` is set meanwhile.

        ``waits`` is called once when another process or thread is making it. Raises NotShared, OSError.
        """
        private_folder(self._root)
        waiting = False
        while (use := self._try(key)) is None and not cancelled.wait(POLL_SECONDS):
            if not waiting:
                waits()
                waiting = True
        try:
            yield use
        finally:
            if use is not None:
                use.close()

    def sweep(self) -> None:
        """Remove folders that were unused for long, and unfinished ones whose maker was killed."""
        if not self._root.is_dir():
            return
        keys = {path.name.split(".")[0] for path in self._root.iterdir()}
        newest = {_flow(key): key for key in sorted(keys, key=self._used)}
        for key in keys:
            kept = KEPT_SECONDS if newest[_flow(key)] == key else FORMER_KEPT_SECONDS
            if self._path(key, UNFINISHED).exists() or self._used(key) < time.time() - kept:
                self._remove(key, kept)

    def _try(self, key: str) -> Use | None:
        """One attempt of `use`; None while the folder is being made or removed elsewhere."""
        lock = self._open(key)
        mine = False
        try:
            if not try_lock(lock, shared=True) or os.fstat(lock).st_nlink == 0:
                return None
            found = self._is_complete(key, lock)
            use = Use(self._path(key), self._path(key, UNFINISHED), lock, found, found)
            if not found:
                if not try_lock(lock):
                    if use.folder.exists():
                        raise NotShared
                    return None
                if self._is_complete(key, lock) or os.fstat(lock).st_nlink == 0:
                    return None  # another one was faster
                os.ftruncate(lock, 0)
                remove_tree(use.folder)
                remove_tree(use.unfinished)
                use.unfinished.mkdir()
            os.utime(lock)
            mine = True
            return use
        finally:
            if not mine:
                os.close(lock)

    def _remove(self, key: str, kept: float) -> None:
        lock = self._open(key)
        try:
            # It may have been used, or removed, since the check above.
            if not try_lock(lock) or os.fstat(lock).st_nlink == 0:
                return
            if self._path(key, UNFINISHED).exists() or self._used(key) < time.time() - kept:
                for ending in (UNFINISHED, ""):
                    remove_tree(self._path(key, ending))
                self._path(key, LOCK).unlink()
        finally:
            os.close(lock)

    def _is_complete(self, key: str, lock: int) -> bool:
        """Whether the folder has exactly the state in which it was made."""
        folder = self._path(key)
        return folder.is_dir() and os.pread(lock, 100, 0) == _state(folder).encode()

    def _used(self, key: str) -> float:
        try:
            return self._path(key, LOCK).stat().st_mtime
        except FileNotFoundError:
            return 0.0

    def _open(self, key: str) -> int:
        return os.open(self._path(key, LOCK), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def _path(self, key: str, ending: str = "") -> Path:
        return self._root / f"{key}{ending}"


def _flow(key: str) -> str:
    return key.split("-")[0]


def _state(folder: Path) -> str:
    """State of a folder: the names of all entries, and the sizes and times of the files."""
    digest = hashlib.sha256()
    for root, folders, names in os.walk(folder):
        folders.sort()
        for name in [*folders, *sorted(names)]:
            path = f"{root}/{name}"  # no Path: there may be a hundred thousand
            info = os.lstat(path)
            is_folder = stat.S_ISDIR(info.st_mode)
            facts = "" if is_folder else f"{stat.S_IFMT(info.st_mode)} {info.st_size} {info.st_mtime_ns}"
            digest.update(f"{path[len(str(folder)) :]}\0{facts}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()
