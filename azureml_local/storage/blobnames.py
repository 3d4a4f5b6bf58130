"""Names of blobs: which there may be, and where they end when they are sorted."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, SQLColumnExpression, and_

from azureml_local.storage.bloberrors import BlobError

MAX_BLOB_NAME = 1024
# Sorts after every character that a name holds.
LAST = "\U0010ffff"


def begins(column: SQLColumnExpression[Any], prefix: str) -> ColumnElement[bool]:
    """Whether a name begins so, as a range of the index: LIKE would fold case and read % and _ as wildcards."""
    return and_(column >= prefix, column < prefix + LAST)


def check_name(name: str) -> None:
    """Raises BlobError for a name that the blob service would not take, or that could mislead whoever
    downloads it.
    """
    parts = name.split("/")
    if not name or len(name) > MAX_BLOB_NAME or "\0" in name or "\\" in name or ".." in parts or name.startswith("/"):
        raise BlobError(400, "InvalidResourceName", f"{name[:80]!r} is no valid blob name.")
