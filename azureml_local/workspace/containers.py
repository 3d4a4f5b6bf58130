"""The containers of blobs that a workspace has, and the storage account that they are of."""

from __future__ import annotations

from azureml_local.workspace import artifacts, datastores, snapshots

ACCOUNT = "localstore"
CONTAINERS = (artifacts.CONTAINER, snapshots.CONTAINER, datastores.CONTAINER)
