"""Starting pipelines: one that was just sent, a published one, one of a draft or of a schedule."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from azureml_local.names import WorkspaceName
from azureml_local.server.context import Context
from azureml_local.server.dataplane.pipelinegraph import read_pipeline
from azureml_local.storage.tables import PipelinePart, Run
from azureml_local.workspace import Workspace, pipeline_parts, pipeline_runs
from azureml_local.workspace.errors import Invalid
from azureml_local.workspace.pipelines import PipelineSpec

ASSIGNMENTS = ("ParameterAssignments", "DataPathAssignments", "DataSetDefinitionValueAssignments")
ACTIVE, DISABLED = "Active", "Disabled"
# The SDK sends the number or the word (AE3PServiceCaller.entity_status_from_enum).
STATUSES = {"0": ACTIVE, "1": "Deprecated", "2": DISABLED} | {each: each for each in (ACTIVE, "Deprecated", DISABLED)}


def start(
    ctx: Context,
    name: WorkspaceName,
    spec: PipelineSpec,
    experiment: str,
    run_type: str,
    *,
    run_id: str | None = None,
    parent_id: str | None = None,
    properties: Mapping[str, str] | None = None,
    tags: Mapping[str, Any] | None = None,
) -> Run:
    """Make the run of a pipeline, and begin. Raises Conflict for a run that is there already."""
    new = pipeline_runs.parent(
        run_id or str(uuid.uuid4()),
        ctx.workspace.experiments.get_or_create(experiment).id,
        spec,
        run_type,
        properties=properties,
        parent_id=parent_id,
        tags=dict(tags or {}),
        workspace=name,
    )
    run = ctx.workspace.runs.create(new)
    ctx.pipelines.submit(run)
    return run


def read_published(workspace: Workspace, row: PipelinePart, info: Mapping[str, Any]) -> PipelineSpec:
    """A published pipeline with what a submission says: its defaults are those of the graph, and of the publication.

    Raises Invalid, NotFound and NotBuilt.
    """
    kept = workspace.pipeline_parts.get(pipeline_parts.GRAPH, row.body["GraphId"]).body
    given: dict[str, Any] = {key: {**assignments(row.body, key), **assignments(info, key)} for key in ASSIGNMENTS}
    go_on = info.get("ContinueRunOnStepFailure")
    given["ContinueExperimentOnNodeFailure"] = row.body.get("ContinueRunOnStepFailure") if go_on is None else go_on
    given["Description"] = info.get("Description") or row.body.get("Description")
    return read_pipeline(workspace, kept["graph"], kept["interface"], given, row.body["GraphId"])


def submit_published(
    ctx: Context,
    name: WorkspaceName,
    row: PipelinePart,
    info: Mapping[str, Any],
    *,
    run_type: str,
    run_id: str | None = None,
    parent_id: str | None = None,
    properties: Mapping[str, str] | None = None,
) -> Run:
    """Start a published pipeline. Raises Invalid for a disabled one, and what `read_published` raises."""
    check_active(row)
    spec = read_published(ctx.workspace, row, info)
    return start(
        ctx,
        name,
        spec,
        experiment_of(info),
        run_type,
        run_id=run_id,
        parent_id=parent_id,
        properties={pipeline_runs.PUBLISHED: row.id, **(properties or {})},
        tags=info.get("tags") if isinstance(info.get("tags"), Mapping) else None,
    )


def check_active(row: PipelinePart) -> None:
    if row.body.get("EntityStatus") == DISABLED:
        raise Invalid(f"The {row.kind} {str(row.body.get('Name'))[:80]!r} ({row.id}) is disabled: enable() it first.")


def experiment_of(info: Mapping[str, Any]) -> str:
    found = info.get("ExperimentName")
    if not isinstance(found, str) or not found:
        raise Invalid("A submission of a pipeline names its experiment: ExperimentName.")
    return found


def assignments(body: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """Values of parameters; none where they are left out. Raises Invalid."""
    found = body.get(key) or {}
    if not isinstance(found, Mapping):
        raise Invalid(f"{key} must be an object.")
    return found


def status_of(value: object) -> str:
    """A status as it is kept. Raises Invalid."""
    found = STATUSES.get(str(value))
    if found is None:
        raise Invalid(f"{str(value)[:40]!r} is no status; there are Active, Deprecated and Disabled.")
    return found
