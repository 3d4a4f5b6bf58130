"""Artifacts: where the files of a run are, and where to put new ones."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import Response

from azureml_local.server.context import WORKSPACE_PATH, Context, Ctx, Named
from azureml_local.server.dataplane import wire
from azureml_local.server.http.ranges import send_file
from azureml_local.storage.blobrows import BlobRow
from azureml_local.workspace.artifacts import CONTAINER, blob_name, clean_path, new_blob_name
from azureml_local.workspace.errors import Invalid, NotBuilt, NotFound

router = APIRouter(prefix="/artifact/v2.0" + WORKSPACE_PATH + "/artifacts")

PRIVATE_PACKAGES = "Environment"  # the origin of wheels (azureml.core.environment)
MAX_PATHS = 10_000
# The names under which Azure's workspace knows the place of its artifacts.
OWN_DATASTORES = (None, "", "workspaceartifactstore")
Token = Annotated[str | None, Query(alias="continuationToken")]


@router.get("/prefix/contentinfo/{origin}/{container}/{path:path}")
def list_content_information(
    ctx: Ctx, name: Named, origin: str, container: str, path: str, token: Token = None
) -> Response:
    """Everything below a prefix, with the URLs to read it from."""
    page = ctx.workspace.artifacts.page(origin, container, path, after=wire.token(token))
    return wire.answer(wire.page([wire.content_information(ctx, blob) for blob in page.items], page.next))


@router.get("/write/{origin}/{container}/{path:path}")
def write_information(ctx: Ctx, name: Named, origin: str, container: str, path: str) -> dict[str, Any]:
    """Where to write an artifact that may be there already (ArtifactsClient.get_writeable_artifact_sas_uri)."""
    return _write_information(ctx, origin, container, path)


@router.get("/contentinfo/{origin}/{container}/{path:path}")
def content_information(ctx: Ctx, name: Named, origin: str, container: str, path: str) -> dict[str, Any]:
    return wire.content_information(ctx, _artifact(ctx, origin, container, path))


@router.get("/metadata/{origin}/{container}/{path:path}")
def metadata(ctx: Ctx, name: Named, origin: str, container: str, path: str) -> dict[str, Any]:
    return wire.artifact(_artifact(ctx, origin, container, path))


@router.get("/content/{origin}/{container}/{path:path}")
def content(ctx: Ctx, name: Named, origin: str, container: str, path: str) -> Response:
    blob, file = ctx.workspace.artifacts.open(_artifact(ctx, origin, container, path))
    return send_file(file, blob.size)


@router.post("/batch/metadata/{origin}/{container}")
def create_empty(
    ctx: Ctx,
    name: Named,
    origin: str,
    container: str,
    body: dict[str, Any],
    datastore: str | None = Query(None, alias="datastoreName"),
) -> dict[str, Any]:
    """Where to write new artifacts. The answer is keyed by each path exactly as it was sent."""
    if datastore not in OWN_DATASTORES:
        raise NotBuilt(
            f"Artifacts can't be kept in the datastore {datastore!r} here, only in the workspace's own. "
            "Leave datastore_name out."
        )
    items = body.get("paths")
    paths = [
        item.get("path") if isinstance(item, dict) else None for item in (items if isinstance(items, list) else [])
    ]
    if not paths or len(paths) > MAX_PATHS or not all(isinstance(path, str) and path for path in paths):
        raise Invalid(f"New artifacts need a list of 1 to {MAX_PATHS} paths.")
    if origin == PRIVATE_PACKAGES:
        raise NotBuilt(
            "Environment.add_private_pip_wheel is not built in azureml-local. Name the wheel by an https or git+https "
            "URL, publish it on an index of yours, or put its modules into the run's source directory."
        )
    information = {str(path): _write_information(ctx, origin, container, str(path)) for path in paths}
    artifacts = {
        path: {
            "artifactId": blob_name(origin, container, path),
            "origin": origin,
            "container": container,
            "path": where["path"],
            "etag": None,
            "createdTime": None,
        }
        for path, where in information.items()
    }
    return {"artifacts": artifacts, "artifactContentInformation": information, "errors": {}}


@router.get("/{origin}/{container}")
def list_in_container(ctx: Ctx, name: Named, origin: str, container: str, token: Token = None) -> Response:
    page = ctx.workspace.artifacts.page(origin, container, after=wire.token(token))
    return wire.answer(wire.page([wire.artifact(blob) for blob in page.items], page.next))


@router.get("/{origin}/{container}/{path:path}")
def list_in_path(ctx: Ctx, name: Named, origin: str, container: str, path: str, token: Token = None) -> Response:
    page = ctx.workspace.artifacts.page(origin, container, path, after=wire.token(token))
    return wire.answer(wire.page([wire.artifact(blob) for blob in page.items], page.next))


def _write_information(ctx: Context, origin: str, container: str, path: str) -> dict[str, Any]:
    return {
        "contentUri": ctx.urls.write(CONTAINER, new_blob_name(origin, container, path)),
        "origin": origin,
        "container": container,
        "path": clean_path(path),
    }


def _artifact(ctx: Context, origin: str, container: str, path: str) -> BlobRow:
    if not ctx.workspace.artifacts.exists(origin, container, path):
        raise NotFound(f"There is no artifact {path!r} in {origin}/{container}.")
    return ctx.workspace.artifacts.get(origin, container, path)
