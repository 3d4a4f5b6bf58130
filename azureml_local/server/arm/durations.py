"""ISO 8601 durations, as both SDKs send them."""

from __future__ import annotations

import re

from azureml_local.workspace.errors import Invalid

DURATION = re.compile(r"P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?)?")


def seconds_of(text: str) -> float:
    """A duration such as ``PT1H`` or ``PT1800S`` in seconds. Raises Invalid."""
    match = DURATION.fullmatch(text)
    if match is None:
        raise Invalid(f"{text[:80]!r} is no duration like PT1800S.")
    days, hours, minutes, seconds = (float(part or 0) for part in match.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60 + seconds
