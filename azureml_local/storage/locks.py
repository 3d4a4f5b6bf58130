"""Locks on files, between threads and processes: the kernel lets go of them with the last that has the file open."""

from __future__ import annotations

import errno
import fcntl


def try_lock(descriptor: int, *, shared: bool = False) -> bool:
    """Get it, or turn what is held into it. False, with nothing held any more, where others are in the way."""
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in (errno.EAGAIN, errno.EACCES):
            raise
        # Linux has let go already when it can't turn one into the other; others may not.
        fcntl.flock(descriptor, fcntl.LOCK_UN)
        return False
    return True
