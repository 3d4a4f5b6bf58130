"""Jobs of SDK v2. A job is a run, whichever client has made it; what only v2 knows of it is kept as it was sent."""

from __future__ import annotations

import shlex
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from pydantic import ValidationError

from azureml_local.names import WorkspaceName
from azureml_local.server.arm.commandjobs import SERVERLESS, CommandJob, read_command_job, snapshot_of
from azureml_local.server.arm.versioned import check_json, system_data, view
from azureml_local.server.context import WORKSPACE_PATH, Context, Ctx, Named
from azureml_local.storage.tables import Compute, Json, Run
from azureml_local.workspace.computes import ClusterRequest, ScaleSettings
from azureml_local.workspace.errors import Invalid, NotBuilt
from azureml_local.workspace.experiments import shown_name
from azureml_local.workspace.jobs import is_made_of_a_job, kept_job, spec_of
from azureml_local.workspace.new_runs import NewRun, checked
from azureml_local.workspace.run_data import NamedData
from azureml_local.workspace.runs import FINAL

router = APIRouter(prefix=WORKSPACE_PATH + "/jobs")

PAGE = 100
# The pool of jobs without a compute: like Azure's, it is there when it is wanted.
SERVERLESS_POOL = ClusterRequest(SERVERLESS, "STANDARD_DS3_V2", ScaleSettings(0, 4, 120.0))
REFUSED = {
    "Sweep": "Sweep jobs of SDK v2 are not built in azureml-local yet. HyperDriveConfig of SDK v1 tries a script's "
    "parameters; or submit a command job for each value.",
    "Pipeline": "Pipeline jobs are not built in azureml-local yet. Submit each step as a command job.",
    "AutoML": "Automated machine learning (AutoML jobs) is not built in azureml-local. Submit a command job.",
    "Spark": "Spark jobs are not built in azureml-local. Submit a command job.",
    "FineTuning": "Fine-tuning jobs are not built in azureml-local. Submit a command job.",
    "Labeling": "Labeling jobs are not built in azureml-local.",
}


@router.put("/{job}", status_code=201)
def submit(ctx: Ctx, name: Named, job: str, body: dict[str, Any]) -> dict[str, Any]:
    """Start a job. All that can be refused is refused here, before there is one to fail."""
    sent = body.get("properties")
    given, workspace = _command_job(sent), ctx.workspace
    spec = read_command_job(workspace, given, job, name)
    snapshot_id = snapshot_of(workspace, given.code_id)
    if spec.target == SERVERLESS:
        _serverless(ctx)
    workspace.computes.ready(spec.target)
    new = checked(
        NewRun(
            run_id=job,
            experiment_id=workspace.experiments.get_or_create(given.experiment or "Default").id,
            run_type="azureml.scriptrun",  # SDK v1 shows it as one
            target=spec.target,
            job=sent,
            spec=kept_job(spec),
            parameters=given.literals,
            snapshot_id=snapshot_id,
            display_name=given.display_name,
            description=given.description,
            properties={**(given.properties or {}), "ContentSnapshotId": snapshot_id},
            tags=given.tags or {},
            workspace=name,
        )
    )
    run = workspace.runs.create(new)
    inputs = [NamedData(each.name, each.kind or "", each.uri) for each in spec.inputs]
    workspace.run_data.put(run.id, inputs, output=False)
    ctx.cluster.submit(run)
    return _body(ctx, name, run)


@router.get("/{job}")
def get(ctx: Ctx, name: Named, job: str) -> dict[str, Any]:
    run = ctx.workspace.runs.get(job)
    ctx.workspace.runs.looked_at(run)
    return _body(ctx, name, run)


