"""Validation of texts from clients: names, tags, properties."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from azureml_local.storage.blobnames import CONTROL
from azureml_local.workspace.errors import Invalid

MAX_KEYS = 1000
MAX_TEXT = 100_000


def check_text(what: str, text: str) -> str:
    """The text itself. Raises Invalid for one that no reader could be sent: half of a surrogate pair, or a
    text that is too long.
    """
    if len(text) > MAX_TEXT:
        raise Invalid(f"{what} is longer than {MAX_TEXT} characters.")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise Invalid(f"{what} has characters that are none: {text[:40]!r}.") from None
    return text


def check_name(what: str, name: str) -> str:
    """The name itself. Raises Invalid as `check_text` does, and for control characters: a name is one line."""
    if CONTROL.search(name):
        raise Invalid(f"{what} has control characters: {name[:80]!r}.")
    return check_text(what, name)


def texts(what: str, given: Any) -> dict[str, str | None]:
    """Tags or properties as they are kept: text for what isn't, and None for a tag that is just a name
    (``run.tag("x")``).

    Raises:
        Invalid: it is no dictionary, has more than MAX_KEYS entries, or one that couldn't be found again.
    """
    if given is None:
        return {}
    if not isinstance(given, Mapping) or len(given) > MAX_KEYS:
        raise Invalid(f"The {what} must be a dictionary of at most {MAX_KEYS} entries.")
    if any("\0" in str(text) for pair in given.items() for text in pair):
        raise Invalid(f"The {what} have a NUL in them, where SQLite's JSON ends.")
    kept: dict[str, str | None] = {}
    for key, value in given.items():
        check_name(f"A key of the {what}", str(key))
        kept[str(key)] = None if value is None else check_text(f"A value of the {what}", str(value))
    return kept
