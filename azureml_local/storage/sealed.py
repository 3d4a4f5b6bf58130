"""Blobs that can't be changed any more: something that was made of them says what they hold, as a snapshot does."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import bindparam, text
from sqlalchemy.orm import Session

from azureml_local.storage.bloberrors import BlobError
from azureml_local.storage.blobrows import BlobRow

MOST_NAMES = 500  # of one statement
SEAL = text(
    "UPDATE blobs SET extra = "
    "json_set(CASE WHEN json_type(extra) = 'object' THEN extra ELSE '{}' END, '$.sealed', json('true')) "
    "WHERE container = :container AND name IN :names"
).bindparams(bindparam("names", expanding=True))


def seal(session: Session, container: str, names: Sequence[str]) -> None:
    """As a part of the caller's transaction: from now on these blobs can be read and deleted, and nothing else."""
    for start in range(0, len(names), MOST_NAMES):
        session.execute(SEAL, {"container": container, "names": names[start : start + MOST_NAMES]})


def check_unsealed(blob: BlobRow | None) -> None:
    """Raises BlobError 409 for a sealed blob; there may be none."""
    if blob is not None and (blob.extra or {}).get("sealed"):
        raise BlobError(409, "BlobImmutableDueToPolicy", f"The blob {blob.name!r} belongs to a snapshot.")
