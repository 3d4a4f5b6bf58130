"""Artifacts: the files of a run (logs, outputs, images), and files uploaded for a model.

As in Azure, they are blobs of the container ``azureml`` under ``{origin}/{container}/{path}``, the origin
being ``ExperimentRun`` or ``LocalUpload`` and the container a run's data container. There is no second list
of them to disagree with the blobs.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from azureml_local.storage.blobs import BlobStore, check_name
from azureml_local.storage.tables import Blob

CONTAINER = "azureml"
RUN_ORIGIN = "ExperimentRun"


def clean_path(path: str) -> str:
    """``./outputs/x`` is ``outputs/x`` (the output collector sends the first, readers ask for the second)."""
    while path.startswith("./"):
        path = path[2:]
    return path.strip("/")


def blob_name(origin: str, container: str, path: str) -> str:
    """The name of an artifact's blob. Raises BlobError for a path that no blob can have."""
    name = f"{origin}/{container}/{clean_path(path)}"
    check_name(name)
    return name


class Artifacts:
    def __init__(self, blobs: BlobStore) -> None:
        self._blobs = blobs

    def list(self, origin: str, container: str, prefix: str = "") -> Sequence[Blob]:
        return self._blobs.list(CONTAINER, f"{origin}/{container}/{clean_path(prefix) if prefix else ''}")

    def under(self, origin: str, container: str, prefix: str) -> Sequence[Blob]:
        """The artifact of exactly this path, and those in the folder of this name."""
        wanted = clean_path(prefix)
        found = self.list(origin, container, wanted)
        start = len(f"{origin}/{container}/")
        return [b for b in found if not wanted or b.name[start:] == wanted or b.name[start:].startswith(wanted + "/")]

    def get(self, origin: str, container: str, path: str) -> Blob:
        return self._blobs.get(CONTAINER, blob_name(origin, container, path))

    def exists(self, origin: str, container: str, path: str) -> bool:
        return self._blobs.exists(CONTAINER, blob_name(origin, container, path))

    def path(self, blob: Blob) -> Path:
        return self._blobs.path(blob)

    def put_file(self, origin: str, container: str, path: str, source: Path) -> None:
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
