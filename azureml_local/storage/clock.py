"""Times in the service's text form (ISO 8601, UTC, seven digits of a second), and durations.

The machine's wall clock is set by others: NTP, a virtual machine that wakes, a user. It steps by seconds or by days, in
both directions. So it only says when something was; how long something took, and what came first, is measured by the
time since the machine was started, which nobody sets.
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
# With the time that the machine slept: Linux's CLOCK_MONOTONIC leaves it out, others' doesn't.
_ELAPSED = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def elapsed() -> float:
    """Seconds since the machine was started, its sleep included."""
    return time.clock_gettime(_ELAPSED)


@functools.cache
def boot() -> str:
    """The id of this start of the machine; where the system has none, one of this process."""
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
    """The present, e.g. ``2026-11-23T23:32:00.1234560+00:00``; later than what this process said before.

    When the wall clock steps back, time goes on here from where it was until the wall clock has caught up.
    """
    global _ahead, _last
    with _lock:
        passed = elapsed()
        _ahead = max(_ahead, time.time() - passed)
        _last = max(_last + 1, int((passed + _ahead) * 1e6))
        moment = _last
    return text_of(_EPOCH + timedelta(microseconds=moment))


def expired(moment: float) -> bool:
    """Whether a moment (seconds since 1970) is past: by the wall clock, and by the time since this process was started.

    By the second too, so that a step forward ends nothing before its time.
    """
    return moment < min(time.time(), _begun + elapsed())


def mark() -> dict[str, Any]:
    """The present, to be kept: `seconds_since_mark` says later how long ago that was, to another process too."""
    return {"time": time.time(), "boot": boot(), "elapsed": elapsed()}


def seconds_since_mark(marked: Mapping[str, Any]) -> float:
    """How long ago a `mark` was made. Only where the machine was started anew does the wall clock say it."""
    same = marked["boot"] == boot()
    return float(elapsed() - marked["elapsed"]) if same else max(0.0, time.time() - marked["time"])


def text_of(moment: datetime) -> str:
    """A moment (UTC) in the service's text form."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%f0+00:00")


def normal(text: str) -> str:
    """A client's time (ISO 8601, with a blank or a T, any zone; none means UTC) in the form of `now`.

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
    """The moment that a text of `now` stands for."""
    return datetime.fromisoformat(text[:26] + "+00:00")  # a tenth of what strptime takes


def seconds_since(text: str) -> float:
    """How long ago that was, as `now` counts: for what is shown."""
    return (parse_time(now()) - parse_time(text)).total_seconds()


def http_date(text: str) -> str:
    """The same in HTTP's form (RFC 9110), as the blob service's headers want it."""
    return format_datetime(parse_time(text), usegmt=True)
