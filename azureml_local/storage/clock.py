"""Times in the service's text form: ISO 8601, UTC, seven digits of a second."""

from __future__ import annotations

import threading
from datetime import datetime, timezone
from email.utils import format_datetime

_last = ""
_lock = threading.Lock()


def now() -> str:
    """The present, e.g.

    ``2026-11-23T23:32:00.1234560+00:00``; never earlier than what this process said before.
    """
    global _last
    text = text_of(datetime.now(timezone.utc))
    with _lock:
        _last = max(_last, text)
        return _last


def text_of(moment: datetime) -> str:
    """A moment (UTC) in the service's text form."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%f0+00:00")


def parse(text: str) -> datetime:
    """The moment that a text of `now` stands for."""
    return datetime.strptime(text[:26] + "+0000", "%Y-%m-%dT%H:%M:%S.%f%z")


def http_date(text: str) -> str:
    """The same in HTTP's form (RFC 9110), as the blob service's headers want it."""
    return format_datetime(parse(text), usegmt=True)
