"""Runs, as MLflow's tracking API has them: made, changed, logged to, searched."""

from __future__ import annotations

import math
import uuid
from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter

from azureml_local.names import WorkspaceName
from azureml_local.server.access import permissions
from azureml_local.server.access.auth import Caller
from azureml_local.server.context import WORKSPACE_PATH, Asker, Context, Ctx, Named
from azureml_local.server.mlflow import search, wire
from azureml_local.server.mlflow.bodies import (
    Batch,
    Measured,
    NewRunBody,
    OfRun,
    Pair,
    RunMetric,
    RunPair,
    RunSearch,
    RunTagGone,
    RunUpdate,
)
from azureml_local.server.mlflow.experiments import VIEWS, find
from azureml_local.server.mlflow.pages import page_of
from azureml_local.storage.tables import Run
from azureml_local.workspace.errors import Invalid, NotBuilt, NotFound
from azureml_local.workspace.metrics import MetricBatch, NewValue
from azureml_local.workspace.new_runs import NewRun, RunChange, checked
from azureml_local.workspace.run_lists import Listing, RunRow

router = APIRouter(prefix="/mlflow/{version}" + WORKSPACE_PATH + "/api/2.0")

NAME_TAG, PARENT_TAG, NOTE_TAG = "mlflow.runName", "mlflow.parentRunId", "mlflow.note.content"
SCALAR = "azureml.v1.scalar"
MAX_HISTORY = 25_000


@router.post("/mlflow/runs/create")
def create(ctx: Ctx, name: Named, asker: Asker, body: NewRunBody) -> dict[str, Any]:
    """A run of the client's own. One that a job makes beside its own run is a child of that."""
    tags = {tag.key: tag.value for tag in body.tags}
    parent = tags.pop(PARENT_TAG, None) or asker.run_id
    shown = body.run_name or tags.pop(NAME_TAG, None)
    tags.pop(NAME_TAG, None)
    if parent is not None:
        permissions.may_start(ctx.workspace.runs, asker, parent)
    experiment = find(ctx, body.experiment_id)
    new = NewRun(
        run_id=str(uuid.uuid4()),
        experiment_id=experiment.id,
        run_type="mlflow",
        parent_id=parent,
        display_name=shown,
        description=tags.get(NOTE_TAG),
        tags=tags,
        workspace=name,
    )
    made = ctx.workspace.runs.create(checked(new))
    ctx.workspace.runs.report(made.id, "Running")
    return {"run": _shown(ctx, name, ctx.workspace.runs.get(made.id))}


@router.get("/mlflow/runs/get")
def get(ctx: Ctx, name: Named, run_id: str = "", run_uuid: str = "") -> dict[str, Any]:
    return {"run": _shown(ctx, name, ctx.workspace.runs.get(run_id or run_uuid))}


@router.post("/mlflow/runs/update")
def update(ctx: Ctx, name: Named, asker: Asker, body: RunUpdate) -> dict[str, Any]:
    """The name, and how it stands: of a run that the cluster runs, the cluster alone says that."""
    run = _written(ctx, asker, body)
    if body.run_name:
        ctx.workspace.runs.modify(run.id, RunChange(display_name=body.run_name))
    if body.status in wire.TOLD:
        ctx.workspace.runs.report(run.id, wire.TOLD[body.status])
    elif body.status not in (None, "SCHEDULED"):
        raise Invalid(f"A run can't be {str(body.status)[:40]!r}; it can be {', '.join(wire.TOLD)}.")
    return {"run_info": wire.run_info(ctx, name, ctx.workspace.runs.get(run.id))}


@router.post("/mlflow/runs/delete")
def delete(ctx: Ctx, name: Named, asker: Asker, body: OfRun) -> dict[str, Any]:
    """MLflow's deleted run is Azure's archived one: it can come back."""
    ctx.workspace.runs.modify(_written(ctx, asker, body).id, RunChange(hidden=True))
    return {}


@router.post("/mlflow/runs/restore")
def restore(ctx: Ctx, name: Named, asker: Asker, body: OfRun) -> dict[str, Any]:
    ctx.workspace.runs.modify(_written(ctx, asker, body).id, RunChange(hidden=False))
    return {}


# What is logged ---------------------------------------------------------------------------------------------


@router.post("/mlflow/runs/log-metric")
def log_metric(ctx: Ctx, name: Named, asker: Asker, body: RunMetric) -> dict[str, Any]:
    _log(ctx, _written(ctx, asker, body), metrics=[body])
    return {}


@router.post("/mlflow/runs/log-parameter")
def log_parameter(ctx: Ctx, name: Named, asker: Asker, body: RunPair) -> dict[str, Any]:
    _log(ctx, _written(ctx, asker, body), params=[body])
    return {}


@router.post("/mlflow/runs/set-tag")
def set_tag(ctx: Ctx, name: Named, asker: Asker, body: RunPair) -> dict[str, Any]:
    _log(ctx, _written(ctx, asker, body), tags=[body])
    return {}


@router.post("/mlflow/runs/delete-tag")
def delete_tag(ctx: Ctx, name: Named, asker: Asker, body: RunTagGone) -> dict[str, Any]:
    run = _written(ctx, asker, body)
    if body.key not in run.tags:
        raise NotFound(f"The run {run.id!r} has no tag {body.key[:80]!r}.")
    ctx.workspace.runs.remove_tags(run.id, [body.key])
    return {}


@router.post("/mlflow/runs/log-batch")
def log_batch(ctx: Ctx, name: Named, asker: Asker, body: Batch) -> dict[str, Any]:
    _log(ctx, _written(ctx, asker, body), body.metrics, body.params, body.tags)
    return {}


