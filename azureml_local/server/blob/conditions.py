"""Conditional headers of the blob service (If-Match, If-None-Match and the like).

Source: "Specifying conditional headers for Blob service operations" of the Storage REST documentation.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime

from azureml_local.storage.blobrows import BlobRow
from azureml_local.storage.blobs import BlobError, Condition, always, if_absent
from azureml_local.storage.clock import parse_time

NAMES = ("if-match", "if-none-match", "if-modified-since", "if-unmodified-since")


def condition_of(headers: Mapping[str, str], *, reading: bool = False) -> Condition:
    """What the headers ask for: it raises BlobError 412, for a reader 304 where nothing is new.

    Raises BlobError 400 for a date that is none.
    """
    asked = {name: headers[name] for name in NAMES if name in headers}
    if not asked:
        return always
    if asked.get("if-none-match") == "*" and not reading:
        return if_absent
    newer, older = (_date(asked[name]) if name in asked else None for name in NAMES[2:])

    def check(blob: BlobRow | None) -> None:
        if blob is None:
            if "if-match" in asked:
                raise _not_met()
            return
        modified = parse_time(blob.modified).replace(microsecond=0)
        unchanged = ("if-none-match" in asked and _matches(blob, asked["if-none-match"])) or (
            newer is not None and modified <= newer
        )
        if unchanged and reading:
            raise BlobError(304, "ConditionNotMet", "The blob is the one that you have.")
        other = "if-match" in asked and not _matches(blob, asked["if-match"])
        if unchanged or other or (older is not None and modified > older):
            raise _not_met()

    return check


def _matches(blob: BlobRow, text: str) -> bool:
    return text == "*" or blob.etag.strip('"') in [tag.strip().removeprefix("W/").strip('"') for tag in text.split(",")]


def _date(text: str) -> datetime:
    try:
        found = parsedate_to_datetime(text)
        return found if found.tzinfo else found.replace(tzinfo=timezone.utc)
    except (ValueError, TypeError, OverflowError, IndexError):
        raise BlobError(400, "InvalidHeaderValue", f"{text[:80]!r} is no date in HTTP's form.") from None


def _not_met() -> BlobError:
    return BlobError(412, "ConditionNotMet", "The condition in the request's headers is not met.")
