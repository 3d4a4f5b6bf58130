"""Artifacts: the files of a run (logs, outputs, images), and files uploaded for a model.

As in Azure, they are blobs of the container ``azureml`` under ``{origin}/{container}/{path}``, the origin
being ``ExperimentRun`` or ``LocalUpload`` and the container a run's data container. There is no second list
of them to disagree with the blobs.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import BinaryIO

from sqlalchemy.orm import Session

from azureml_local.storage.blobnames import check_name, check_place
from azureml_local.storage.blobrows import BlobRow
from azureml_local.storage.blobs import BlobStore
from azureml_local.workspace.filters import Page

CONTAINER = "azureml"
RUN_ORIGIN = "ExperimentRun"
UPLOAD_ORIGIN = "LocalUpload"
MAX_PAGE = 2000
# Where the SDK and this server keep the logs of a run.
LOG_FOLDERS = ("azureml-logs", "logs", "system_logs", "user_logs")


def clean_path(path: str) -> str:
    """``./outputs/x`` is ``outputs/x`` (the output collector sends the first, readers ask for the second)."""
    while path.startswith("./"):
        path = path[2:]
    return path.strip("/")


def blob_name(origin: str, container: str, path: str) -> str:
    """The name of an artifact's blob. Raises BlobError for a path that no blob can have."""
    name = f"{origin}/{container}/{clean_path(path)}"
    check_place(name)
    return name


def new_blob_name(origin: str, container: str, path: str) -> str:
    """The name of the blob of an artifact that is to be written. Raises BlobError for one that Azure would not take."""
    name = blob_name(origin, container, path)
    check_name(name)
    return name


class Artifacts:
    def __init__(self, blobs: BlobStore) -> None:
        self._blobs = blobs

    def page(
        self, origin: str, container: str, prefix: str = "", *, after: str | None = None, top: int = MAX_PAGE
    ) -> Page[BlobRow]:
        """Some artifacts in order of their paths: all of a container, or the one of exactly the path ``prefix`` and
        those in the folder of this name. ``after`` is what the page before gave as ``next``.
        """
        wanted = clean_path(prefix)
        base = f"{origin}/{container}/"
        found: list[BlobRow] = []
        if wanted and self.exists(origin, container, wanted) and (after or "") < base + wanted:
            found.append(self.get(origin, container, wanted))
        folder = f"{base}{wanted}/" if wanted else base
        found += self._blobs.list(CONTAINER, folder, after=after or "", limit=top + 1)
        return Page(found[:top], found[top - 1].name if len(found) > top else None)

    def under(self, origin: str, container: str, prefix: str = "") -> Sequence[BlobRow]:
        """The same as `page`, but all of them."""
        page = self.page(origin, container, prefix)
        found = page.items
        while page.next is not None:
            page = self.page(origin, container, prefix, after=page.next)
            found += page.items
        return found

    def logs(self, container: str) -> list[BlobRow]:
        """The logs of a run."""
        return [blob for folder in LOG_FOLDERS for blob in self.under(RUN_ORIGIN, container, folder)]

    def forget_all(self, session: Session, origin: str, container: str) -> Sequence[str]:
        """Delete them as a part of the caller's transaction. Returns their files, to `unlink` afterwards."""
        return self._blobs.forget(session, CONTAINER, f"{origin}/{container}/")

    def unlink(self, files: Iterable[str]) -> None:
        self._blobs.unlink(files)

    def get(self, origin: str, container: str, path: str) -> BlobRow:
        return self._blobs.get(CONTAINER, blob_name(origin, container, path))

    def exists(self, origin: str, container: str, path: str) -> bool:
        return self._blobs.exists(CONTAINER, blob_name(origin, container, path))

    def path(self, blob: BlobRow) -> Path:
        return self._blobs.path(blob)

    def open(self, blob: BlobRow) -> tuple[BlobRow, BinaryIO]:
        """As it is now, with its bytes (see `BlobStore.open`)."""
        return self._blobs.open(blob.container, blob.name)

    def put_file(self, origin: str, container: str, path: str, source: BinaryIO) -> None:
        self._blobs.put_file(CONTAINER, blob_name(origin, container, path), source)

    def open_log(self, container: str, path: str) -> Path:
        """The file that a log of a run is written to; readers follow it as it grows."""
        return self._blobs.create_live(CONTAINER, blob_name(RUN_ORIGIN, container, path))

    def close_log(self, container: str, path: str) -> None:
        self._blobs.seal(CONTAINER, blob_name(RUN_ORIGIN, container, path))


def split_name(name: str) -> tuple[str, str, str]:
    """A blob's name as (origin, container, path)."""
    origin, container, path = name.split("/", 2)
    return origin, container, path


def path_of(blob: BlobRow) -> str:
    """An artifact's path within its container."""
    return split_name(blob.name)[2]
