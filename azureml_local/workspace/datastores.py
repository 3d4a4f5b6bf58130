"""Datastores: the one that a workspace has, which is a container of its own blobs."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select

from azureml_local.names import WorkspaceName
from azureml_local.storage.blobnames import CONTROL, begins
from azureml_local.storage.database import Database
from azureml_local.storage.tables import Blob
from azureml_local.workspace.errors import Conflict, Invalid, NotFound

DEFAULT = "workspaceblobstore"
CONTAINER = "azureml-blobstore"


def check_exists(name: str) -> None:
    """Raises NotFound for any datastore but the workspace's own."""
    if name != DEFAULT:
        raise NotFound(f"There is no datastore {name!r} in this workspace; it has {DEFAULT!r}.")


def check_deletable(name: str) -> None:
    """Raises Conflict for the default datastore, which Azure doesn't let go of either. NotFound for others."""
    check_exists(name)
    raise Conflict(f"The datastore {name!r} is the workspace's default; it can't be unregistered.")


def etags(database: Database, prefix: str) -> Sequence[tuple[str, str]]:
    """The names and etags of the blobs whose names begin so; an etag is another one after each change of its blob."""
    query = select(Blob.name, Blob.etag).where(Blob.container == CONTAINER, begins(Blob.name, prefix))
    with database.read() as session:
        return [(name, etag) for name, etag in session.execute(query)]


def dataflow_path(workspace: WorkspaceName, path: str) -> str:
    """How a data flow names a place in the datastore (as ``Dataset.File.from_files((datastore, path))`` writes it)."""
    return (
        f"azureml://subscriptions/{workspace.subscription_id}/resourcegroups/{workspace.resource_group}"
        f"/workspaces/{workspace.name}/datastores/{DEFAULT}/paths/{path}"
    )


def clean_path(path: str) -> str:
    """A path in the datastore, without a slash at either end. Raises Invalid for one that leads out of it."""
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if ".." in parts or "\\" in path or CONTROL.search(path):
        raise Invalid(f"{path[:120]!r} is no path in a datastore.")
    return "/".join(parts)