@router.get("")
def list_jobs(
    ctx: Ctx,
    name: Named,
    wanted: Annotated[str | None, Query(alias="listViewType")] = None,
    before: Annotated[int | None, Query(alias="$skip", ge=0)] = None,
) -> dict[str, Any]:
    """The jobs that are no children of others, newest first."""
    rows = ctx.workspace.runs.list(top_level=True, hidden=view(wanted), before=before, limit=PAGE + 1)
    following = None
    if len(rows) > PAGE:
        path = f"{ctx.endpoints.api}{name.arm_id}/jobs?listViewType={wanted or 'ActiveOnly'}"
        following = f"{path}&api-version=2024-01-01-preview&$skip={rows[PAGE - 1].number}"
    return {"value": [_body(ctx, name, run) for run in rows[:PAGE]], "nextLink": following}


@router.post("/{job}/cancel")
def cancel(ctx: Ctx, name: Named, job: str) -> Response:
    if ctx.workspace.runs.get(job).status not in FINAL:
        ctx.cluster.cancel(job)
    return Response(status_code=200)


@router.delete("/{job}", include_in_schema=False)
def delete(ctx: Ctx, name: Named, job: str) -> None:
    raise NotBuilt("Jobs can't be deleted in azureml-local. Archive the job: ml_client.jobs.archive(name).")


def _command_job(sent: Any) -> CommandJob:
    """Raises NotBuilt for a job of another kind, Invalid for a malformed one."""
    kind = str(sent.get("jobType")) if isinstance(sent, dict) else "None"
    if kind in REFUSED:
        raise NotBuilt(REFUSED[kind])
    check_json("The job", sent)
    try:
        return CommandJob.model_validate(sent)
    except ValidationError as error:
        first = error.errors()[0]
        raise Invalid(f"The job's {'.'.join(map(str, first['loc'])) or 'properties'}: {first['msg']}.") from None


def _serverless(ctx: Context) -> Compute:
    known = ctx.workspace.computes.find(SERVERLESS)
    if known is not None:
        return known
    row = ctx.workspace.computes.put(SERVERLESS_POOL)
    ctx.cluster.resize(row)
    return row


def _body(ctx: Context, name: WorkspaceName, run: Run) -> Json:
    experiment = ctx.workspace.experiments.get_by_id(run.experiment_id)
    return {
        "id": f"{name.arm_id}/jobs/{run.id}",
        "name": run.id,
        "type": "Microsoft.MachineLearningServices/workspaces/jobs",
        "properties": {
            **(run.job or _as_command(name, run)),
            "displayName": run.display_name or run.name or run.id,
            "description": run.description,
            "tags": run.tags,
            "properties": run.properties,
            "experimentName": shown_name(experiment),
            "status": run.status,
            "isArchived": run.hidden,
            # The client appends "&tid=" to it.
            "services": {"Studio": {"jobServiceType": "Studio", "endpoint": f"{ctx.portal_url(run.id)}?v=2"}},
            "outputs": _outputs(run),
        },
        "systemData": system_data(run.created, run.ended or run.started),
    }


def _outputs(run: Run) -> Json:
    """The outputs as they were asked for, with the place of those that named none."""
    given = (run.job or {}).get("outputs") or {}
    base = "azureml://datastores/workspaceblobstore/paths/azureml"
    return {
        each: {**(asked or {}), "uri": (asked or {}).get("uri") or f"{base}/{run.id}/{each}/"}
        for each, asked in given.items()
    }


def _as_command(name: WorkspaceName, run: Run) -> Json:
    """A run of another client in the words of a command job; one that is no job has a command that does nothing."""
    known: Json = {"jobType": "Command", "command": ":", "environmentId": f"{name.arm_id}/environments/none/versions/1"}
    if run.target is not None:
        known["computeId"] = f"{name.arm_id}/computes/{run.target}"
    if not is_made_of_a_job(run):
        return known
    spec = spec_of(run)
    environment = spec.environment
    if environment.get("name"):
        version = environment.get("version") or "1"
        known["environmentId"] = f"{name.arm_id}/environments/{environment['name']}/versions/{version}"
    words = spec.command if spec.command is not None else shlex.join(["python", str(spec.script), *spec.arguments])
    return {**known, "command": words, "environmentVariables": dict(spec.variables)}
