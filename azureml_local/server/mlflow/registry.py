"""The model registry: registered models and their versions, which are those of SDK v1 and v2 too."""

from __future__ import annotations

import re
from typing import Any

from fastapi import APIRouter, Query

from azureml_local.names import WorkspaceName
from azureml_local.server.access import permissions
from azureml_local.server.context import WORKSPACE_PATH, Asker, Context, Ctx, Named
from azureml_local.server.mlflow import search, wire
from azureml_local.server.mlflow.bodies import LatestWanted, NewModel, NewModelVersion
from azureml_local.server.mlflow.pages import page_of
from azureml_local.storage.tables import AssetName, AssetVersion
from azureml_local.workspace.artifacts import RUN_ORIGIN, clean_path
from azureml_local.workspace.assets import NewVersion
from azureml_local.workspace.errors import Invalid, NotFound
from azureml_local.workspace.runs import container_name

router = APIRouter(prefix="/mlflow/{version}" + WORKSPACE_PATH + "/api/2.0/mlflow")

# Where the files of a version may be: among a run's artifacts, or uploaded for it (azureml.mlflow's model_registry).
OF_RUN = re.compile(r"azureml://[^/]+/.*/runs/([^/]+)/artifacts/(.+)", re.DOTALL)
UPLOADED = re.compile(r"azureml://artifacts/(LocalUpload)/([^/]+)/(.+)", re.DOTALL)
# MLflow's client leaves prompts out of its lists of models by this, also where the server has none.
NO_PROMPTS = "tag.`mlflow.prompt.is_prompt` != 'true'"

ModelName = Query(alias="name", min_length=1)


@router.post("/registered-models/create")
def create_model(ctx: Ctx, name: Named, body: NewModel) -> dict[str, Any]:
    tags = {tag.key: tag.value for tag in body.tags}
    row = ctx.workspace.models.create_name(body.name, description=body.description, tags=tags)
    return {"registered_model": _model(ctx, row)}


@router.get("/registered-models/get")
def get_model(ctx: Ctx, name: Named, model: str = ModelName) -> dict[str, Any]:
    return {"registered_model": _model(ctx, ctx.workspace.models.name(model))}


@router.get("/registered-models/search")
def search_models(
    ctx: Ctx,
    name: Named,
    wanted: str = Query("", alias="filter"),
    order_by: list[str] = Query([]),
    max_results: int = Query(100, ge=1, le=1000),
    page_token: str | None = None,
) -> dict[str, Any]:
    comparisons = search.parse_filter(wanted.replace(NO_PROMPTS, "").strip().removesuffix(" AND"))
    found: list[tuple[search.Thing, Any]] = []
    for row in ctx.workspace.models.names():
        thing = {"attributes": {"name": row.name}, "tags": row.tags}
        if all(comparison.holds(thing) for comparison in comparisons):
            found.append((thing, row))
    page, token = page_of(search.ordered(found, order_by), page_token, max_results)
    return {
        "registered_models": [_model(ctx, row) for _, row in page],
        **({"next_page_token": token} if token else {}),
    }


@router.post("/registered-models/get-latest-versions")
def latest_versions(ctx: Ctx, name: Named, body: LatestWanted) -> dict[str, Any]:
    """The newest of each stage."""
    newest: dict[str, AssetVersion] = {}
    for row in reversed(ctx.workspace.models.versions(ctx.workspace.models.name(body.name).name)):
        newest[_stage(row)] = row
    return {"model_versions": [_version(ctx, row) for stage, row in newest.items() if stage in (body.stages or newest)]}


@router.get("/registered-models/alias")
def get_by_alias(ctx: Ctx, name: Named, alias: str, model: str = ModelName) -> dict[str, Any]:
    return {"model_version": _version(ctx, ctx.workspace.models.labelled(model, alias))}


@router.post("/model-versions/create")
def create_version(ctx: Ctx, name: Named, asker: Asker, body: NewModelVersion) -> dict[str, Any]:
    origin, container, path = _place(ctx, body.source)
    run_id = body.run_id or None
    if run_id is not None:
        permissions.may_write(ctx.workspace.runs, asker, ctx.workspace.runs.get(run_id).id)
    prefix = f"{origin}/{container}/{clean_path(path)}"
    files = ctx.workspace.models.create_artifact_list({"artifacts": [{"prefix": prefix}]})
    new = NewVersion(
        name=body.name,
        type="mlflow_model",
        uri=f"aml://asset/{files.id}",
        description=body.description,
        tags={tag.key: tag.value for tag in body.tags},
        run_id=run_id,
        body={"source": body.source},
    )
    return {"model_version": _version(ctx, ctx.workspace.models.register(new))}


