"""Published pipelines of SDK v1 and their endpoints (azureml.pipeline.core: PublishedPipeline, PipelineEndpoint).

The address of each, with a token of this server and a JSON body, starts a run from any program.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Body, Header, Query

from azureml_local.names import WorkspaceName
from azureml_local.server.access import permissions
from azureml_local.server.context import WORKSPACE_PATH, Asker, Context, Ctx, Named
from azureml_local.server.dataplane import pipelinewire
from azureml_local.server.dataplane.pipelinesubmissions import (
    ACTIVE,
    ASSIGNMENTS,
    assignments,
    check_active,
    read_published,
    status_of,
    submit_published,
)
from azureml_local.storage.tables import Json, PipelinePart
from azureml_local.workspace import pipeline_parts, pipeline_runs
from azureml_local.workspace.errors import Conflict, Invalid, NotFound
from azureml_local.workspace.filters import Comparison
from azureml_local.workspace.pipeline_parts import ENDPOINT, PUBLISHED
from azureml_local.workspace.texts import check_name

SERVICE = "/pipelines/v1.0"
router = APIRouter(prefix=SERVICE + WORKSPACE_PATH)

ActiveOnly = Annotated[bool, Query(alias="activeOnly")]
Parent = Annotated[str | None, Query(alias="parentRunId")]
MOST = 1000


# Published pipelines ----------------------------------------------------------------------------------------


@router.post("/Pipelines/Create")
def publish(ctx: Ctx, name: Named, body: dict[str, Any]) -> Json:
    graph, interface = (assignments(body, key) for key in ("Graph", "GraphInterface"))
    return entity(ctx, name, keep(ctx, body, dict(graph), dict(interface)))


def keep(ctx: Context, body: Json, graph: Json, interface: Json) -> PipelinePart:
    """Publish a graph. What can't run is refused now. Raises Invalid, NotFound, NotBuilt."""
    parts = ctx.workspace.pipeline_parts
    graph_row = parts.add(pipeline_parts.GRAPH, {"graph": graph, "interface": interface})
    kept: Json = {
        "Name": check_name("A published pipeline's name", str(body.get("Name") or "")),
        "Description": body.get("Description"),
        "Version": body.get("Version"),
        "GraphId": graph_row.id,
        "ContinueRunOnStepFailure": bool(body.get("ContinueRunOnStepFailure")),
        "Properties": body.get("Properties"),
        "EntityStatus": ACTIVE,
        **{key: dict(assignments(body, key)) for key in ASSIGNMENTS},
    }
    spec = read_published(ctx.workspace, PipelinePart(kind=PUBLISHED, id="", body=kept), {})
    return parts.add(PUBLISHED, {**kept, "steps": len(spec.nodes), "parameters": dict(spec.parameters)}, kept["Name"])


@router.get("/Pipelines")
def list_published(ctx: Ctx, name: Named, active_only: ActiveOnly = True) -> list[Json]:
    return [entity(ctx, name, row) for row in ctx.workspace.pipeline_parts.list(PUBLISHED) if _shown(row, active_only)]


@router.get("/Pipelines/{pipeline_id}")
def get_published(ctx: Ctx, name: Named, pipeline_id: str) -> Json:
    return entity(ctx, name, ctx.workspace.pipeline_parts.get(PUBLISHED, pipeline_id))


@router.put("/Pipelines/{pipeline_id}/status")
def set_status(ctx: Ctx, name: Named, pipeline_id: str, body: Annotated[str, Body()]) -> Json:
    status = status_of(body)
    row = ctx.workspace.pipeline_parts.change(PUBLISHED, pipeline_id, lambda kept: {**kept, "EntityStatus": status})
    return entity(ctx, name, row)


@router.post("/PipelineRuns/PipelineSubmit/{pipeline_id}")
def submit(
    ctx: Ctx, name: Named, asker: Asker, pipeline_id: str, body: dict[str, Any], parent_id: Parent = None
) -> Json:
    """Start a published pipeline: what its address is for."""
    permissions.may_start(ctx.workspace.runs, asker, parent_id)
    row = ctx.workspace.pipeline_parts.get(PUBLISHED, pipeline_id)
    run = submit_published(ctx, name, row, body, run_type=run_type(body), parent_id=parent_id)
    return pipelinewire.run(ctx, run)