@router.post("/preview/mlflow/runs/log-batch-async")
def log_batch_async(ctx: Ctx, name: Named, asker: Asker, body: Batch) -> dict[str, Any]:
    """Azure's own call: with an empty id there is nothing to wait for (AzureMLRestStore.log_batch_async)."""
    log_batch(ctx, name, asker, body)
    return {"batch_tracking_id": ""}


@router.get("/mlflow/metrics/get-history")
def history(
    ctx: Ctx,
    name: Named,
    metric_key: str,
    run_id: str = "",
    run_uuid: str = "",
    max_results: int = MAX_HISTORY,
    page_token: str | None = None,
) -> dict[str, Any]:
    run = ctx.workspace.runs.get(run_id or run_uuid)
    try:
        series = ctx.workspace.metrics.get(run.id, metric_key)
    except NotFound:
        return {"metrics": []}
    shown = [wire.metric(metric_key, number, value) for number, value in wire.numbers_of(series)]
    page, token = page_of(shown, page_token, max(1, min(max_results, MAX_HISTORY)))
    return {"metrics": page, **({"next_page_token": token} if token else {})}


# Lists ------------------------------------------------------------------------------------------------------


@router.post("/mlflow/runs/search")
def search_runs(ctx: Ctx, name: Named, body: RunSearch) -> dict[str, Any]:
    if body.run_view_type not in VIEWS:
        raise Invalid(f"There is no view {body.run_view_type[:40]!r}; there are {', '.join(VIEWS)}.")
    hidden, comparisons = VIEWS[body.run_view_type], search.parse_filter(body.filter)
    found: list[tuple[search.Thing, Any]] = []
    for experiment_id in dict.fromkeys(body.experiment_ids):
        rows = [row for row in _rows(ctx, find(ctx, experiment_id).id) if hidden in (None, row.hidden)]
        params = ctx.workspace.parameters.of_many([row.id for row in rows])
        for row in rows:
            thing = _thing(ctx, name, row, params[row.id])
            if all(comparison.holds(thing) for comparison in comparisons):
                found.append((thing, row))
    page, token = page_of(search.ordered(found, body.order_by), body.page_token, body.max_results)
    return {"runs": [_shown(ctx, name, row) for _, row in page], **({"next_page_token": token} if token else {})}


# Traces -----------------------------------------------------------------------------------------------------


@router.api_route("/mlflow/traces", methods=["GET", "POST"], include_in_schema=False)
@router.api_route("/mlflow/traces/{rest:path}", methods=["GET", "POST", "PATCH", "DELETE"], include_in_schema=False)
def traces(ctx: Ctx, name: Named) -> None:
    raise NotBuilt("Traces are not built in azureml-local: it keeps runs, metrics, parameters, tags, files and models.")


# Their parts ------------------------------------------------------------------------------------------------


def _written(ctx: Context, asker: Caller, body: OfRun) -> Run:
    """The run that the body names. Raises NotFound, and Forbidden where it isn't of the tree of a job's own run."""
    run = ctx.workspace.runs.get(body.run_id or body.run_uuid or "")
    permissions.may_write(ctx.workspace.runs, asker, run.id)
    return run


def _log(
    ctx: Context, run: Run, metrics: Sequence[Measured] = (), params: Sequence[Pair] = (), tags: Sequence[Pair] = ()
) -> None:
    """Parameters first: one that can't be changed refuses the batch before anything of it is kept."""
    if params:
        values: dict[str, str] = {}
        for param in params:
            if values.setdefault(param.key, param.value) != param.value:
                raise Invalid(f"The parameter {param.key[:80]!r} is twice in one batch, with different values.")
        ctx.workspace.parameters.log(run.id, values)
    if tags:
        given = {tag.key: tag.value for tag in tags}
        shown = given.pop(NAME_TAG, None)
        given.pop(PARENT_TAG, None)
        change = RunChange(tags=given, display_name=shown, description=given.get(NOTE_TAG))
        ctx.workspace.runs.modify(run.id, change)
    if metrics:
        refused = ctx.workspace.metrics.append(run.id, [_batch(metric) for metric in metrics])
        if refused:
            raise Invalid(refused[0].reason)


def _batch(metric: Measured) -> MetricBatch:
    value: float | str = metric.value
    if not math.isfinite(metric.value):
        value = "NaN" if math.isnan(metric.value) else "Infinity" if metric.value > 0 else "-Infinity"
    time = wire.time_of(metric.timestamp) if metric.timestamp else None
    return MetricBatch(metric.key, SCALAR, {metric.key: "double"}, [NewValue({metric.key: value}, metric.step, time)])


def _rows(ctx: Context, experiment_id: str) -> list[RunRow]:
    rows: list[RunRow] = []
    after: str | None = None
    while True:
        page = ctx.workspace.runs.page(None, Listing(experiment_id=experiment_id, after=after))
        rows += page.items
        if (after := page.next) is None:
            return rows


def _thing(ctx: Context, name: WorkspaceName, row: RunRow, params: dict[str, str]) -> search.Thing:
    metrics = wire.latest(ctx.workspace.metrics.all(row.id))
    return {
        "attributes": wire.run_info(ctx, name, row),
        "metrics": {key: number for key, (number, _) in metrics.items()},
        "params": params,
        "tags": wire.run_tags(row),
    }


def _shown(ctx: Context, name: WorkspaceName, row: Run | RunRow) -> dict[str, Any]:
    metrics = wire.latest(ctx.workspace.metrics.all(row.id))
    return {
        "info": wire.run_info(ctx, name, row),
        "data": {
            "metrics": [wire.metric(key, number, value) for key, (number, value) in metrics.items()],
            "params": wire.pairs(ctx.workspace.parameters.of(row.id)),
            "tags": wire.pairs(wire.run_tags(row)),
        },
        "inputs": {"dataset_inputs": []},
    }
