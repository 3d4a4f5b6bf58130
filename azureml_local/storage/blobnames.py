"""Blob names: which are valid, and their sort order."""

from __future__ import annotations

import re
from typing import Any

from sqlalchemy import ColumnElement, SQLColumnExpression, and_

from azureml_local.storage.bloberrors import BlobError

MAX_BLOB_NAME = 1024
# C0, DEL and C1. Azure's service takes none of them ("Naming and referencing containers, blobs, and metadata").
CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")
# Sorts after every character that a name holds.
LAST = "\U0010ffff"


def begins(column: SQLColumnExpression[Any], prefix: str) -> ColumnElement[bool]:
    """SQL condition "the name starts with this prefix", as a range of the index: LIKE would fold case and read % and _
    as wildcards.
    """
    return and_(column >= prefix, column < prefix + LAST)


def is_name(name: str) -> bool:
    """Whether this is a valid blob name."""
    try:
        name.encode()
        check_name(name)
    except (BlobError, UnicodeError):
        return False
    return True


def check_name(name: str) -> None:
    """Raises BlobError for a name that the blob service would not take, or that could mislead whoever
    downloads it.
    """
    check_place(name)
    if CONTROL.search(name):
        raise BlobError(400, "InvalidResourceName", f"{name[:80]!r} is no valid blob name: it has control characters.")


def check_place(name: str) -> None:
    """`check_name`, but control characters are accepted: blobs with such names, which older versions stored, can still
    be read and deleted.
    """
    parts = name.split("/")
    if not name or len(name) > MAX_BLOB_NAME or "\0" in name or "\\" in name or ".." in parts or name.startswith("/"):
        raise BlobError(400, "InvalidResourceName", f"{name[:80]!r} is no valid blob name.")
