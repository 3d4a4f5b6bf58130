"""Usage count of a state folder's server: the last command that uses it stops it."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator

from azureml_local.storage.folder import StateFolder


class Users:
    """Each holds a shared lock (flock(2)) while it lasts; the kernel takes it back however a command ends.

    The file holds the process id of a server that lasts only as long as it is used.
    """

    def __init__(self, folder: StateFolder) -> None:
        self._path = folder.users
        self._descriptor = -1

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """Be one of them. Waits while the last of the others stops the server."""
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_SH)
            yield
        finally:
            os.close(self._descriptor)

    def lasts_while_used(self, pid: int | None) -> None:
        """The server of this process id ends with its last user; with None, it stays until it is stopped."""
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, b"" if pid is None else str(pid).encode(), 0)

    def is_last(self, pid: int) -> bool:
        """Whether a server is to be stopped by this user, who may not use it any more; others wait from now on."""
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return os.pread(self._descriptor, 32, 0) == str(pid).encode()


__all__ = ["Users"]
