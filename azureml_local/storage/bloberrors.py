"""Errors of blob operations, with the blob service's own codes and HTTP statuses."""

from __future__ import annotations


class BlobError(Exception):
    """A blob operation that can't be done. ``code`` and ``status`` are the blob service's own."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code = status, code


def missing(container: str, name: str) -> BlobError:
    return BlobError(404, "BlobNotFound", f"The blob {name!r} doesn't exist in the container {container!r}.")
