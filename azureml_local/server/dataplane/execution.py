"""Execution: submitting a folder as a run, to a compute or to the client's own machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Response

from azureml_local.names import WorkspaceName
from azureml_local.runtime.local_target import invocation
from azureml_local.server.access import permissions
from azureml_local.server.access.auth import Caller
from azureml_local.server.context import WORKSPACE_PATH, Asker, Context, Ctx, Named
from azureml_local.server.dataplane.datareferences import with_references
from azureml_local.server.dataplane.runconfiguration import parse_run_configuration
from azureml_local.server.dataplane.submissions import definition_of, snapshot_of
from azureml_local.server.http.multipart import json_file
from azureml_local.storage.tables import Run
from azureml_local.workspace.errors import Invalid
from azureml_local.workspace.jobs import LOCAL_TARGET, kept_job
from azureml_local.workspace.new_runs import NewRun

router = APIRouter(prefix="/execution/v1.0" + WORKSPACE_PATH)


@router.post("/experiments/{experiment}/snapshotrun")
def submit(
    ctx: Ctx, name: Named, asker: Asker, experiment: str, body: dict[str, Any], run_id: str = Query(alias="runId")
) -> dict[str, Any]:
    """Start a run. All that can be refused is refused here, before there is a run to fail."""
    run = _create(ctx, name, asker, experiment, run_id, body, snapshot_of(ctx.workspace, body))
    ctx.cluster.submit(run)
    return {"runId": run.id}


@router.post("/experiments/{experiment}/localrun")
def submit_local(
    ctx: Ctx,
    name: Named,
    asker: Asker,
    experiment: str,
    body: Annotated[dict[str, Any], Depends(json_file("definition.json"))],
    run_id: str = Query(alias="runId"),
) -> Response:
    """Start a run on the client's machine; the answer is a zip with the script that the client runs there."""
    run = _create(ctx, name, asker, experiment, run_id, body, None)
    answer = invocation(ctx.workspace.folder.runs / run.id)
    ctx.cluster.submit(run)
    return Response(answer, media_type="application/zip")


def _create(
    ctx: Context,
    name: WorkspaceName,
    asker: Caller,
    experiment: str,
    run_id: str,
    body: Mapping[str, Any],
    snapshot_id: str | None,
) -> Run:
    configuration = body.get("Configuration")
    if not isinstance(configuration, dict):
        raise Invalid("A submission needs a run configuration.")
    parent_id = body.get("ParentRunId")  # of Run.submit_child (azureml._execution._commands)
    if not isinstance(parent_id, (str, type(None))):
        raise Invalid("A run's parent is named by its id.")
    permissions.may_start(ctx.workspace.runs, asker, parent_id)
    spec = with_references(ctx.workspace, configuration, parse_run_configuration(configuration))
    if snapshot_id is not None:
        ctx.workspace.computes.ready(spec.target)
    elif spec.target != LOCAL_TARGET:
        raise Invalid(f"A local run has the target {LOCAL_TARGET!r}, not {spec.target!r}.")
    definition = definition_of(ctx.workspace, configuration, spec)
    return ctx.workspace.runs.create(
        NewRun(
            run_id=run_id,
            experiment_id=ctx.workspace.experiments.get_or_create(experiment).id,
            run_type="azureml.scriptrun",
            target=spec.target,
            script_name=spec.script,
            definition=definition,
            spec=kept_job(replace(spec, environment=definition.get("environment") or {})),
            snapshot_id=snapshot_id,
            parent_id=parent_id,
            # Of a local run the client tells it afterwards (_get_run_details in azureml._execution._commands).
            properties={"ContentSnapshotId": snapshot_id} if snapshot_id else {},
            workspace=name,
        )
    )