@router.get("/PipelineRuns/Pipeline/{pipeline_id}")
def runs_of(ctx: Ctx, name: Named, pipeline_id: str) -> list[Json]:
    wanted = Comparison("properties", pipeline_runs.PUBLISHED, "eq", pipeline_id)
    found = ctx.workspace.runs.page(wanted).items
    return [pipelinewire.run(ctx, ctx.workspace.runs.get(row.id)) for row in found]


def run_type(body: Json) -> str:
    """Who submits it: the SDK says so itself, other programs don't."""
    return str(body.get("RunType") or "HTTP")[:80]


def entity(ctx: Context, name: WorkspaceName, row: PipelinePart) -> Json:
    """A PipelineEntity (azureml.pipeline.core._restclients.aeva.models)."""
    shown = ("Name", "Description", "Version", "GraphId", "ContinueRunOnStepFailure", "EntityStatus", "Properties")
    return {
        **{key: row.body.get(key) for key in shown},
        "Id": row.id,
        "TotalRunSteps": row.body["steps"],
        "ParameterAssignments": row.body["parameters"],
        "DataSetDefinitionValueAssignments": row.body["DataSetDefinitionValueAssignments"],
        "Url": f"{ctx.endpoints.api}{SERVICE}{name.arm_id}/PipelineRuns/PipelineSubmit/{row.id}",
        "CreatedDate": row.created,
        "LastModifiedDate": row.created,
    }


def _shown(row: PipelinePart, active_only: bool) -> bool:
    return not active_only or row.body.get("EntityStatus") == ACTIVE


# Endpoints --------------------------------------------------------------------------------------------------


@router.post("/PipelineEndpoints/Create")
def create_endpoint(ctx: Ctx, name: Named, body: dict[str, Any]) -> Json:
    parts, called = ctx.workspace.pipeline_parts, _endpoint_name(ctx, body, None)
    first = parts.get(PUBLISHED, str(body.get("PipelineId")))
    kept = {
        "Name": called,
        "Description": body.get("Description"),
        "DefaultVersion": "0",
        "PipelineVersionList": [{"Version": "0", "PipelineId": first.id}],
        "EntityStatus": ACTIVE,
        "Properties": body.get("Properties"),
        "tags": body.get("tags") or {},
    }
    return _endpoint(ctx, name, parts.add(ENDPOINT, kept, called))


@router.get("/PipelineEndpoints")
def list_endpoints(
    ctx: Ctx,
    name: Named,
    active_only: ActiveOnly = True,
    size: Annotated[int, Header(alias="BatchSize", ge=1)] = MOST,
) -> list[Json]:
    rows = [row for row in ctx.workspace.pipeline_parts.list(ENDPOINT) if _shown(row, active_only)]
    return [_endpoint(ctx, name, row) for row in rows[: min(size, MOST)]]


@router.get("/PipelineEndpoints/Name")
def endpoint_by_name(ctx: Ctx, name: Named, called: Annotated[str, Query(alias="Name")]) -> Json:
    return _endpoint(ctx, name, ctx.workspace.pipeline_parts.newest(ENDPOINT, called))


@router.get("/PipelineEndpoints/Id/{endpoint_id}")
def get_endpoint(ctx: Ctx, name: Named, endpoint_id: str) -> Json:
    return _endpoint(ctx, name, ctx.workspace.pipeline_parts.get(ENDPOINT, endpoint_id))


@router.get("/PipelineEndpoints/{endpoint_id}/pipelines")
def pipelines_of(ctx: Ctx, name: Named, endpoint_id: str, active_only: ActiveOnly = True) -> list[Json]:
    parts = ctx.workspace.pipeline_parts
    versions = parts.get(ENDPOINT, endpoint_id).body["PipelineVersionList"]
    rows = [parts.get(PUBLISHED, each["PipelineId"]) for each in versions]
    return [entity(ctx, name, row) for row in rows if _shown(row, active_only)]


