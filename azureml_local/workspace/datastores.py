"""Datastores: the one that a workspace has, which is a container of its own blobs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from sqlalchemy import select

from azureml_local.names import WorkspaceName
from azureml_local.storage.blobnames import CONTROL, begins
from azureml_local.storage.database import Database
from azureml_local.storage.tables import Blob
from azureml_local.workspace.errors import Invalid

DEFAULT = "workspaceblobstore"
CONTAINER = "azureml-blobstore"
# Where Azure keeps the files of runs, under this name; theirs is the container of `artifacts`.
ARTIFACTS = "workspaceartifactstore"
# Where the path of a data flow begins that is in a workspace's datastore.
PLACE = re.compile(
    r"azureml://subscriptions/([^/\n]+)/resourcegroups/([^/\n]+)/workspaces/([^/\n]+)/datastores/([^/\n]+)/paths/",
    re.IGNORECASE,
)


def etags(database: Database, prefix: str, container: str = CONTAINER) -> Sequence[tuple[str, str]]:
    """The names and etags of a container's blobs whose names begin so; an etag is another one after each change of its
    blob.
    """
    query = select(Blob.name, Blob.etag).where(Blob.container == container, begins(Blob.name, prefix))
    with database.read() as session:
        return [(name, etag) for name, etag in session.execute(query)]


def renamed(flow: str, known: Iterable[WorkspaceName], name: WorkspaceName) -> str:
    """A data flow (YAML) in which the workspace's datastores are told under this name of the workspace's.

    The SDK's data engine refuses to read what is of another workspace than its own, and takes the names in such a
    place for the workspace's. Places of a workspace that none of the ``known`` names means stay as they are.
    """
    keys = {each.key() for each in known}

    def told(place: re.Match[str]) -> str:
        return dataflow_path(name, "", place[4]) if WorkspaceName(*place.group(1, 2, 3)).key() in keys else place[0]

    return PLACE.sub(told, flow)


def dataflow_path(workspace: WorkspaceName, path: str, datastore: str = DEFAULT) -> str:
    """How a data flow names a place in the datastore (as ``Dataset.File.from_files((datastore, path))`` writes it)."""
    return (
        f"azureml://subscriptions/{workspace.subscription_id}/resourcegroups/{workspace.resource_group}"
        f"/workspaces/{workspace.name}/datastores/{datastore}/paths/{path}"
    )


def clean_path(path: str) -> str:
    """A path in the datastore, without a slash at either end. Raises Invalid for one that leads out of it."""
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if ".." in parts or "\\" in path or CONTROL.search(path):
        raise Invalid(f"{path[:120]!r} is no path in a datastore.")
    return "/".join(parts)
