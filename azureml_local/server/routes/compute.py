"""Compute: AmlCompute clusters (azureml.core.compute)."""

from __future__ import annotations

import re
from typing import Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse

from azureml_local.server.context import WORKSPACE_PATH, Context, Ctx, Named
from azureml_local.storage.tables import Compute
from azureml_local.workspace.computes import ClusterRequest, ScaleSettings
from azureml_local.workspace.errors import Invalid, NotBuilt
from azureml_local.workspace.identity import WorkspaceName

router = APIRouter()

READ = "/rp/workspaces" + WORKSPACE_PATH + "/computes"
WRITE = WORKSPACE_PATH + "/computes"
DURATION = re.compile(r"P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?)?")


@router.get(READ)
@router.get(WRITE, include_in_schema=False)
def list_computes(ctx: Ctx, name: Named) -> dict[str, Any]:
    return {"value": [_body(ctx, name, row) for row in ctx.workspace.computes.list()]}


@router.get(READ + "/{compute}")
@router.get(WRITE + "/{compute}", include_in_schema=False)
def get_compute(ctx: Ctx, name: Named, compute: str) -> dict[str, Any]:
    return _body(ctx, name, ctx.workspace.computes.get(compute))


@router.put(WRITE + "/{compute}")
def create_compute(ctx: Ctx, name: Named, compute: str, body: dict[str, Any]) -> JSONResponse:
    row = ctx.workspace.computes.put(_request(compute, body))
    ctx.cluster.resize(row)
    return _accepted(ctx, name, compute, _body(ctx, name, row), 201)


@router.patch(WRITE + "/{compute}")
def update_compute(ctx: Ctx, name: Named, compute: str, body: dict[str, Any]) -> JSONResponse:
    old = ctx.workspace.computes.get(compute)
    scale = _scale(_properties(body), ScaleSettings(old.min_nodes, old.max_nodes, old.idle_seconds))
    row = ctx.workspace.computes.rescale(compute, scale)
    ctx.cluster.resize(row)
    return _accepted(ctx, name, compute, _body(ctx, name, row), 200)


@router.delete(WRITE + "/{compute}")
def delete_compute(ctx: Ctx, name: Named, compute: str) -> JSONResponse:
    ctx.workspace.computes.get(compute)
    ctx.cluster.remove(compute)
    ctx.workspace.computes.delete(compute)
    return _accepted(ctx, name, compute, {}, 202)


@router.post(READ + "/{compute}/listNodes")
@router.post(WRITE + "/{compute}/listNodes", include_in_schema=False)
def list_nodes(ctx: Ctx, name: Named, compute: str) -> dict[str, Any]:
    nodes = [
        {
            "nodeId": f"{compute}-{node.number}",
            "privateIpAddress": "127.0.0.1",
            "publicIpAddress": None,
            "port": 0,
            "nodeState": node.state,
            "runId": node.run_id,
        }
        for node in ctx.cluster.pool(compute).nodes()
    ]
    return {"nodes": nodes}


@router.get(WORKSPACE_PATH + "/computes/{compute}/operations/{operation}")
def operation(ctx: Ctx, name: Named, compute: str, operation: str) -> dict[str, Any]:
    """The outcome of a create, update or delete: each was done when it was answered."""
    return {"id": operation, "name": operation, "status": "Succeeded"}


def _accepted(ctx: Context, name: WorkspaceName, compute: str, body: dict[str, Any], status: int) -> JSONResponse:
    # azureml.core.compute reads this header of every answer to a write (KeyError without it).
    url = f"{ctx.endpoints.api}{name.arm_id}/computes/{compute}/operations/done?api-version=2020-02-02"
    return JSONResponse(body, status, {"Azure-AsyncOperation": url})


def _properties(body: dict[str, Any]) -> dict[str, Any]:
    outer = body.get("properties") or {}
    if str(outer.get("computeType") or "AmlCompute").lower() != "amlcompute":
        raise NotBuilt(f"A local workspace has AmlCompute only, not {outer.get('computeType')!r}.")
    inner = outer.get("properties") or {}
    if not isinstance(inner, dict):
        raise Invalid("The compute's properties must be an object.")
    return inner


def _request(compute: str, body: dict[str, Any]) -> ClusterRequest:
    properties = _properties(body)
    size = properties.get("vmSize")
    if not isinstance(size, str) or not size:
        raise Invalid(f"The cluster {compute!r} has no VM size. Set vm_size, e.g. STANDARD_D2_V2.")
    return ClusterRequest(
        name=compute,
        vm_size=size.upper(),
        vm_priority=str(properties.get("vmPriority") or "dedicated").lower(),
        scale=_scale(properties, ScaleSettings()),
        tags=dict(body.get("tags") or {}),
        description=(body.get("properties") or {}).get("description"),
        extra={key: properties[key] for key in ("remoteLoginPortPublicAccess", "subnet") if properties.get(key)},
    )


def _scale(properties: dict[str, Any], old: ScaleSettings) -> ScaleSettings:
    given = properties.get("scaleSettings") or {}
    try:
        return ScaleSettings(
            min_nodes=int(given.get("minNodeCount", old.min_nodes) or 0),
            max_nodes=int(given.get("maxNodeCount", old.max_nodes) or 0),
            idle_seconds=_seconds(given.get("nodeIdleTimeBeforeScaleDown"), old.idle_seconds),
        )
    except (TypeError, ValueError) as error:
        raise Invalid(f"The scale settings {given!r} make no sense: counts must be whole numbers.") from error


def _seconds(value: Any, default: float) -> float:
    """An ISO 8601 duration (the SDK sends e.g. ``PT1800S``) in seconds."""
    if value is None:
        return default
    match = DURATION.fullmatch(str(value))
    if match is None:
        raise Invalid(f"{value!r} is no duration like PT1800S.")
    days, hours, minutes, seconds = (float(part or 0) for part in match.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60 + seconds


def _body(ctx: Context, name: WorkspaceName, row: Compute) -> dict[str, Any]:
    pool = ctx.cluster.pool(row.name)
    counts = pool.counts()
    return {
        "id": f"{name.arm_id}/computes/{row.name}",
        "name": row.name,
        "location": row.location,
        "type": "Microsoft.MachineLearningServices/workspaces/computes",
        "tags": row.tags,
        "properties": {
            "computeType": "AmlCompute",
            "computeLocation": row.location,
            "description": row.description,
            "resourceId": None,
            "provisioningState": "Succeeded",
            "provisioningErrors": None,
            "createdOn": row.created,
            "modifiedOn": row.modified,
            "isAttachedCompute": False,
            "properties": {
                "vmSize": row.vm_size,
                "vmPriority": row.vm_priority,
                "scaleSettings": {
                    "minNodeCount": row.min_nodes,
                    "maxNodeCount": row.max_nodes,
                    "nodeIdleTimeBeforeScaleDown": f"PT{row.idle_seconds:g}S",
                },
                "subnet": row.extra.get("subnet"),
                "remoteLoginPortPublicAccess": row.extra.get("remoteLoginPortPublicAccess", "NotSpecified"),
                "allocationState": "Steady",
                "allocationStateTransitionTime": pool.last_transition,
                "currentNodeCount": pool.size,
                "targetNodeCount": pool.size,
                "errors": None,
                "nodeStateCounts": {
                    "preparingNodeCount": 0,
                    "runningNodeCount": counts["running"],
                    "idleNodeCount": counts["idle"],
                    "unusableNodeCount": 0,
                    "leavingNodeCount": 0,
                    "preemptedNodeCount": 0,
                },
            },
        },
    }