@router.put("/PipelineEndpoints/{endpoint_id}")
def change_endpoint(ctx: Ctx, name: Named, endpoint_id: str, body: dict[str, Any]) -> Json:
    """The whole endpoint, with other versions, another default one, name, description or status."""
    parts = ctx.workspace.pipeline_parts
    present = parts.get(ENDPOINT, endpoint_id).body
    called = _endpoint_name(ctx, {"Name": body.get("Name", present["Name"])}, endpoint_id)
    versions = _versions(ctx, body.get("PipelineVersionList", present["PipelineVersionList"]))
    default = str(body.get("DefaultVersion", present["DefaultVersion"]))
    if default not in versions:
        raise Invalid(f"The endpoint has no version {default[:40]!r}; it has {', '.join(versions)}.")
    change = {
        "Name": called,
        "Description": body.get("Description", present["Description"]),
        "DefaultVersion": default,
        "PipelineVersionList": [{"Version": key, "PipelineId": value} for key, value in versions.items()],
        "EntityStatus": status_of(body.get("EntityStatus", present["EntityStatus"])),
        "tags": body.get("tags") or present["tags"],
    }
    return _endpoint(ctx, name, parts.change(ENDPOINT, endpoint_id, lambda kept: {**kept, **change}, called))


@router.post("/PipelineRuns/PipelineEndpointSubmit/Id/{endpoint_id}")
@router.post("/PipelineRuns/PipelineEndpointSubmit/Id/{endpoint_id}/{version}")
def submit_endpoint(
    ctx: Ctx,
    name: Named,
    asker: Asker,
    endpoint_id: str,
    body: dict[str, Any],
    version: str | None = None,
    asked: Annotated[str | None, Query(alias="pipelineVersion")] = None,
    parent_id: Parent = None,
) -> Json:
    """Start the default version of an endpoint, or the one that is named."""
    permissions.may_start(ctx.workspace.runs, asker, parent_id)
    row = endpoint_version(ctx, endpoint_id, version or asked)
    run = submit_published(ctx, name, row, body, run_type=run_type(body), parent_id=parent_id)
    return pipelinewire.run(ctx, run)


def endpoint_version(ctx: Context, endpoint_id: str, version: str | None) -> PipelinePart:
    """The published pipeline of an endpoint's version. Raises NotFound, and Invalid for a disabled endpoint."""
    row = ctx.workspace.pipeline_parts.get(ENDPOINT, endpoint_id)
    check_active(row)
    versions = {each["Version"]: each["PipelineId"] for each in row.body["PipelineVersionList"]}
    wanted = version or row.body["DefaultVersion"]
    if wanted not in versions:
        raise NotFound(f"The endpoint {row.body['Name']!r} has no version {wanted[:40]!r}: {', '.join(versions)}.")
    return ctx.workspace.pipeline_parts.get(PUBLISHED, versions[wanted])


def _endpoint_name(ctx: Context, body: Json, own: str | None) -> str:
    """A name that no other endpoint has. Raises Invalid, Conflict."""
    called = check_name("A pipeline endpoint's name", str(body.get("Name") or ""))
    if any(row.id != own for row in ctx.workspace.pipeline_parts.all(ENDPOINT, called, 2)):
        raise Conflict(f"There is a pipeline endpoint {called!r} already. Add the pipeline to it: endpoint.add(...).")
    return called


def _versions(ctx: Context, given: Any) -> dict[str, str]:
    """Ids of published pipelines by their versions. Raises Invalid, NotFound."""
    if not isinstance(given, list) or not given or not all(isinstance(each, dict) for each in given):
        raise Invalid("An endpoint has a list of pipelines, at least one: PipelineVersionList.")
    found = {str(each.get("Version"))[:40]: str(each.get("PipelineId")) for each in given}
    for pipeline_id in found.values():
        ctx.workspace.pipeline_parts.get(PUBLISHED, pipeline_id)
    return found


def _endpoint(ctx: Context, name: WorkspaceName, row: PipelinePart) -> Json:
    return {
        **row.body,
        "Id": row.id,
        "Url": f"{ctx.endpoints.api}{SERVICE}{name.arm_id}/PipelineRuns/PipelineEndpointSubmit/Id/{row.id}",
        "SwaggerUrl": None,
        "CreatedDate": row.created,
        "LastModifiedDate": row.created,
    }
