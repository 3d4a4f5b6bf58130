"""Experiments, as MLflow's tracking API has them."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Query

from azureml_local.names import WorkspaceName
from azureml_local.server.context import WORKSPACE_PATH, Context, Ctx, Named
from azureml_local.server.mlflow import search, wire
from azureml_local.server.mlflow.bodies import (
    ExperimentRenamed,
    ExperimentSearch,
    ExperimentTag,
    ExperimentWanted,
    NewExperiment,
)
from azureml_local.server.mlflow.pages import page_of
from azureml_local.storage.tables import Experiment
from azureml_local.workspace.errors import Conflict, Invalid, NotBuilt, NotFound

router = APIRouter(prefix="/mlflow/{version}" + WORKSPACE_PATH + "/api/2.0/mlflow/experiments")

# What clients call the experiment of a run for which none was set; here it is one like any other.
DEFAULT_ID, DEFAULT_NAME = "0", "Default"
# Views of what is deleted: MLflow's word for archived.
VIEWS: dict[str, bool | None] = {"ACTIVE_ONLY": False, "DELETED_ONLY": True, "ALL": None}


@router.get("/get")
def get(ctx: Ctx, name: Named, experiment_id: str) -> dict[str, Any]:
    return {"experiment": wire.experiment(ctx, name, find(ctx, experiment_id))}


@router.get("/get-by-name")
def get_by_name(ctx: Ctx, name: Named, experiment_name: str) -> dict[str, Any]:
    if experiment_name == DEFAULT_NAME:
        return {"experiment": wire.experiment(ctx, name, find(ctx, DEFAULT_ID))}
    return {"experiment": wire.experiment(ctx, name, ctx.workspace.experiments.get(experiment_name))}


@router.post("/create")
def create(ctx: Ctx, name: Named, body: NewExperiment) -> dict[str, Any]:
    experiments = ctx.workspace.experiments
    try:
        known = experiments.get(body.name)
    except NotFound:
        known = None
    if known is not None and known.archived is None:
        raise Conflict(f"There is an experiment {body.name!r} already.")
    made = experiments.get_or_create(body.name)
    if body.tags:
        experiments.modify(made.id, {"tags": {tag.key: tag.value for tag in body.tags}})
    return {"experiment_id": made.id}


@router.get("/search")
@router.get("/list", include_in_schema=False)
def search_by_get(
    ctx: Ctx,
    name: Named,
    max_results: int = Query(1000, ge=1, le=50_000),
    page_token: str | None = None,
    view_type: str = "ACTIVE_ONLY",
) -> dict[str, Any]:
    return _search(ctx, name, ExperimentSearch(max_results=max_results, page_token=page_token, view_type=view_type))


@router.post("/search")
def search_experiments(ctx: Ctx, name: Named, body: ExperimentSearch) -> dict[str, Any]:
    return _search(ctx, name, body)


@router.post("/update")
def update(ctx: Ctx, name: Named, body: ExperimentRenamed) -> None:
    raise NotBuilt("An experiment keeps its name, as in Azure: it can't be renamed. Begin one under the new name.")


@router.post("/delete")
def delete(ctx: Ctx, name: Named, body: ExperimentWanted) -> dict[str, Any]:
    """MLflow's deleted experiment is Azure's archived one: it can come back."""
    ctx.workspace.experiments.modify(find(ctx, body.experiment_id).id, {"archive": True})
    return {}


@router.post("/restore")
def restore(ctx: Ctx, name: Named, body: ExperimentWanted) -> dict[str, Any]:
    ctx.workspace.experiments.modify(find(ctx, body.experiment_id).id, {"archive": False})
    return {}


@router.post("/set-experiment-tag")
def set_tag(ctx: Ctx, name: Named, body: ExperimentTag) -> dict[str, Any]:
    ctx.workspace.experiments.modify(find(ctx, body.experiment_id).id, {"tags": {body.key: body.value}})
    return {}


def find(ctx: Context, experiment_id: str) -> Experiment:
    """By its id. Raises NotFound."""
    if experiment_id == DEFAULT_ID:
        return ctx.workspace.experiments.get_or_create(DEFAULT_NAME)
    return ctx.workspace.experiments.get_by_id(experiment_id)


def _search(ctx: Context, name: WorkspaceName, body: ExperimentSearch) -> dict[str, Any]:
    if body.view_type not in VIEWS:
        raise Invalid(f"There is no view {body.view_type[:40]!r}; there are {', '.join(VIEWS)}.")
    comparisons = search.parse_filter(body.filter)
    found: list[tuple[search.Thing, Any]] = []
    for row in ctx.workspace.experiments.list(archived=VIEWS[body.view_type]):
        shown = wire.experiment(ctx, name, row)
        thing = {"attributes": shown, "tags": row.tags}
        if all(comparison.holds(thing) for comparison in comparisons):
            found.append((thing, shown))
    ordered = search.ordered(found, body.order_by)
    page, token = page_of([shown for _, shown in ordered], body.page_token, body.max_results)
    return {"experiments": page, **({"next_page_token": token} if token else {})}
