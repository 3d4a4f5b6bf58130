"""The variables of a client as text: for a shell, or as the `.env` file that editors and other programs read."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from enum import Enum

# Nothing in it means anything to any of the readers, so it needs no quotes.
_PLAIN = re.compile(r"[\w./:@%+,=~^-]*", re.ASCII)
# Readers differ on what these are within quotes, and some put another variable's value in the place of ${NAME}.
_AMBIGUOUS = re.compile(r"['\\\x00-\x1f]|\$\{")


class Format(str, Enum):
    """The values are the words of the command line."""

    SHELL = "shell"
    DOTENV = "dotenv"


class UnwritableVariable(Exception):
    """A value that not every reader of a `.env` file would read alike; the message says what to do."""


def written(variables: Mapping[str, str], form: Format) -> str:
    """A line for each variable.

    Raises:
        UnwritableVariable: as ``Format.DOTENV``, which has no rules that all its readers keep. Shells take anything.
    """
    if form is Format.SHELL:
        return "\n".join(f"export {name}={shlex.quote(value)}" for name, value in variables.items())
    return "\n".join(f"{name}={_dotenv(name, value)}" for name, value in variables.items())


def _dotenv(name: str, value: str) -> str:
    if _PLAIN.fullmatch(value):
        return value
    if _AMBIGUOUS.search(value):
        raise UnwritableVariable(
            f"{name} can't stand in a .env file, where each program reads quotes, backslashes and ${{...}} in its own "
            "way. Choose a folder without them: --state FOLDER, and see PYTHONPATH."
        )
    return f"'{value}'"


__all__ = ["Format", "UnwritableVariable", "written"]
