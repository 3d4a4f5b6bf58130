"""The containers of blobs that a workspace has, and the storage account that they are of."""

from __future__ import annotations

from azureml_local.workspace import artifacts, datastores, snapshots

ACCOUNT = "localstore"
CONTAINERS = (artifacts.CONTAINER, snapshots.CONTAINER, datastores.CONTAINER)


def is_container(name: str) -> bool:
    """Whether there is such a container: one of the store's own, or that of an upload."""
    return name in CONTAINERS or snapshots.UPLOAD.fullmatch(name) is not None
