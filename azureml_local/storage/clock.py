"""Times in the service's text form (ISO 8601, UTC, seven digits of a second), and durations.

The machine's wall clock is set from outside: by NTP, a virtual machine that resumes, a user. It steps by seconds or by
days, in both directions. So it is only used for timestamps; durations and order are measured by the time since boot,
which nothing sets.
"""

from __future__ import annotations

import functools
import re
import threading
import time
import uuid
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from pathlib import Path
from typing import Any

_ISO = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[T ](\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?(?:Z|([+-])(\d\d):?(\d\d))?",
    re.ASCII | re.IGNORECASE,
)
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
# Includes the time that the machine slept: Linux's CLOCK_MONOTONIC excludes it, other systems' doesn't.
_ELAPSED = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def elapsed() -> float:
    """Seconds since boot, sleep included."""
    return time.clock_gettime(_ELAPSED)


@functools.cache
def boot() -> str:
    """The boot id of the machine; on systems without one, an id of this process."""
    try:
        return BOOT_ID.read_text().strip()
    except OSError:
        return uuid.uuid4().hex


_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_lock = threading.Lock()
_begun = time.time() - elapsed()
_ahead = _begun
_last = 0  # microseconds since 1970


def now() -> str:
    """The current time, e.g. ``2026-11-23T23:32:00.1234560+00:00``; strictly increasing within this process.

    When the wall clock steps back, the returned times go on from the latest one until the wall clock has caught up.
    """
    global _ahead, _last
    with _lock:
        passed = elapsed()
        _ahead = max(_ahead, time.time() - passed)
        _last = max(_last + 1, int((passed + _ahead) * 1e6))
        moment = _last
    return text_of(_EPOCH + timedelta(microseconds=moment))


def expired(moment: float) -> bool:
    """Whether a moment (seconds since 1970) is past, both by the wall clock and by the time since this process was
    started.

    The second condition keeps a forward step of the wall clock from ending something early.
    """
    return moment < min(time.time(), _begun + elapsed())


def mark() -> dict[str, Any]:
    """Serializable mark of the current time, from which `seconds_since_mark` computes a duration, in another process
    too.
    """
    return {"time": time.time(), "boot": boot(), "elapsed": elapsed()}


def seconds_since_mark(marked: Mapping[str, Any]) -> float:
    """Seconds since a `mark` was made; by the wall clock only if the machine was rebooted since."""
    same = marked["boot"] == boot()
    return float(elapsed() - marked["elapsed"]) if same else max(0.0, time.time() - marked["time"])


def text_of(moment: datetime) -> str:
    """Text form of a datetime (UTC), as the service writes it."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%f0+00:00")


def normal(text: str) -> str:
    """Normalize a client's time (ISO 8601, with a blank or a T, any zone; none means UTC) to the form of `now`.

    Raises:
        ValueError: it is no time.
    """
    match = _ISO.fullmatch(text)
    if match is None:
        raise ValueError(f"{text[:40]!r} is no time in ISO 8601.")
    year, month, day, hour, minute, second = map(int, match.groups()[:6])
    fraction, sign, hours, minutes = match.groups()[6:]
    try:
        moment = datetime(year, month, day, hour, minute, second)
        if sign:
            moment -= (1 if sign == "+" else -1) * timedelta(hours=int(hours), minutes=int(minutes))
    except OverflowError:
        raise ValueError(f"{text[:40]!r} is no time that can be kept.") from None
    return f"{moment.isoformat()}.{(fraction or '').ljust(7, '0')[:7]}+00:00"


def parse_time(text: str) -> datetime:
    """Parse a text of `now`."""
    return datetime.fromisoformat(text[:26] + "+00:00")  # takes a tenth of strptime's time


def seconds_since(text: str) -> float:
    """Seconds from a text of `now` to the present, for display."""
    return (parse_time(now()) - parse_time(text)).total_seconds()


def http_date(text: str) -> str:
    """HTTP date (RFC 9110) of a text of `now`, for the blob service's headers."""
    return format_datetime(parse_time(text), usegmt=True)