@router.get("/model-versions/get")
def get_version(ctx: Ctx, name: Named, model: str = ModelName, number: str = Query(alias="version")) -> dict[str, Any]:
    return {"model_version": _version(ctx, ctx.workspace.models.get(model, number))}


@router.get("/model-versions/get-download-uri")
def download_uri(ctx: Ctx, name: Named, model: str = ModelName, number: str = Query(alias="version")) -> dict[str, Any]:
    return {"artifact_uri": _source(ctx, name, ctx.workspace.models.get(model, number))}


@router.get("/model-versions/search")
def search_versions(
    ctx: Ctx,
    name: Named,
    wanted: str = Query("", alias="filter"),
    order_by: list[str] = Query([]),
    max_results: int = Query(10_000, ge=1, le=200_000),
    page_token: str | None = None,
) -> dict[str, Any]:
    comparisons = search.parse_filter(wanted.replace(NO_PROMPTS, "").strip().removesuffix(" AND"))
    found: list[tuple[search.Thing, Any]] = []
    for model in ctx.workspace.models.names():
        for row in ctx.workspace.models.versions(model.name):
            about = {"name": row.name, "version_number": row.order, "run_id": row.run_id, "source_path": row.uri}
            thing = {"attributes": about, "tags": row.tags}
            if all(comparison.holds(thing) for comparison in comparisons):
                found.append((thing, row))
    page, token = page_of(search.ordered(found, order_by), page_token, max_results)
    return {
        "model_versions": [_version(ctx, row) for _, row in page],
        **({"next_page_token": token} if token else {}),
    }


@router.post("/logged-models/search")
def search_logged_models(ctx: Ctx, name: Named) -> dict[str, Any]:
    """There are none, since none can be made here; MLflow 3 asks before it lists files or registers a model."""
    return {"models": []}


def _place(ctx: Context, source: str) -> tuple[str, str, str]:
    """Origin, container and path of a model's files. Raises Invalid, NotFound."""
    if match := OF_RUN.fullmatch(source):
        return RUN_ORIGIN, container_name(ctx.workspace.runs.get(match[1]).id), match[2]
    if match := UPLOADED.fullmatch(source):
        return match[1], match[2], match[3]
    raise Invalid(
        f"A model can't be registered from {source[:200]!r} here: log it to a run of this workspace first, and "
        "register it from runs:/RUN/PATH."
    )


def _source(ctx: Context, name: WorkspaceName, row: AssetVersion) -> str:
    """Where azureml-mlflow reads the files of a version, whichever client has registered it."""
    if row.uri is None or not row.uri.startswith("aml://asset/"):
        raise NotFound(f"The files of {row.name}:{row.version} can't be read by MLflow: they are at {row.uri}.")
    artifacts = ctx.workspace.models.artifact_list(row.uri.removeprefix("aml://asset/")).body["artifacts"]
    if len(artifacts) != 1:
        raise NotFound(f"The files of {row.name}:{row.version} are not one folder, which MLflow needs.")
    origin, container, path = str(artifacts[0].get("prefix") or "//").split("/", 2)
    run_id = container.removeprefix("dcid.")
    if origin != RUN_ORIGIN:
        return f"azureml://artifacts/{origin}/{container}/{path}"
    run = ctx.workspace.runs.get(run_id)
    return f"{wire.artifact_uri(ctx, name, run.experiment_id, run.id)}/{path}"


def _model(ctx: Context, row: AssetName) -> dict[str, Any]:
    newest = ctx.workspace.models.versions(row.name, limit=1)
    labels = ctx.workspace.models.labels(row.name)
    return {
        "name": row.name,
        "creation_timestamp": wire.milliseconds(row.created),
        "last_updated_timestamp": wire.milliseconds(row.modified),
        "description": row.description or "",
        "tags": wire.pairs(row.tags),
        "latest_versions": [_version(ctx, each) for each in newest],
        "aliases": [{"alias": alias, "version": version} for alias, version in labels.items()],
    }


def _stage(row: AssetVersion) -> str:
    return row.stage or "None"


def _version(ctx: Context, row: AssetVersion) -> dict[str, Any]:
    labels = ctx.workspace.models.labels(row.name)
    return {
        "name": row.name,
        "version": row.version,
        "creation_timestamp": wire.milliseconds(row.created),
        "last_updated_timestamp": wire.milliseconds(row.modified),
        "current_stage": _stage(row),
        "description": row.description or "",
        "source": row.body.get("source") or row.uri or "",
        "run_id": row.run_id or "",
        "status": "READY",
        "tags": wire.pairs(row.tags),
        "aliases": [alias for alias, version in labels.items() if version == row.version],
    }
