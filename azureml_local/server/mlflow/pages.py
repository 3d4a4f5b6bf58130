"""Pages of lists that are searched as a whole."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from azureml_local.workspace.errors import Invalid

T = TypeVar("T")


def page_of(items: Sequence[T], token: str | None, most: int) -> tuple[Sequence[T], str | None]:
    """The items after the token's place, and the token of the next page. Raises Invalid for what is no token."""
    start = 0
    if token:
        if not (token.isascii() and token.isdecimal() and len(token) < 12):
            raise Invalid(f"{token[:40]!r} is no page token of this list.")
        start = int(token)
    end = start + most
    return items[start:end], str(end) if end < len(items) else None
