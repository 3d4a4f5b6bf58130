"""Run history: runs and their events (azureml._restclient.run_client)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Body, Query, Response

from azureml_local.names import WorkspaceName
from azureml_local.server.access import permissions
from azureml_local.server.access.auth import Caller
from azureml_local.server.context import WORKSPACE_PATH, Asker, Context, Ctx, Named
from azureml_local.server.dataplane import wire
from azureml_local.server.errors import Forbidden, error_body
from azureml_local.server.http import odata
from azureml_local.storage.database import Vanished
from azureml_local.storage.tables import Run
from azureml_local.workspace.errors import Invalid, NotFound, WorkspaceError
from azureml_local.workspace.filters import AllOf, AnyOf, Comparison
from azureml_local.workspace.new_runs import NewRun, RunChange
from azureml_local.workspace.run_lists import Listing
from azureml_local.workspace.runs import FINAL, ORDER

router = APIRouter(prefix="/history/v1.0" + WORKSPACE_PATH)

# The SDK names an experiment by its name in some calls and by its id in others, for the same run; both lead
# here.
RUN_PATHS = (
    "/experiments/{experiment}/runs/{run_id}",
    "/experimentids/{experiment}/runs/{run_id}",
    "/runs/{run_id}",
)
# What one call may make or tell (azureml.core.Run.create_children: 100 children).
MAX_BATCH = 1000

# azureml._restclient.contracts.events
EVENT = "Microsoft.MachineLearning.Run."
EVENT_STATUS = {
    EVENT + "Queued": "Queued",
    EVENT + "Start": "Running",
    EVENT + "CancelRequested": "CancelRequested",
    EVENT + "Completed": "Completed",
    EVENT + "Failed": "Failed",
    EVENT + "Canceled": "Canceled",
}


# One run ----------------------------------------------------------------------------------------------------


@router.get("/computes/{compute}/runs")
def active_runs(
    ctx: Ctx,
    name: Named,
    compute: str,
    text: Annotated[str | None, Query(alias="$filter")] = None,
    top: Annotated[str | None, Query(alias="$top")] = None,
    token: Annotated[str | None, Query(alias="$continuationToken")] = None,
) -> Response:
    """The runs that wait for a compute or run on it, oldest first (AmlCompute.get_active_runs)."""
    ctx.workspace.computes.get(compute)
    wanted = odata.parse_filter(text)
    active = AnyOf(tuple(Comparison("Status", None, "eq", status) for status in ORDER if status not in FINAL))
    parts = (Comparison("Target", None, "eq", compute), active, *([wanted] if wanted else []))
    listing = Listing(descending=False, after=wire.token(token), top=wire.top(top))
    page = ctx.workspace.runs.page(AllOf(parts), listing)
    return wire.answer(wire.page([wire.run(ctx, name, row) for row in page.items], page.next))


def _get_run(ctx: Ctx, name: Named, run_id: str, experiment: str = "") -> dict[str, Any]:
    run = _run(ctx, run_id, experiment)
    waiting = ctx.cluster.waiting_for(run) if run.status not in FINAL else None
    queueing = {"code": run.status, "message": waiting} if waiting else None
    return {**wire.run(ctx, name, run), "queueingInfo": queueing}


def _put_run(
    ctx: Ctx, name: Named, asker: Asker, run_id: str, body: dict[str, Any], experiment: str = ""
) -> dict[str, Any]:
    """Change a run, or make it where the client starts one by itself (Experiment.start_logging)."""
    if not experiment:
        experiment = _run(ctx, run_id, "").experiment_id
    return wire.run(ctx, name, _put(ctx, name, asker, run_id, experiment, body))


def _details(ctx: Ctx, name: Named, run_id: str, experiment: str = "") -> dict[str, Any]:
    run = _run(ctx, run_id, experiment)
    body = wire.run_details(ctx, run)
    ctx.workspace.runs.followed(run)
    ctx.workspace.followers.read(run)
    return body


def _children(
    ctx: Ctx,
    name: Named,
    run_id: str,
    experiment: str = "",
    wanted: str | None = Query(None, alias="$filter"),
    order: str | None = Query(None, alias="$orderby"),
    top: str | None = Query(None, alias="$top"),
    token: str | None = Query(None, alias="$continuationToken"),
) -> Response:
    run = _run(ctx, run_id, experiment)
    ctx.workspace.followers.listed(run)
    asked = {"filter": wanted, "orderby": order, "top": top, "continuationToken": token}
    return _listed(ctx, name, asked, parent_id=run_id)


def _token(ctx: Ctx, name: Named, run_id: str, experiment: str = "") -> dict[str, Any]:
    token = ctx.tokens.for_run(_run(ctx, run_id, experiment).id)
    return {"token": token.text, "expiryTimeUtc": token.expires_utc}


def _cancel(ctx: Ctx, name: Named, run_id: str, experiment: str = "") -> Response:
    run = _run(ctx, run_id, experiment)
    if run.status not in FINAL:
        ctx.cluster.cancel(run_id)
    return Response(status_code=200)


def _delete_tags(
    ctx: Ctx, name: Named, run_id: str, body: Annotated[list[str], Body()], experiment: str = ""
) -> dict[str, Any]:
    """Answered with the run: the SDK goes on with what it gets here as with a run (RunHistoryFacade.delete_tags)."""
    _run(ctx, run_id, experiment)
    return wire.run(ctx, name, ctx.workspace.runs.remove_tags(run_id, body))


def _metrics_wait(ctx: Ctx, name: Named, run_id: str, experiment: str = "") -> Response:
    """Metrics are in the store when their call is answered: there is nothing to wait for."""
    _run(ctx, run_id, experiment)
    return Response(status_code=200)


def _post_event(ctx: Ctx, name: Named, run_id: str, body: dict[str, Any], experiment: str = "") -> Response:
    _tell(ctx, _run(ctx, run_id, experiment), body)
    return Response(status_code=200)


for _path in RUN_PATHS:
    _named = "/experiments/" in _path
    router.add_api_route(_path, _get_run, methods=["GET"], include_in_schema=_named)
    router.add_api_route(_path, _put_run, methods=["PATCH"], include_in_schema=_named)
    router.add_api_route(_path + "/details", _details, methods=["GET"], include_in_schema=_named)
    router.add_api_route(_path + "/children", _children, methods=["GET"], include_in_schema=_named)
    router.add_api_route(_path + "/token", _token, methods=["GET"], include_in_schema=_named)
    router.add_api_route(_path + "/cancel", _cancel, methods=["POST"], include_in_schema=_named)
    router.add_api_route(_path + "/tags", _delete_tags, methods=["DELETE"], include_in_schema=_named)
    router.add_api_route(_path + "/events", _post_event, methods=["POST"], include_in_schema=_named)
    router.add_api_route(_path + "/metricsingest/wait", _metrics_wait, methods=["GET"], include_in_schema=_named)


# Many runs --------------------------------------------------------------------------------------------------


@router.post("/experiments/{experiment}/runs:query")
def query_runs(ctx: Ctx, name: Named, experiment: str, body: wire.OptionalBody = None) -> Response:
    return _listed(ctx, name, body or {}, experiment_id=ctx.workspace.experiments.find(experiment).id)


@router.patch("/experiments/{experiment}/batch/runs")
def put_runs(ctx: Ctx, name: Named, asker: Asker, experiment: str, body: dict[str, Any]) -> dict[str, Any]:
    """Make several runs in one call (Run.create_children); each has its own answer or error."""
    made: dict[str, Any] = {}
    errors: dict[str, Any] = {}
    for one in _batch(body, "runs"):
        run_id = str(one.get("runId") or "")
        try:
            made[run_id] = wire.run(ctx, name, _put(ctx, name, asker, run_id, experiment, one))
        except (WorkspaceError, Vanished) as error:
            errors[run_id] = error_body(error.code, str(error))
        except Forbidden as error:
            errors[run_id] = error_body("AuthorizationFailed", str(error))
    return {"runs": made, "errors": errors}


@router.post("/experiments/{experiment}/batch/events")
def post_events(ctx: Ctx, name: Named, asker: Asker, experiment: str, body: dict[str, Any]) -> dict[str, Any]:
    errors = []
    for one in _batch(body, "events"):
        data = one.get("data")
        try:
            run = _run(ctx, str(data.get("RunId") if isinstance(data, dict) else ""), experiment)
            permissions.may_write(ctx.workspace.runs, asker, run.id)
            _tell(ctx, run, one)
        except (WorkspaceError, Vanished) as error:
            errors.append({"key": one, "value": error_body(error.code, str(error))})
        except Forbidden as error:
            errors.append({"key": one, "value": error_body("AuthorizationFailed", str(error))})
    return {"errors": errors}


# Their parts ------------------------------------------------------------------------------------------------


def _run(ctx: Context, run_id: str, experiment: str) -> Run:
    """The run, if it is one of the experiment that the path names, by name or by id."""
    run = ctx.workspace.runs.get(run_id)
    if experiment and experiment != run.experiment_id:
        row = ctx.workspace.experiments.get_by_id(run.experiment_id)
        if experiment not in (row.name, row.former_name):
            raise NotFound(f"There is no run {run_id!r} in the experiment {experiment!r}.")
    return run


def _put(ctx: Context, name: WorkspaceName, asker: Caller, run_id: str, experiment: str, body: dict[str, Any]) -> Run:
    try:
        experiment_id = _run(ctx, run_id, experiment).experiment_id
        permissions.may_write(ctx.workspace.runs, asker, run_id)
    except NotFound:
        permissions.may_start(ctx.workspace.runs, asker, body.get("parentRunId"))
        experiment_id = ctx.workspace.experiments.find_to_write(experiment).id
    new = _new_run(experiment_id, run_id, body, name)
    run = ctx.workspace.runs.put(experiment_id, run_id, _change(body), new)
    for use in wire.dataset_uses(body):
        ctx.workspace.datasets.note_use(run_id, use)
    return run


def _new_run(experiment_id: str, run_id: str, body: Mapping[str, Any], name: WorkspaceName) -> NewRun | None:
    """The run that a client makes, None where it only changes one.

    One that makes a run says where it runs or whose child it is (azureml's RunHistoryFacade.create_run and
    create_child_run); one that changes a run never does.
    """
    if all(body.get(key) is None for key in ("target", "parentRunId", "status")):
        return None
    if body.get("status") not in (None, "NotStarted"):
        raise Invalid("A run's status is set by its events, not by a change of the run.")
    return NewRun(
        run_id=run_id,
        experiment_id=experiment_id,
        run_type=_text(body, "runType"),
        target=_text(body, "target"),
        script_name=_text(body, "scriptName"),
        parent_id=_text(body, "parentRunId"),
        name=_text(body, "name"),
        display_name=_text(body, "displayName"),
        description=_text(body, "description"),
        tags=body.get("tags") or {},
        properties=body.get("properties") or {},
        workspace=name,
    )


def _change(body: Mapping[str, Any]) -> RunChange:
    hidden = body.get("hidden")
    return RunChange(
        name=_text(body, "name"),
        display_name=_text(body, "displayName"),
        description=_text(body, "description"),
        hidden=hidden if isinstance(hidden, bool) else None,
        tags=body.get("tags"),
        properties=body.get("properties"),
    )


def _text(body: Mapping[str, Any], key: str) -> str | None:
    value = body.get(key)
    return value if isinstance(value, str) else None


def _listed(ctx: Context, name: WorkspaceName, asked: Mapping[str, Any], **scope: str) -> Response:
    # A run that waits has no start yet, so its place among the others is that of its making, whichever time is asked.
    order = odata.parse_order(asked.get("orderby"), ("StartTimeUtc", "CreatedUtc", "RunNumber", "RunId"))
    field, descending = order or ("CreatedUtc", True)
    listing = Listing(
        by_id=field == "RunId",
        descending=descending,
        after=wire.token(asked.get("continuationToken")),
        top=wire.top(asked.get("top")),
        **scope,
    )
    page = ctx.workspace.runs.page(odata.parse_filter(asked.get("filter")), listing)
    return wire.answer(wire.page([wire.run(ctx, name, row) for row in page.items], page.next))


def _batch(body: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    items = body.get(key)
    if not isinstance(items, list) or len(items) > MAX_BATCH or not all(isinstance(item, dict) for item in items):
        raise Invalid(f"A batch needs a list of at most {MAX_BATCH} objects named {key!r}.")
    return items


def _tell(ctx: Context, run: Run, message: Mapping[str, Any]) -> None:
    """What a client says of a run: that it began or ended, failed for a reason, or a warning."""
    event, data = message.get("name"), message.get("data") or {}
    if not isinstance(event, str) or not event or not isinstance(data, dict):
        raise Invalid("An event needs a name, and its data must be an object.")
    runs = ctx.workspace.runs
    runs.add_event(run.id, event, data)
    if event == EVENT + "Error" and isinstance(data.get("ErrorResponse"), dict):
        runs.note_error(run.id, data["ErrorResponse"])
    if event == EVENT + "Warning":
        runs.note_warning(run.id, str(data.get("Source") or ""), str(data.get("Message") or ""))
    status = EVENT_STATUS.get(event)
    if status is None:
        return
    told = runs.report(run.id, status)
    if status == "Canceled" and told.status not in FINAL:
        # How a run with the target "local" is cancelled (ScriptRun._cancel_local in azureml.core.script_run).
        ctx.cluster.cancel(run.id)
