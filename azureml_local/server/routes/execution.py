"""Execution: submitting a snapshot as a run."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Query

from azureml_local.cluster.jobspec import parse
from azureml_local.server.context import WORKSPACE_PATH, Ctx, Named
from azureml_local.workspace.errors import Invalid
from azureml_local.workspace.runs import NewRun

router = APIRouter(prefix="/execution/v1.0" + WORKSPACE_PATH)


@router.post("/experiments/{experiment}/snapshotrun")
def submit(
    ctx: Ctx, name: Named, experiment: str, body: dict[str, Any], run_id: str = Query(alias="runId")
) -> dict[str, Any]:
    """Start a run. All that can be refused is refused here, before there is a run to fail."""
    configuration, snapshot_id = body.get("Configuration"), body.get("SnapshotId")
    if not isinstance(configuration, dict) or not isinstance(snapshot_id, str):
        raise Invalid("A submission needs a run configuration and the id of a snapshot.")
    spec = parse(configuration)
    ctx.workspace.computes.ready(spec.target)
    ctx.workspace.snapshots.get(snapshot_id)
    for item in spec.inputs:
        ctx.workspace.datasets.saved(item.dataset_id)
    run = ctx.workspace.runs.create(
        NewRun(
            run_id=run_id,
            experiment_id=ctx.workspace.experiments.get_or_create(experiment).id,
            run_type="azureml.scriptrun",
            target=spec.target,
            script_name=spec.script,
            definition=configuration,
            snapshot_id=snapshot_id,
            properties={"ContentSnapshotId": snapshot_id},
        )
    )
    ctx.cluster.submit(run)
    return {"runId": run.id}
