"""What the commands print: names of users, jobs and folders are text there, not markup and not a terminal's orders."""

from __future__ import annotations

import re
from typing import Any

from rich.console import Console
from rich.text import Text

# Control characters of ASCII and Latin-1 but the line feed, which ends our own lines; line and paragraph separators;
# and what makes a terminal show text in another order than it has.
UNSHOWN = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def shown(text: object) -> str:
    """A text of others on one line, with escapes in the place of what a terminal would not show as it is."""
    return visible(str(text)).replace("\n", "\\n")


def visible(text: str) -> str:
    """The same, but it may have several lines."""
    return UNSHOWN.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


class Terminal(Console):
    """A console on which every text, those in tables among them, is shown as it is."""

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, emoji=False, highlight=False, soft_wrap=True, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(visible(text), **options)


out = Terminal()
err = Terminal(stderr=True)


__all__ = ["Terminal", "err", "out", "shown", "visible"]
