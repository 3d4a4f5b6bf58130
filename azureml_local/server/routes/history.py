"""Run history: experiments and runs (azureml._restclient.run_client, experiment_client)."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Body, Response

from azureml_local.server import odata, wire
from azureml_local.server.context import WORKSPACE_PATH, Ctx, Named
from azureml_local.workspace.errors import Invalid, NotFound
from azureml_local.workspace.runs import FINAL, NewRun

router = APIRouter(prefix="/history/v1.0" + WORKSPACE_PATH)

# The SDK names an experiment by its name in some calls and by its id in others, for the same run; both lead
# here.
RUN_PATHS = (
    "/experiments/{experiment}/runs/{run_id}",
    "/experimentids/{experiment}/runs/{run_id}",
    "/runs/{run_id}",
)

EVENT_STATUS = {
    "Microsoft.MachineLearning.Run.Start": "Running",
    "Microsoft.MachineLearning.Run.Completed": "Completed",
    "Microsoft.MachineLearning.Run.Failed": "Failed",
    "Microsoft.MachineLearning.Run.Canceled": "Canceled",
}
ERROR_EVENT = "Microsoft.MachineLearning.Run.Error"

OptionalBody = Annotated[dict[str, Any] | None, Body()]


# Experiments ------------------------------------------------------------------------------------------------


@router.get("/experiments/{experiment}")
def get_experiment(ctx: Ctx, name: Named, experiment: str) -> dict[str, Any]:
    return wire.experiment(ctx.workspace.experiments.get(experiment))


@router.post("/experiments/{experiment}")
def create_experiment(ctx: Ctx, name: Named, experiment: str) -> dict[str, Any]:
    return wire.experiment(ctx.workspace.experiments.get_or_create(experiment))


@router.get("/experimentids/{experiment_id}")
def get_experiment_by_id(ctx: Ctx, name: Named, experiment_id: str) -> dict[str, Any]:
    return wire.experiment(ctx.workspace.experiments.get_by_id(experiment_id))


@router.post("/experiments:query")
def query_experiments(ctx: Ctx, name: Named, body: OptionalBody = None) -> dict[str, Any]:
    view = str((body or {}).get("viewType") or "ActiveOnly")
    archived = {"ActiveOnly": False, "ArchivedOnly": True, "All": None}.get(view, False)
    return wire.page([wire.experiment(row) for row in ctx.workspace.experiments.list(archived=archived)])


# Runs -------------------------------------------------------------------------------------------------------


def _get_run(ctx: Ctx, name: Named, run_id: str) -> dict[str, Any]:
    return wire.run(ctx, name, ctx.workspace.runs.get(run_id))


def _modify_run(ctx: Ctx, name: Named, run_id: str, body: dict[str, Any], experiment: str = "") -> dict[str, Any]:
    """Change a run, or make it where the client starts one by itself (Experiment.start_logging)."""
    try:
        ctx.workspace.runs.get(run_id)
    except NotFound:
        parent = body.get("parentRunId")
        ctx.workspace.runs.create(
            NewRun(
                run_id=run_id,
                experiment_id=_experiment_id(ctx, experiment),
                run_type=body.get("runType"),
                target=body.get("target"),
                script_name=body.get("scriptName"),
                parent_id=parent if isinstance(parent, str) else None,
            )
        )
    for use in wire.dataset_uses(body):
        ctx.workspace.datasets.note_use(run_id, use)
    return wire.run(ctx, name, ctx.workspace.runs.modify(run_id, body))


def _details(ctx: Ctx, name: Named, run_id: str) -> dict[str, Any]:
    run = ctx.workspace.runs.get(run_id)
    body = wire.run_details(ctx, run)
    ctx.workspace.runs.followed(run)
    return body


def _children(ctx: Ctx, name: Named, run_id: str) -> dict[str, Any]:
    ctx.workspace.runs.get(run_id)
    return wire.page([wire.run(ctx, name, row) for row in ctx.workspace.runs.list(parent_id=run_id)])


def _token(ctx: Ctx, name: Named, run_id: str) -> dict[str, Any]:
    token = ctx.tokens.for_run(ctx.workspace.runs.get(run_id).id)
    return {"token": token.text, "expiryTimeUtc": token.expires}


def _cancel(ctx: Ctx, name: Named, run_id: str) -> Response:
    run = ctx.workspace.runs.get(run_id)
    if run.status not in FINAL:
        ctx.cluster.cancel(run_id)
    return Response(status_code=200)


def _delete_tags(ctx: Ctx, name: Named, run_id: str, body: Annotated[list[str], Body()]) -> dict[str, Any]:
    run = ctx.workspace.runs.remove_tags(run_id, body)
    return {"name": run_id, "tags": run.tags, "result": "Success"}


def _metrics_wait(ctx: Ctx, name: Named, run_id: str) -> Response:
    """Metrics are in the store when their call is answered: there is nothing to wait for."""
    ctx.workspace.runs.get(run_id)
    return Response(status_code=200)


def _post_event(ctx: Ctx, name: Named, run_id: str, body: dict[str, Any]) -> Response:
    event, data = str(body.get("name") or ""), body.get("data") or {}
    if not event or not isinstance(data, dict):
        raise Invalid("An event needs a name, and its data must be an object.")
    runs = ctx.workspace.runs
    run = runs.get(run_id)
    runs.add_event(run_id, event, data)
    if event == ERROR_EVENT and isinstance(data.get("ErrorResponse"), dict):
        runs.note_error(run_id, data["ErrorResponse"])
    status = EVENT_STATUS.get(event)
    # The cluster says how a submitted run stands; the client says it of its own interactive ones.
    if status and not run.definition:
        runs.advance(run_id, status)
    elif status == "Canceled" and run.status not in FINAL:
        # How a run with the target "local" is cancelled (ScriptRun._cancel_local in azureml.core.script_run).
        ctx.cluster.cancel(run_id)
    return Response(status_code=200)


for _path in RUN_PATHS:
    _named = "/experiments/" in _path
    router.add_api_route(_path, _get_run, methods=["GET"], include_in_schema=_named)
    router.add_api_route(_path, _modify_run, methods=["PATCH"], include_in_schema=_named)
    router.add_api_route(_path + "/details", _details, methods=["GET"], include_in_schema=_named)
    router.add_api_route(_path + "/children", _children, methods=["GET"], include_in_schema=_named)
    router.add_api_route(_path + "/token", _token, methods=["GET"], include_in_schema=_named)
    router.add_api_route(_path + "/cancel", _cancel, methods=["POST"], include_in_schema=_named)
    router.add_api_route(_path + "/tags", _delete_tags, methods=["DELETE"], include_in_schema=_named)
    router.add_api_route(_path + "/events", _post_event, methods=["POST"], include_in_schema=_named)
    router.add_api_route(_path + "/metricsingest/wait", _metrics_wait, methods=["GET"], include_in_schema=_named)


@router.post("/experiments/{experiment}/runs:query")
def query_runs(ctx: Ctx, name: Named, experiment: str, body: OptionalBody = None) -> dict[str, Any]:
    asked = body or {}
    keep = odata.run_filter(asked.get("filter"))
    rows = [row for row in ctx.workspace.runs.list(_experiment_id(ctx, experiment)) if keep(row)]
    top = asked.get("top")
    return wire.page([wire.run(ctx, name, row) for row in rows[: top if isinstance(top, int) and top > 0 else None]])


def _experiment_id(ctx: Ctx, experiment: str) -> str:
    """By name or id."""
    try:
        return ctx.workspace.experiments.get(experiment).id
    except NotFound:
        return ctx.workspace.experiments.get_by_id(experiment).id
