"""Schedules of SDK v1 (azureml.pipeline.core: Schedule): of a published pipeline, or of an endpoint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timezone
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response

from azureml_local.names import WorkspaceName
from azureml_local.server.context import WORKSPACE_PATH, Context, Ctx, Named
from azureml_local.server.dataplane import pipelinewire
from azureml_local.server.dataplane.pipelinesubmissions import (
    ACTIVE,
    DISABLED,
    assignments,
    check_active,
    experiment_of,
    read_published,
    status_of,
    submit_published,
)
from azureml_local.server.dataplane.publishedpipelines import endpoint_version
from azureml_local.storage.tables import Json, PipelinePart
from azureml_local.workspace import datastores, pipeline_runs
from azureml_local.workspace.errors import Invalid, NotFound
from azureml_local.workspace.filters import Comparison
from azureml_local.workspace.pipeline_parts import PUBLISHED
from azureml_local.workspace.schedules import DAYS, Recurrence, Schedule, Trigger, check

router = APIRouter(prefix="/pipelines/v1.0" + WORKSPACE_PATH)

KIND = "pipeline"
# As numbers in the SDK's enums (service_caller_base: frequency_from_enum).
FREQUENCIES = ("month", "week", "day", "hour", "minute")
RECURS, WATCHES = "0", "1"
POLLING_MINUTES = 5

ActiveOnly = Annotated[bool, Query(alias="activeOnly")]


@router.post("/Schedules/Create")
def create(ctx: Ctx, name: Named, body: dict[str, Any]) -> Json:
    what = _what(ctx, name, body, {})
    new = Schedule(id="", kind=KIND, enabled=True, what=what, recurrence=_recurrence(body), trigger=_trigger(ctx, body))
    return _entity(ctx.workspace.schedules.add(_timed(new), _now()))


@router.get("/Schedules")
def list_all(ctx: Ctx, name: Named, active_only: ActiveOnly = True) -> list[Json]:
    return [_entity(each) for each in _all(ctx) if each.enabled or not active_only]


@router.get("/Schedules/Pipeline/{pipeline_id}")
def of_pipeline(ctx: Ctx, name: Named, pipeline_id: str) -> list[Json]:
    return [_entity(each) for each in _all(ctx) if each.what["PipelineId"] == pipeline_id]


@router.get("/Schedules/PipelineEndpoint/{endpoint_id}")
def of_endpoint(ctx: Ctx, name: Named, endpoint_id: str) -> list[Json]:
    return [_entity(each) for each in _all(ctx) if each.what["PipelineEndpointId"] == endpoint_id]


@router.get("/Schedules/{schedule_id}")
def get(ctx: Ctx, name: Named, schedule_id: str) -> Json:
    return _entity(_schedule(ctx, schedule_id))


@router.put("/Schedules/{schedule_id}")
def change(ctx: Ctx, name: Named, schedule_id: str, body: dict[str, Any]) -> Json:
    """The whole schedule, with other times, parameters or status."""
    present = _schedule(ctx, schedule_id)
    status = status_of(body.get("EntityStatus", ACTIVE if present.enabled else DISABLED))
    changed = replace(
        present,
        enabled=status == ACTIVE,
        what=_what(ctx, name, body, present.what),
        recurrence=_recurrence(body),
        trigger=_trigger(ctx, body),
    )
    return _entity(ctx.workspace.schedules.put(_timed(changed), _now()))


@router.get("/PipelineRuns/Schedule/{schedule_id}")
def runs_of(ctx: Ctx, name: Named, schedule_id: str) -> list[Json]:
    return _runs(ctx, schedule_id)


@router.get("/PipelineRuns/Schedule/{schedule_id}/Last", response_model=None)
def last_run(ctx: Ctx, name: Named, schedule_id: str) -> Json | Response:
    found = _runs(ctx, schedule_id)
    return found[0] if found else Response(status_code=204)


def fire(ctx: Context, schedule: Schedule, run_id: str, path: str | None) -> None:
    """Start the pipeline of a schedule as this run; ``path`` is the file whose change is the reason.

    Raises Conflict where that run is there already; Invalid, NotFound, NotBuilt.
    """
    what = schedule.what
    info = dict(what["PipelineSubmissionInfo"])
    parameter = (what.get("DataStoreTriggerInfo") or {}).get("DataPathParameterName")
    if path is not None and parameter:
        assert schedule.trigger is not None
        changed = {parameter: {"DataStoreName": schedule.trigger.datastore, "RelativePath": path}}
        info["DataPathAssignments"] = {**assignments(info, "DataPathAssignments"), **changed}
    submit_published(
        ctx,
        WorkspaceName.of_arm_id(what["workspace"]),
        _published(ctx, what),
        info,
        run_type="Schedule",
        run_id=run_id,
        properties={pipeline_runs.SCHEDULE: schedule.id},
    )


def _published(ctx: Context, what: Mapping[str, Any]) -> PipelinePart:
    """What a schedule starts now. Raises NotFound, and Invalid for what is disabled."""
    if what.get("PipelineEndpointId"):
        return endpoint_version(ctx, str(what["PipelineEndpointId"]), None)
    row = ctx.workspace.pipeline_parts.get(PUBLISHED, str(what.get("PipelineId")))
    check_active(row)
    return row


def _what(ctx: Context, name: WorkspaceName, body: Mapping[str, Any], present: Mapping[str, Any]) -> Json:
    """What is started, with what a client reads of it. What can't run is refused now."""
    info = dict(assignments(body, "PipelineSubmissionInfo") or present.get("PipelineSubmissionInfo") or {})
    experiment_of(info)
    found: Json = {
        "workspace": name.arm_id,
        "Name": str(body.get("Name") or present.get("Name") or ""),
        "PipelineId": body.get("PipelineId") or present.get("PipelineId"),
        "PipelineEndpointId": body.get("PipelineEndpointId") or present.get("PipelineEndpointId"),
        "PipelineSubmissionInfo": info,
        "Recurrence": body.get("Recurrence"),
        "DataStoreTriggerInfo": body.get("DataStoreTriggerInfo"),
    }
    spec = read_published(ctx.workspace, _published(ctx, found), info)
    parameter = (found["DataStoreTriggerInfo"] or {}).get("DataPathParameterName")
    if parameter and parameter not in spec.parameters:
        raise Invalid(f"The pipeline has no data path parameter {str(parameter)[:80]!r} for the changed file.")
    return found


