"""Artifacts: where the files of a run are, and where to put new ones."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from fastapi.responses import Response

from azureml_local.server import wire
from azureml_local.server.context import WORKSPACE_PATH, Context, Ctx, Named
from azureml_local.server.ranges import send_file
from azureml_local.storage.tables import Blob
from azureml_local.workspace.artifacts import CONTAINER, blob_name, clean_path
from azureml_local.workspace.errors import Invalid, NotBuilt, NotFound

router = APIRouter(prefix="/artifact/v2.0" + WORKSPACE_PATH + "/artifacts")

PRIVATE_PACKAGES = "Environment"  # the origin of wheels (azureml.core.environment)
MAX_PATHS = 10_000


@router.get("/prefix/contentinfo/{origin}/{container}/{path:path}")
def list_content_information(ctx: Ctx, name: Named, origin: str, container: str, path: str) -> dict[str, Any]:
    """Everything below a prefix, with the URLs to read it from."""
    found = ctx.workspace.artifacts.under(origin, container, path)
    return wire.page([wire.content_information(ctx, blob) for blob in found])


@router.get("/contentinfo/{origin}/{container}/{path:path}")
def content_information(ctx: Ctx, name: Named, origin: str, container: str, path: str) -> dict[str, Any]:
    return wire.content_information(ctx, _artifact(ctx, origin, container, path))


@router.get("/metadata/{origin}/{container}/{path:path}")
def metadata(ctx: Ctx, name: Named, origin: str, container: str, path: str) -> dict[str, Any]:
    return wire.artifact(_artifact(ctx, origin, container, path))


@router.get("/content/{origin}/{container}/{path:path}")
def content(ctx: Ctx, name: Named, origin: str, container: str, path: str) -> Response:
    blob = _artifact(ctx, origin, container, path)
    return send_file(ctx.workspace.artifacts.path(blob), blob.size)


@router.post("/batch/metadata/{origin}/{container}")
def create_empty(ctx: Ctx, name: Named, origin: str, container: str, body: dict[str, Any]) -> dict[str, Any]:
    """Where to write new artifacts. The answer is keyed by each path exactly as it was sent."""
    paths = [item.get("path") if isinstance(item, dict) else None for item in body.get("paths") or []]
    if not paths or len(paths) > MAX_PATHS or not all(isinstance(path, str) and path for path in paths):
        raise Invalid(f"New artifacts need a list of 1 to {MAX_PATHS} paths.")
    if origin == PRIVATE_PACKAGES:
        raise NotBuilt(
            "Environment.add_private_pip_wheel is not built in azureml-local. Name the wheel by an https or git+https "
            "URL, publish it on an index of yours, or put its modules into the run's source directory."
        )
    artifacts, information = {}, {}
    for path in paths:
        blob = blob_name(origin, container, str(path))
        artifacts[path] = {
            "artifactId": blob,
            "origin": origin,
            "container": container,
            "path": clean_path(str(path)),
            "etag": None,
            "createdTime": None,
        }
        information[path] = {
            "contentUri": ctx.urls.write(CONTAINER, blob),
            "origin": origin,
            "container": container,
            "path": clean_path(str(path)),
        }
    return {"artifacts": artifacts, "artifactContentInformation": information, "errors": {}}


@router.get("/{origin}/{container}")
def list_in_container(ctx: Ctx, name: Named, origin: str, container: str) -> dict[str, Any]:
    return wire.page([wire.artifact(blob) for blob in ctx.workspace.artifacts.list(origin, container)])


@router.get("/{origin}/{container}/{path:path}")
def list_in_path(ctx: Ctx, name: Named, origin: str, container: str, path: str) -> dict[str, Any]:
    return wire.page([wire.artifact(blob) for blob in ctx.workspace.artifacts.under(origin, container, path)])


def _artifact(ctx: Context, origin: str, container: str, path: str) -> Blob:
    if not ctx.workspace.artifacts.exists(origin, container, path):
        raise NotFound(f"There is no artifact {path!r} in {origin}/{container}.")
    return ctx.workspace.artifacts.get(origin, container, path)
