"""Content: snapshots of submitted folders (azureml._project, azureml._restclient.snapshots_client)."""

from __future__ import annotations

import uuid
from typing import Any
from urllib.parse import unquote, urlsplit

from fastapi import APIRouter, Response

from azureml_local.server.context import WORKSPACE_PATH, Ctx, Named
from azureml_local.workspace.errors import Invalid
from azureml_local.workspace.snapshots import CONTAINER, EMPTY, MAX_FILES

router = APIRouter()

V1 = "/content/v1.0" + WORKSPACE_PATH + "/snapshots"
V2 = "/content/v2.0" + WORKSPACE_PATH + "/snapshots"


@router.get(V1 + "/latest/metadata")
def latest(ctx: Ctx, name: Named) -> dict[str, Any]:
    """Always "none yet": the client then sends the whole folder.

    What it sent before it remembers by itself.
    """
    return {"id": EMPTY, "root": {}}


@router.get(V1 + "/{snapshot_id}/metadata")
@router.get(V2 + "/{snapshot_id}/metadata", include_in_schema=False)
def metadata(ctx: Ctx, name: Named, snapshot_id: str) -> dict[str, Any]:
    snapshot = ctx.workspace.snapshots.get(snapshot_id)
    return {
        "id": snapshot.id,
        "parentId": snapshot.parent_id,
        "createdTime": snapshot.created,
        "root": snapshot.tree,
    }


@router.post(V2 + "/getblob")
def where_to_upload(ctx: Ctx, name: Named, body: dict[str, Any]) -> dict[str, Any]:
    names = body.get("FileNames")
    if not isinstance(names, list) or len(names) > MAX_FILES or not all(isinstance(n, str) for n in names):
        raise Invalid(f"A snapshot's upload needs a list of at most {MAX_FILES} file names.")
    nodes = [{"fullName": n, "blobUri": ctx.urls.write(CONTAINER, f"files/{uuid.uuid4().hex}")} for n in names]
    return {"fileNodes": nodes}


@router.post(V2 + "/{snapshot_id}/zip")
def zipped(ctx: Ctx, name: Named, snapshot_id: str) -> dict[str, Any]:
    """Where the folder can be fetched from as one file (SnapshotsClient.restore_snapshot)."""
    return {"zipSasUri": ctx.urls.read(CONTAINER, ctx.workspace.snapshots.zipped(snapshot_id))}


@router.post(V2 + "/{snapshot_id}")
def create(ctx: Ctx, name: Named, snapshot_id: str, body: dict[str, Any]) -> Response:
    tree, uploads, parent = (body.get(key) for key in ("DirTreeNode", "FileRevisionList", "ParentSnapshotId"))
    nodes = uploads.get("FileNodes") or [] if isinstance(uploads, dict) else None
    if not isinstance(tree, dict) or not isinstance(nodes, list) or not all(isinstance(node, dict) for node in nodes):
        raise Invalid("A snapshot needs its tree (DirTreeNode) and the list of its uploads (FileRevisionList).")
    if not isinstance(parent, (str, type(None))):
        raise Invalid("A snapshot's parent is named by its id.")
    ctx.workspace.snapshots.create(
        snapshot_id,
        parent if parent and parent != EMPTY else None,
        tree,
        {str(node.get("FullName")): _blob_name(str(node.get("BlobUri") or "")) for node in nodes},
    )
    return Response(status_code=200)


def _blob_name(uri: str) -> str:
    """The blob behind an upload URL of ours. Raises Invalid for any other."""
    try:
        path = unquote(urlsplit(uri).path)
    except ValueError:
        raise Invalid("A file of the snapshot has an address that can't be read.") from None
    prefix = f"/{CONTAINER}/"
    if not path.startswith(prefix + "files/"):
        raise Invalid("A file of the snapshot points somewhere that isn't this server's upload place.")
    return path[len(prefix) :]