def _recurrence(body: Mapping[str, Any]) -> Recurrence | None:
    given = body.get("Recurrence")
    if str(body.get("ScheduleType")) in (WATCHES, "DataStore") or not given:
        return None
    if not isinstance(given, Mapping):
        raise Invalid("Recurrence must be an object.")
    at = assignments(given, "Schedule")
    frequency = str(given.get("Frequency") or "").lower()
    return check(
        Recurrence(
            frequency=FREQUENCIES[int(frequency)] if frequency in ("0", "1", "2", "3", "4") else frequency,
            interval=_whole(given.get("Interval"), "Interval"),
            start=str(given["StartTime"]) if given.get("StartTime") else None,
            time_zone=str(given["TimeZone"]) if given.get("TimeZone") else None,
            hours=tuple(_whole(each, "Hours") for each in _list(at, "Hours")),
            minutes=tuple(_whole(each, "Minutes") for each in _list(at, "Minutes")),
            week_days=tuple(_day(each) for each in _list(at, "WeekDays")),
        )
    )


def _trigger(ctx: Context, body: Mapping[str, Any]) -> Trigger | None:
    given = body.get("DataStoreTriggerInfo")
    if not given:
        return None
    if not isinstance(given, Mapping):
        raise Invalid("DataStoreTriggerInfo must be an object.")
    datastore = str(given.get("DataStoreName") or datastores.DEFAULT)
    ctx.workspace.datastores.container(datastore)  # of one whose files are elsewhere nothing is known
    minutes = _whole(given.get("PollingInterval") or POLLING_MINUTES, "PollingInterval")
    if not 1 <= minutes <= 60 * 24 * 7:
        raise Invalid(f"A polling interval must be from 1 minute to a week, not {minutes} minutes.")
    return Trigger(datastores.clean_path(str(given.get("PathOnDataStore") or "")), minutes * 60.0, datastore)


def _timed(schedule: Schedule) -> Schedule:
    if schedule.recurrence is None and schedule.trigger is None:
        raise Invalid("A schedule needs a recurrence, or a datastore whose files it watches.")
    return schedule


def _whole(value: Any, name: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise Invalid(f"{name} of a schedule must be a whole number, not {str(value)[:40]!r}.")
    return value


def _list(body: Mapping[str, Any], key: str) -> list[Any]:
    found = body.get(key) or []
    if not isinstance(found, list):
        raise Invalid(f"{key} of a schedule must be a list.")
    return found[:100]


def _day(value: Any) -> int:
    name = str(value).lower()
    if name in DAYS:
        return DAYS.index(name)
    if name in ("0", "1", "2", "3", "4", "5", "6"):
        return int(name)
    raise Invalid(f"{str(value)[:40]!r} is no day of the week: Monday to Sunday.")


def _all(ctx: Context) -> list[Schedule]:
    return [each for each in ctx.workspace.schedules.list() if each.kind == KIND]


def _schedule(ctx: Context, schedule_id: str) -> Schedule:
    found = ctx.workspace.schedules.get(schedule_id)
    if found.kind != KIND:
        raise NotFound(f"There is no schedule {schedule_id[:80]!r} of a pipeline in this workspace.")
    return found


def _runs(ctx: Context, schedule_id: str) -> list[Json]:
    wanted = Comparison("properties", pipeline_runs.SCHEDULE, "eq", _schedule(ctx, schedule_id).id)
    found = ctx.workspace.runs.page(wanted).items
    return [pipelinewire.run(ctx, ctx.workspace.runs.get(row.id)) for row in found]


def _entity(schedule: Schedule) -> Json:
    """A PipelineScheduleEntity."""
    return {
        **{key: value for key, value in schedule.what.items() if key != "workspace"},
        "Id": schedule.id,
        "ScheduleType": RECURS if schedule.recurrence is not None else WATCHES,
        "ProvisioningStatus": "0",
        "EntityStatus": ACTIVE if schedule.enabled else DISABLED,
        "CreatedDate": schedule.created,
        "LastModifiedDate": schedule.created,
    }


def _now() -> datetime:
    return datetime.now(timezone.utc)
