"""Drafts of pipelines (azureml.pipeline.core: PipelineDraft): graphs and settings, to be changed and submitted."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Body, Response

from azureml_local.server.context import WORKSPACE_PATH, Asker, Context, Ctx, Named
from azureml_local.server.dataplane import pipelinewire, publishedpipelines
from azureml_local.server.dataplane.pipelinegraph import assigned, read_pipeline
from azureml_local.server.dataplane.pipelinesubmissions import ASSIGNMENTS, assignments, experiment_of, start
from azureml_local.storage.tables import Json, PipelinePart
from azureml_local.workspace.errors import Invalid, NotFound
from azureml_local.workspace.pipeline_parts import DRAFT, GRAPH, GRAPH_DRAFT, PUBLISHED
from azureml_local.workspace.pipelines import pipeline_of
from azureml_local.workspace.run_kinds import PIPELINE
from azureml_local.workspace.texts import texts

router = APIRouter(prefix="/pipelines/v1.0" + WORKSPACE_PATH)

SETTINGS = (
    *("Name", "Description", "Properties", "GraphDraftId", "ParentPipelineId", "ParentPipelineRunId"),
    *("ParentStepRunIds", "ParentPipelineDraftId", "LastSubmittedPipelineRunId"),
)
PARTS = ("ModuleNodes", "DatasetNodes", "Edges", "EntityInterface")


# Graphs -----------------------------------------------------------------------------------------------------


@router.post("/GraphDrafts")
def create_graph(ctx: Ctx, name: Named, body: dict[str, Any]) -> Json:
    return _graph(ctx, ctx.workspace.pipeline_parts.add(GRAPH_DRAFT, _graph_of(body)))


@router.get("/GraphDrafts/{graph_id}")
def get_graph(ctx: Ctx, name: Named, graph_id: str) -> Json:
    return _graph(ctx, ctx.workspace.pipeline_parts.get(GRAPH_DRAFT, graph_id))


@router.put("/GraphDrafts/{graph_id}")
def change_graph(ctx: Ctx, name: Named, graph_id: str, body: dict[str, Any]) -> Json:
    kept = _graph_of(body)
    return _graph(ctx, ctx.workspace.pipeline_parts.change(GRAPH_DRAFT, graph_id, lambda _: kept))


@router.delete("/GraphDrafts/{graph_id}")
def remove_graph(ctx: Ctx, name: Named, graph_id: str) -> Response:
    ctx.workspace.pipeline_parts.remove(GRAPH_DRAFT, graph_id)
    return Response(status_code=200)


def _graph_of(body: Mapping[str, Any]) -> Json:
    for key in PARTS[:3]:
        if not isinstance(body.get(key) or [], list):
            raise Invalid(f"{key} of a draft must be a list.")
    assignments(body, "EntityInterface")
    return {key: body.get(key) for key in PARTS}


def _graph(ctx: Context, row: PipelinePart) -> Json:
    shown = pipelinewire.graph(ctx.workspace, row.id, row.body)
    return {**shown, "EntityInterface": row.body["EntityInterface"], "CreatedDate": row.created}


# Drafts -----------------------------------------------------------------------------------------------------


@router.post("/PipelineDrafts/Create")
def create(ctx: Ctx, name: Named, body: dict[str, Any]) -> Json:
    return _entity(ctx, ctx.workspace.pipeline_parts.add(DRAFT, _draft_of(ctx, body)))


@router.post("/PipelineDrafts")
def list_all(ctx: Ctx, name: Named, body: Annotated[dict[str, Any] | None, Body()] = None) -> list[Json]:
    """Those with all of these tags."""
    rows = ctx.workspace.pipeline_parts.list(DRAFT)
    wanted = (body or {}).items()
    return [_entity(ctx, row) for row in rows if all(row.body["tags"].get(key) == value for key, value in wanted)]


@router.get("/PipelineDrafts/{draft_id}")
def get(ctx: Ctx, name: Named, draft_id: str) -> Json:
    return _entity(ctx, ctx.workspace.pipeline_parts.get(DRAFT, draft_id))


@router.put("/PipelineDrafts/{draft_id}")
def change(ctx: Ctx, name: Named, draft_id: str, body: dict[str, Any]) -> Json:
    kept = _draft_of(ctx, body)
    return _entity(ctx, ctx.workspace.pipeline_parts.change(DRAFT, draft_id, lambda _: kept))


@router.delete("/PipelineDrafts/{draft_id}")
def remove(ctx: Ctx, name: Named, draft_id: str) -> Response:
    row = ctx.workspace.pipeline_parts.get(DRAFT, draft_id)
    ctx.workspace.pipeline_parts.remove(GRAPH_DRAFT, row.body["GraphDraftId"])
    ctx.workspace.pipeline_parts.remove(DRAFT, draft_id)
    return Response(status_code=200)


@router.get("/PipelineDrafts/Clone/{draft_id}")
def clone(ctx: Ctx, name: Named, draft_id: str) -> Json:
    parts = ctx.workspace.pipeline_parts
    kept = parts.get(DRAFT, draft_id).body
    graph = parts.add(GRAPH_DRAFT, parts.get(GRAPH_DRAFT, kept["GraphDraftId"]).body)
    return _entity(ctx, parts.add(DRAFT, {**kept, "GraphDraftId": graph.id, "ParentPipelineDraftId": draft_id}))


@router.get("/PipelineDrafts/ClonePipelineRun/{run_id}")
def clone_run(ctx: Ctx, name: Named, run_id: str) -> Json:
    run = ctx.workspace.runs.get(run_id)
    if run.run_type != PIPELINE:
        raise Invalid(f"The run {run_id[:80]!r} is no pipeline.")
    spec = pipeline_of(run)
    experiment = ctx.workspace.experiments.get_by_id(run.experiment_id).name
    settings = {"ParentPipelineRunId": run_id, "Description": spec.description}
    return _cloned(ctx, spec.graph_id, settings, {"ExperimentName": experiment, ASSIGNMENTS[0]: dict(spec.parameters)})


@router.get("/PipelineDrafts/ClonePublished/{pipeline_id}")
def clone_published(ctx: Ctx, name: Named, pipeline_id: str) -> Json:
    kept = ctx.workspace.pipeline_parts.get(PUBLISHED, pipeline_id).body
    info = {key: kept[key] for key in ASSIGNMENTS}
    return _cloned(ctx, kept["GraphId"], {"ParentPipelineId": pipeline_id, "Name": kept["Name"]}, info)


def _cloned(ctx: Context, graph_id: str, settings: Json, info: Json) -> Json:
    parts = ctx.workspace.pipeline_parts
    known = parts.get(GRAPH, graph_id).body
    graph = parts.add(GRAPH_DRAFT, _graph_of({**known["graph"], "EntityInterface": known["interface"]}))
    body = {**settings, "GraphDraftId": graph.id, "PipelineSubmissionInfo": info}
    return _entity(ctx, parts.add(DRAFT, _draft_of(ctx, body)))


@router.post("/PipelineRuns/PipelineDraftSubmit")
def submit(ctx: Ctx, name: Named, asker: Asker, body: dict[str, Any]) -> Json:
    row, graph, info = _read(ctx, body)
    given = {**info, "ContinueExperimentOnNodeFailure": info.get("ContinueRunOnStepFailure")}
    interface = graph["EntityInterface"] or {}
    spec = read_pipeline(ctx.workspace, graph, interface, given, "")
    kept = ctx.workspace.pipeline_parts.add(
        GRAPH, {"graph": {key: graph[key] for key in PARTS[:3]}, "interface": interface}
    )
    run = start(ctx, name, replace(spec, graph_id=kept.id), experiment_of(info), "SDK")
    ctx.workspace.pipeline_parts.change(DRAFT, row.id, lambda known: {**known, "LastSubmittedPipelineRunId": run.id})
    return pipelinewire.run(ctx, run)


@router.post("/Pipelines/PipelineDraftCreate")
def publish(ctx: Ctx, name: Named, body: dict[str, Any]) -> Json:
    row, graph, info = _read(ctx, body)
    given = {**info, "Name": row.body["Name"], "Description": row.body["Description"]}
    interface = graph["EntityInterface"] or {}
    published = publishedpipelines.keep(ctx, given, {key: graph[key] for key in PARTS[:3]}, interface)
    return publishedpipelines.entity(ctx, name, published)


def _read(ctx: Context, body: Mapping[str, Any]) -> tuple[PipelinePart, Json, Json]:
    """A draft that is to be run or published, its graph, and what it says to the run."""
    row = ctx.workspace.pipeline_parts.get(DRAFT, str(body.get("Id")))
    graph = ctx.workspace.pipeline_parts.get(GRAPH_DRAFT, row.body["GraphDraftId"]).body
    return row, graph, row.body["PipelineSubmissionInfo"]


def _draft_of(ctx: Context, body: Mapping[str, Any]) -> Json:
    """A draft as it is kept. Raises NotFound, and Invalid for parameters that its graph doesn't have."""
    kept = {key: body.get(key) for key in SETTINGS}
    graph = ctx.workspace.pipeline_parts.get(GRAPH_DRAFT, str(kept["GraphDraftId"]))
    info = dict(assignments(body, "PipelineSubmissionInfo"))
    assigned(graph.body["EntityInterface"] or {}, info)
    return {**kept, "tags": texts("tags", body.get("tags")), "PipelineSubmissionInfo": info}


def _entity(ctx: Context, row: PipelinePart) -> Json:
    """A PipelineDraftEntity. All parameters have a value: the SDK fails to read a graph where one is missing."""
    info = row.body["PipelineSubmissionInfo"]
    values = assignments(info, ASSIGNMENTS[0])
    # The SDK deletes the graph first, and then looks at the draft once more.
    with contextlib.suppress(NotFound):
        graph = ctx.workspace.pipeline_parts.get(GRAPH_DRAFT, row.body["GraphDraftId"]).body
        values = assigned(graph["EntityInterface"] or {}, info).shown()
    return {
        **row.body,
        "Id": row.id,
        "PipelineSubmissionInfo": {**info, "ParameterAssignments": values},
        "CreatedDate": row.created,
        "LastModifiedDate": row.created,
    }
