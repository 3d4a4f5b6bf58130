"""File locks between threads and processes; the kernel releases a lock when the last descriptor of the open file is
closed.
"""

from __future__ import annotations

import errno
import fcntl


def try_lock(descriptor: int, *, shared: bool = False) -> bool:
    """Acquire the lock, or convert the held one. Returns False, with no lock held any more, where another holder
    conflicts.
    """
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in (errno.EAGAIN, errno.EACCES):
            raise
        # Linux has released the old lock already when a conversion fails; other systems may not.
        fcntl.flock(descriptor, fcntl.LOCK_UN)
        return False
    return True
