"""Artifacts: the locations of a run's files, and of new ones."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import Response

from azureml_local.server.access import permissions
from azureml_local.server.access.auth import Caller
from azureml_local.server.context import WORKSPACE_PATH, Asker, Context, Ctx, Named, storage_suffix
from azureml_local.server.dataplane import wire
from azureml_local.server.errors import Forbidden
from azureml_local.server.http.ranges import send_file
from azureml_local.storage.blobrows import BlobRow
from azureml_local.workspace.artifacts import CONTAINER, RUN_ORIGIN, blob_name, clean_path, new_blob_name
from azureml_local.workspace.containers import ACCOUNT
from azureml_local.workspace.errors import Invalid, NotBuilt, NotFound
from azureml_local.workspace.runs import container_name

router = APIRouter()
OF_WORKSPACE = "/artifact/v2.0" + WORKSPACE_PATH + "/artifacts"
# The same of one run, as azureml-mlflow asks (azureml.mlflow's run_artifacts client).
OF_RUN = "/history/v1.0" + WORKSPACE_PATH + "/experiments/{experiment}/runs/{run_id}/artifacts"

PRIVATE_PACKAGES = "Environment"  # the origin of wheels (azureml.core.environment)
MAX_PATHS = 10_000
# The names under which Azure's workspace knows the place of its artifacts.
OWN_DATASTORES = (None, "", "workspaceartifactstore")
Token = Annotated[str | None, Query(alias="continuationToken")]


@router.get(OF_WORKSPACE + "/prefix/contentinfo/{origin}/{container}/{path:path}")
def list_content_information(
    ctx: Ctx, name: Named, origin: str, container: str, path: str, token: Token = None
) -> Response:
    """Everything below a prefix, with the URLs to read it from."""
    page = ctx.workspace.artifacts.page(origin, container, path, after=wire.token(token))
    return wire.answer(wire.page([wire.content_information(ctx, blob) for blob in page.items], page.next))


@router.get(OF_WORKSPACE + "/write/{origin}/{container}/{path:path}")
def write_information(ctx: Ctx, name: Named, asker: Asker, origin: str, container: str, path: str) -> dict[str, Any]:
    """Where to write an artifact that may be there already (ArtifactsClient.get_writeable_artifact_sas_uri)."""
    if not permissions.may_replace_artifacts(ctx.workspace.runs, asker, origin, container):
        raise Forbidden("A job's token replaces no file that was uploaded for a model. Do this from a client.")
    return _write_information(ctx, asker, origin, container, path)


@router.get(OF_WORKSPACE + "/contentinfo/{origin}/{container}/{path:path}")
def content_information(ctx: Ctx, name: Named, origin: str, container: str, path: str) -> dict[str, Any]:
    return wire.content_information(ctx, _artifact(ctx, origin, container, path))


@router.get(OF_WORKSPACE + "/metadata/{origin}/{container}/{path:path}")
def metadata(ctx: Ctx, name: Named, origin: str, container: str, path: str) -> dict[str, Any]:
    return wire.artifact(_artifact(ctx, origin, container, path))


@router.get(OF_WORKSPACE + "/content/{origin}/{container}/{path:path}")
def content(ctx: Ctx, name: Named, origin: str, container: str, path: str) -> Response:
    blob, file = ctx.workspace.artifacts.open(_artifact(ctx, origin, container, path))
    return send_file(file, blob.size)


@router.post(OF_WORKSPACE + "/batch/metadata/{origin}/{container}")
def create_empty(
    ctx: Ctx,
    name: Named,
    asker: Asker,
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
    information = {str(path): _write_information(ctx, asker, origin, container, str(path)) for path in paths}
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


@router.post(OF_WORKSPACE + "/{origin}/{container}/batch/metadata")
def create_empty_by_container(
    ctx: Ctx, name: Named, asker: Asker, origin: str, container: str, body: dict[str, Any]
) -> dict[str, Any]:
    """The same, as azureml-mlflow asks for what it uploads for a model."""
    return create_empty(ctx, name, asker, origin, container, body, None)


@router.get(OF_WORKSPACE + "/{origin}/{container}/contentinfo")
def content_information_by_query(ctx: Ctx, name: Named, origin: str, container: str, path: str) -> dict[str, Any]:
    return _for_plugin(ctx, _artifact(ctx, origin, container, path))


@router.post(OF_RUN + "/batch/metadata")
def create_empty_of_run(
    ctx: Ctx, name: Named, asker: Asker, experiment: str, run_id: str, body: dict[str, Any]
) -> dict[str, Any]:
    return create_empty(ctx, name, asker, RUN_ORIGIN, _container(ctx, run_id), body, None)


@router.get(OF_RUN)
def list_of_run(ctx: Ctx, name: Named, experiment: str, run_id: str, token: Token = None) -> Response:
    return list_in_container(ctx, name, RUN_ORIGIN, _container(ctx, run_id), token)


@router.get(OF_RUN + "/contentinfo")
def content_information_of_run(ctx: Ctx, name: Named, experiment: str, run_id: str, path: str) -> dict[str, Any]:
    return _for_plugin(ctx, _artifact(ctx, RUN_ORIGIN, _container(ctx, run_id), path))


@router.get(OF_WORKSPACE + "/{origin}/{container}")
def list_in_container(ctx: Ctx, name: Named, origin: str, container: str, token: Token = None) -> Response:
    page = ctx.workspace.artifacts.page(origin, container, after=wire.token(token))
    return wire.answer(wire.page([wire.artifact(blob) for blob in page.items], page.next))


@router.get(OF_WORKSPACE + "/{origin}/{container}/{path:path}")
def list_in_path(ctx: Ctx, name: Named, origin: str, container: str, path: str, token: Token = None) -> Response:
    page = ctx.workspace.artifacts.page(origin, container, path, after=wire.token(token))
    return wire.answer(wire.page([wire.artifact(blob) for blob in page.items], page.next))


def _write_information(ctx: Context, asker: Caller, origin: str, container: str, path: str) -> dict[str, Any]:
    name = new_blob_name(origin, container, path)
    replaces = permissions.may_replace_artifacts(ctx.workspace.runs, asker, origin, container)
    return {
        "contentUri": ctx.urls.write(CONTAINER, name) if replaces else ctx.urls.create(CONTAINER, name),
        "origin": origin,
        "container": container,
        "path": clean_path(path),
    }


def _for_plugin(ctx: Context, blob: BlobRow) -> dict[str, Any]:
    """azureml-mlflow fetches a URL only when it looks like one of its cloud's storage, and else does nothing, without a
    word (is_source_uri_matches_storage_blob): a client's cloud is this server's, a job's is Azure's, by their suffixes.
    """
    found = wire.content_information(ctx, blob)
    host = f"https://{ACCOUNT}.blob.{storage_suffix(ctx)}/"
    address, _, query = found["contentUri"].removeprefix(f"{ctx.endpoints.api}/").partition("?")
    return {**found, "contentUri": f"{host}{address}?as=.blob.core.windows.net/-/?&{query}"}


def _container(ctx: Context, run_id: str) -> str:
    """Raises NotFound for a run that isn't there."""
    return container_name(ctx.workspace.runs.get(run_id).id)


def _artifact(ctx: Context, origin: str, container: str, path: str) -> BlobRow:
    if not ctx.workspace.artifacts.exists(origin, container, path):
        raise NotFound(f"There is no artifact {path!r} in {origin}/{container}.")
    return ctx.workspace.artifacts.get(origin, container, path)
