"""Pipelines of SDK v1 (azureml.pipeline.core._restclients.aeva: AMLPipelinesAPI10)."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Body, Query, Response
from fastapi.responses import FileResponse

from azureml_local.runtime.logs import JOB_LOG, NODE_LOG
from azureml_local.server.access import permissions
from azureml_local.server.context import WORKSPACE_PATH, Asker, Context, Ctx, Named
from azureml_local.server.dataplane import pipelinemodules, pipelinewire
from azureml_local.server.dataplane import pipelinesubmissions as submissions
from azureml_local.server.dataplane.pipelinegraph import read_pipeline
from azureml_local.storage.tables import Run
from azureml_local.workspace import pipeline_parts, pipeline_runs, reuse
from azureml_local.workspace.artifacts import RUN_ORIGIN
from azureml_local.workspace.errors import Conflict, Invalid, NotFound
from azureml_local.workspace.pipelines import PipelineSpec, pipeline_of
from azureml_local.workspace.run_kinds import PIPELINE
from azureml_local.workspace.runs import data_container

router = APIRouter(prefix="/pipelines/v1.0" + WORKSPACE_PATH)

LOGS = {"STDOUT": JOB_LOG, "STDERR": None, "JobLog": NODE_LOG}

NodeIds = Annotated[list[str], Body()]


@router.get("/DataTypes")
def data_types(name: Named) -> list[dict[str, Any]]:
    """Asked for by every object of the SDK that has to do with pipelines."""
    return pipelinemodules.data_types()


# Modules and data sources -----------------------------------------------------------------------------------


@router.get("/Modules/Hash/{key}")
def module_by_hash(ctx: Ctx, name: Named, key: str) -> dict[str, Any]:
    return pipelinemodules.module(ctx.workspace.pipeline_parts.newest(pipeline_parts.MODULE, key))


@router.post("/Modules")
def create_module(ctx: Ctx, name: Named, body: dict[str, Any]) -> dict[str, Any]:
    pipelinemodules.check_module(ctx.workspace, body)
    row = ctx.workspace.pipeline_parts.add(pipeline_parts.MODULE, body, pipelinemodules.hash_of(body))
    return pipelinemodules.module_entity(row)


@router.get("/Modules/{module_id}")
def get_module(ctx: Ctx, name: Named, module_id: str) -> dict[str, Any]:
    return pipelinemodules.module(ctx.workspace.pipeline_parts.get(pipeline_parts.MODULE, module_id))


@router.get("/DataSources/Hash/{key}")
def source_by_hash(ctx: Ctx, name: Named, key: str) -> dict[str, Any]:
    return pipelinemodules.source_entity(ctx.workspace.pipeline_parts.newest(pipeline_parts.SOURCE, key))


@router.post("/DataSources")
def create_source(ctx: Ctx, name: Named, body: dict[str, Any]) -> dict[str, Any]:
    pipelinemodules.check_source(ctx.workspace, body)
    row = ctx.workspace.pipeline_parts.add(pipeline_parts.SOURCE, body, pipelinemodules.hash_of(body))
    return pipelinemodules.source_entity(row)


@router.get("/DataSources/{source_id}")
def get_source(ctx: Ctx, name: Named, source_id: str) -> dict[str, Any]:
    return pipelinemodules.source_entity(ctx.workspace.pipeline_parts.get(pipeline_parts.SOURCE, source_id))


# Graphs -----------------------------------------------------------------------------------------------------


@router.get("/Graphs/{graph_id}")
def get_graph(ctx: Ctx, name: Named, graph_id: str) -> dict[str, Any]:
    row = ctx.workspace.pipeline_parts.get(pipeline_parts.GRAPH, graph_id)
    return pipelinewire.graph(ctx.workspace, row.id, row.body["graph"])


@router.get("/Graphs/{graph_id}/Interface")
def get_interface(ctx: Ctx, name: Named, graph_id: str) -> dict[str, Any]:
    found: dict[str, Any] = ctx.workspace.pipeline_parts.get(pipeline_parts.GRAPH, graph_id).body["interface"]
    return found


# Runs -------------------------------------------------------------------------------------------------------


@router.post("/PipelineRuns/Unsubmitted/CreationInfoWithGraph")
def create_unsubmitted(
    ctx: Ctx, name: Named, body: dict[str, Any], experiment: Annotated[str, Query(alias="experimentName")]
) -> dict[str, Any]:
    """A pipeline with its graph. All that can be refused is refused here, before there is a run to fail."""
    graph, interface, info = (_object(body, key) for key in ("Graph", "GraphInterface", "CreationInfo"))
    spec = read_pipeline(ctx.workspace, graph, interface, info, "")
    row = ctx.workspace.pipeline_parts.add(pipeline_parts.GRAPH, {"graph": graph, "interface": interface})
    spec = replace(spec, graph_id=row.id)
    kept = {"experiment": experiment, "spec": spec.to_json(), "run_type": str(info.get("RunType") or "SDK")}
    submission = ctx.workspace.pipeline_parts.add(pipeline_parts.SUBMISSION, kept)
    return pipelinewire.unsubmitted(submission.id, experiment, spec)


@router.post("/PipelineRuns/Submit/{run_id}")
def submit(
    ctx: Ctx,
    name: Named,
    asker: Asker,
    run_id: str,
    parent_id: Annotated[str | None, Query(alias="parentRunId")] = None,
) -> Response:
    permissions.may_start(ctx.workspace.runs, asker, parent_id)
    kept = ctx.workspace.pipeline_parts.get(pipeline_parts.SUBMISSION, run_id).body
    spec = PipelineSpec.from_json(kept["spec"])
    # The same call again, as when its answer was lost, changes nothing.
    with contextlib.suppress(Conflict):
        submissions.start(ctx, name, spec, kept["experiment"], kept["run_type"], run_id=run_id, parent_id=parent_id)
    return Response(status_code=200)


@router.get("/PipelineRuns/{run_id}")
def get_run(ctx: Ctx, name: Named, run_id: str) -> dict[str, Any]:
    return pipelinewire.run(ctx, _run(ctx, run_id))


@router.delete("/PipelineRuns/{run_id}/Execution")
def cancel(ctx: Ctx, name: Named, run_id: str) -> Response:
    ctx.cluster.cancel(_run(ctx, run_id).id)
    return Response(status_code=200)


@router.post("/PipelineRuns/{run_id}/Graph/Node/StatusCode")
def node_status_code(ctx: Ctx, name: Named, run_id: str, body: NodeIds) -> str:
    return pipelinewire.node_status(*_node(ctx, run_id, body))


@router.post("/PipelineRuns/{run_id}/Graph/Node/Status")
def node_status(ctx: Ctx, name: Named, run_id: str, body: NodeIds) -> dict[str, Any]:
    parent, step = _node(ctx, run_id, body)
    return {
        "RunId": step.id if step else None,
        "StatusCode": pipelinewire.node_status(parent, step),
        "ReuseInfo": pipelinewire.reuse_info(step),
    }


@router.post("/PipelineRuns/{run_id}/Graph/Shareable/{what}")
def node_log(ctx: Ctx, name: Named, run_id: str, what: str, body: NodeIds) -> Response:
    """A log of a step as text: STDOUT, STDERR (both streams are one log here, the first) or JobLog."""
    if what not in LOGS:
        raise NotFound(f"A step has no log {what[:40]!r}; it has {', '.join(LOGS)}.")
    _, step = _node(ctx, run_id, body)
    path, artifacts = LOGS[what], ctx.workspace.artifacts
    if step is None or path is None or not artifacts.exists(RUN_ORIGIN, data_container(step), path):
        return Response("", media_type="text/plain")
    return FileResponse(artifacts.path(artifacts.get(RUN_ORIGIN, data_container(step), path)), media_type="text/plain")


@router.post("/PipelineRuns/{run_id}/Outputs")
def node_outputs(ctx: Ctx, name: Named, run_id: str, body: NodeIds) -> dict[str, Any]:
    parent, step = _node(ctx, run_id, body)
    node = pipeline_of(parent).node(body[0])
    if node is None or step is None:
        return {}
    return {port: pipelinewire.node_output(ctx.workspace, node, port, reuse.origin(step)) for port in node.outputs}


@router.get("/PipelineRuns/{run_id}/PipelineRunOutputs/{output}")
def pipeline_output(ctx: Ctx, name: Named, run_id: str, output: str) -> dict[str, Any]:
    spec = pipeline_of(_run(ctx, run_id))
    if output not in spec.outputs:
        raise NotFound(f"The pipeline has no output {output[:80]!r}; it has {', '.join(spec.outputs) or 'none'}.")
    node_id, port = spec.outputs[output]
    node = spec.node(node_id)
    _, step = _node(ctx, run_id, [node_id])
    if node is None or step is None:
        raise NotFound(f"The output {output[:80]!r} isn't there: its step has not begun.")
    return pipelinewire.node_output(ctx.workspace, node, port, reuse.origin(step))


def _run(ctx: Context, run_id: str) -> Run:
    run = ctx.workspace.runs.get(run_id)
    if run.run_type != PIPELINE or run.spec is None:
        raise NotFound(f"The run {run_id[:80]!r} is no pipeline.")
    return run


def _node(ctx: Context, run_id: str, body: list[str]) -> tuple[Run, Run | None]:
    """The pipeline, and the run of the node that is asked for, once it has one."""
    if len(body) != 1:
        raise Invalid("One node must be named by its id, in a list.")
    parent = _run(ctx, run_id)
    runs = ctx.workspace.runs.list(parent_id=run_id)
    return parent, next((run for run in runs if run.properties.get(pipeline_runs.NODE) == body[0]), None)


def _object(body: dict[str, Any], key: str) -> dict[str, Any]:
    found = body.get(key) or {}
    if not isinstance(found, dict):
        raise Invalid(f"{key} must be an object.")
    return found
