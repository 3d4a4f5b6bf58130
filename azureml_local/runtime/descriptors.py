"""Budget of file descriptors: this process's limit (setrlimit(2), RLIMIT_NOFILE), and its shares.

A server's connections are files too, and anyone on the machine can open them. So they get a share, and the rest is
reserved for jobs, blobs and the database.
"""

from __future__ import annotations

import functools
import resource
from dataclasses import dataclass

MOST_TO_API, MOST_TO_PAGES = 512, 256
# More than a server needs.
MOST = 65536


@dataclass(frozen=True)
class Descriptors:
    """The descriptor limit of this process, and its shares."""

    limit: int

    @property
    def for_api(self) -> int:
        """Maximum of API connections. Each may have another file open, a blob for example."""
        return max(8, min(MOST_TO_API, self.limit // 4))

    @property
    def for_pages(self) -> int:
        """Maximum of connections to sign-in and pages."""
        return max(8, min(MOST_TO_PAGES, self.limit // 8))


@functools.cache
def limit_of_user() -> int:
    """The soft limit with which this process was started. Jobs get it too: some programs loop over all descriptors up
    to it.
    """
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def raise_limit() -> Descriptors:
    """Raise the soft limit of this process to the hard one."""
    soft, (_, hard) = limit_of_user(), resource.getrlimit(resource.RLIMIT_NOFILE)
    most = MOST if hard == resource.RLIM_INFINITY else min(hard, MOST)
    if soft == resource.RLIM_INFINITY or soft >= most:
        return Descriptors(most)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    except (OSError, ValueError):
        return Descriptors(soft)  # macOS's kernel has another limit, which may be lower
    return Descriptors(most)
