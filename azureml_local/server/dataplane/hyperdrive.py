"""HyperDrive: sweeps (azureml.train.restclients.hyperdrive.rest_client)."""

from __future__ import annotations

import uuid
from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Depends

from azureml_local.names import WorkspaceName
from azureml_local.server.access import permissions
from azureml_local.server.access.auth import Caller
from azureml_local.server.context import WORKSPACE_PATH, Asker, Context, Ctx, Named
from azureml_local.server.dataplane import sweepmarks
from azureml_local.server.dataplane.datareferences import with_references
from azureml_local.server.dataplane.runconfiguration import parse_run_configuration
from azureml_local.server.dataplane.submissions import definition_of, snapshot_of
from azureml_local.server.dataplane.sweepconfiguration import KEY, parse_sweep
from azureml_local.server.http.multipart import json_file
from azureml_local.storage.tables import Run
from azureml_local.workspace.errors import Invalid, NotFound
from azureml_local.workspace.jobs import LOCAL_TARGET, JobSpec
from azureml_local.workspace.new_runs import NewRun
from azureml_local.workspace.run_kinds import SWEEP
from azureml_local.workspace.sweeps import SweepSpec, kept_sweep

router = APIRouter(prefix="/hyperdrive/v1.0" + WORKSPACE_PATH + "/experiments/{experiment}")

Config = Annotated[dict[str, Any], Depends(json_file("config.json"))]


@router.post("/runs", status_code=201)
def submit(ctx: Ctx, name: Named, asker: Asker, experiment: str, body: Config) -> dict[str, Any]:
    """Start a sweep. All that can be refused is refused here, before there is a run to fail."""
    return _submit(ctx, name, asker, experiment, body)


@router.post("/runs/{parent_id}", status_code=201)
def submit_below(ctx: Ctx, name: Named, asker: Asker, experiment: str, parent_id: str, body: Config) -> dict[str, Any]:
    """The same as a child of a run (Run.submit_child)."""
    return _submit(ctx, name, asker, experiment, body, parent_id=parent_id)


@router.post("/hdruns/{run_id}", status_code=201)
def submit_as(ctx: Ctx, name: Named, asker: Asker, experiment: str, run_id: str, body: Config) -> dict[str, Any]:
    """The same under an id of the user's own (HyperDriveConfig's custom run id)."""
    return _submit(ctx, name, asker, experiment, body, run_id=run_id)


@router.post("/runs/{run_id}/cancel")
def cancel(ctx: Ctx, name: Named, experiment: str, run_id: str) -> dict[str, Any]:
    run = ctx.workspace.runs.get(run_id)
    if run.run_type != SWEEP:
        raise NotFound(f"The run {run_id!r} is no HyperDrive run.")
    ctx.cluster.cancel(run_id)
    return {"code": 200, "result": run_id}


def _submit(
    ctx: Context,
    name: WorkspaceName,
    asker: Caller,
    experiment: str,
    body: dict[str, Any],
    *,
    run_id: str | None = None,
    parent_id: str | None = None,
) -> dict[str, Any]:
    permissions.may_start(ctx.workspace.runs, asker, parent_id)
    platform = body.get("platform_config")
    definition = platform.get("Definition") if isinstance(platform, dict) else None
    configuration = definition.get("Overrides") if isinstance(definition, dict) else None
    if not isinstance(platform, dict) or not isinstance(definition, dict) or not isinstance(configuration, dict):
        raise Invalid("A sweep needs a run configuration: platform_config.Definition.Overrides.")
    sweep = parse_sweep(body)
    job = with_references(ctx.workspace, configuration, parse_run_configuration(configuration))
    if job.target == LOCAL_TARGET:
        raise Invalid("A sweep runs on a cluster: set ScriptRunConfig(compute_target=...) to an AmlCompute.")
    ctx.workspace.computes.ready(job.target)
    snapshot_id = snapshot_of(ctx.workspace, definition)
    for inherited in sweep.resume_from:
        if ctx.workspace.runs.get(inherited).run_type != SWEEP:
            raise Invalid(f"resume_from: the run {inherited[:80]!r} is no HyperDrive run.")
    run = ctx.workspace.runs.create(
        _parent(
            run_id,
            ctx.workspace.experiments.get_or_create(experiment).id,
            body,
            definition_of(ctx.workspace, configuration, job),
            snapshot_id,
            sweep,
            job,
            parent_id=parent_id,
            workspace=name,
        )
    )
    ctx.sweeps.submit(run)
    return {"code": 201, "result": _experiment(run, sweep, body)}


def _parent(
    run_id: str | None,
    experiment_id: str,
    source: dict[str, Any],
    configuration: dict[str, Any],
    snapshot_id: str,
    sweep: SweepSpec,
    trial: JobSpec,
    **more: Any,
) -> NewRun:
    """The parent run of a sweep, with the tags and properties that the SDK makes its HyperDriveConfig of again."""
    properties, tags = sweepmarks.properties_and_tags(source, sweep, snapshot_id)
    kept = {key: value for key, value in source.items() if key != "platform_config"}
    return NewRun(
        run_id=run_id or f"HD_{uuid.uuid4()}",
        experiment_id=experiment_id,
        run_type=SWEEP,
        target=trial.target,
        script_name=trial.script,
        definition={**configuration, KEY: kept},
        spec=kept_sweep(sweep, replace(trial, environment=configuration.get("environment") or {})),
        snapshot_id=snapshot_id,
        properties=properties,
        tags=tags,
        **more,
    )


def _experiment(run: Run, sweep: SweepSpec, source: dict[str, Any]) -> dict[str, Any]:
    """An ExperimentDto: the SDK reads ``platform_config.ParentRunId`` of it, and wants the rest to be there."""
    return {
        **{key: source[key] for key in ("generator_config", "policy_config", "primary_metric_config")},
        "platform_config": {**source["platform_config"], "ParentRunId": run.id},
        "platform": str(source.get("platform") or "AML"),
        "name": str(source.get("name") or ""),
        "max_total_jobs": sweep.max_total,
        "max_concurrent_jobs": sweep.max_concurrent,
        "max_duration_minutes": sweep.max_minutes,
        "resume_from": source.get("resume_from"),
        "hyperdrive_run_id": run.id,
        "experiment_id": run.experiment_id,
        "study_id": run.number,
        "created": run.created,
        "modified": run.created,
        "created_by_user_id": 0,
        "status": run.status,
        "all_jobs_generated": False,
        "cancellation_requested": False,
    }
