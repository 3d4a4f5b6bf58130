"""Compute: AmlCompute clusters (azureml.core.compute)."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends
from fastapi.responses import JSONResponse

from azureml_local.cluster.nodes import IDLE, LEAVING, RUNNING, Allocation
from azureml_local.names import WorkspaceName
from azureml_local.runtime.faults import FaultKind
from azureml_local.server.arm.durations import seconds_of
from azureml_local.server.context import WORKSPACE_PATH, Context, Ctx, Named, authenticated
from azureml_local.storage.tables import Compute
from azureml_local.workspace.computes import ClusterRequest, ScaleSettings
from azureml_local.workspace.errors import Invalid, NotBuilt
from azureml_local.workspace.texts import texts
from azureml_local.workspace.vm_sizes import VM_SIZES

router = APIRouter()

READ = "/rp/workspaces" + WORKSPACE_PATH + "/computes"
WRITE = WORKSPACE_PATH + "/computes"
# Computes of pipelines' steps, which a user knows by the SDK's class, and makes before the step.
OF_OTHER_STEPS = {
    "datafactory": "DataFactoryCompute, which DataTransferStep runs on",
    "databricks": "DatabricksCompute, which DatabricksStep runs on",
    "datalakeanalytics": "AdlaCompute, which AdlaStep runs on",
    "batch": "BatchCompute, which AzureBatchStep runs on",
    "hdinsight": "HDInsightCompute",
    "kusto": "KustoCompute, which KustoStep runs on",
    "synapsespark": "SynapseCompute, which SynapseSparkStep runs on",
    "virtualmachine": "RemoteCompute (a virtual machine)",
    "kubernetes": "KubernetesCompute",
}
ONLY_AMLCOMPUTE = (
    "A local workspace has AmlCompute only, not {}. Make a cluster with AmlCompute.provisioning_configuration instead."
)
ALLOCATION_FAILED = {
    "code": "AllocationFailed",
    "message": "The desired number of nodes could not be allocated (a simulation).",
}


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
    request = _request(compute, body)
    old = ctx.workspace.computes.find(compute)
    new = old is None or old.provisioning_error is not None
    if new and ctx.cluster.faults.take(FaultKind.QUOTA_EXCEEDED, compute):
        row = ctx.workspace.computes.put(request, _quota_exceeded(request))
    else:
        row = ctx.workspace.computes.put(request)
        ctx.cluster.resize(row)
    return _accepted(ctx, name, compute, _body(ctx, name, row), 201)


@router.patch(WRITE + "/{compute}")
def update_compute(ctx: Ctx, name: Named, compute: str, body: dict[str, Any]) -> JSONResponse:
    old = ctx.workspace.computes.ready(compute)
    scale = _scale(_properties(body), ScaleSettings(old.min_nodes, old.max_nodes, old.idle_seconds))
    row = ctx.workspace.computes.rescale(compute, scale)
    ctx.cluster.resize(row)
    return _accepted(ctx, name, compute, _body(ctx, name, row), 200)


@router.delete(WRITE + "/{compute}")
def delete_compute(ctx: Ctx, name: Named, compute: str) -> JSONResponse:
    ctx.workspace.computes.delete(compute)
    ctx.cluster.remove(compute)
    return _accepted(ctx, name, compute, {}, 202)


@router.post(READ + "/{compute}/listNodes")
@router.post(WRITE + "/{compute}/listNodes", include_in_schema=False)
def list_nodes(ctx: Ctx, name: Named, compute: str) -> dict[str, Any]:
    ctx.workspace.computes.get(compute)
    nodes = [
        {
            "nodeId": f"{compute}-{node.number}",
            "privateIpAddress": "127.0.0.1",
            "publicIpAddress": None,
            "port": 0,
            "nodeState": node.state,
            "runId": node.run_id,
        }
        for node in ctx.cluster.nodes(compute)
    ]
    return {"nodes": nodes}


@router.get(WORKSPACE_PATH + "/computes/{compute}/operations/{operation}")
def operation(ctx: Ctx, name: Named, compute: str, operation: str) -> dict[str, Any]:
    """The outcome of a create, update or delete: each was done when it was answered."""
    row = ctx.workspace.computes.find(compute)
    if row is None or row.provisioning_error is None:
        return {"id": operation, "name": operation, "status": "Succeeded"}
    # azureml.core.compute shows statusCode and message of the error to the user.
    error = {"statusCode": 400, **row.provisioning_error}
    return {"id": operation, "name": operation, "status": "Failed", "error": error}


@router.post(WORKSPACE_PATH + "/checkComputeNameAvailability")
def check_name(ctx: Ctx, name: Named) -> None:
    """azureml.core.compute.computeinstance asks this before it creates a ComputeInstance."""
    raise NotBuilt(ONLY_AMLCOMPUTE.format("ComputeInstance"))


@router.get(
    "/subscriptions/{subscription_id}/providers/Microsoft.MachineLearningServices/locations/{location}/vmSizes",
    dependencies=[Depends(authenticated)],
)
def vm_sizes(subscription_id: str, location: str) -> dict[str, Any]:
    """A choice of Azure's sizes, for SDK v1 (AmlCompute.supported_vmsizes) and SDK v2 (compute.list_sizes)."""
    keys = ("name", "vCPUs", "gpus", "memoryGB", "maxResourceVolumeMB")
    sizes = [dict(zip(keys, size, strict=True)) for size in VM_SIZES]
    return {"amlCompute": sizes, "value": [{**size, "supportedComputeTypes": ["AmlCompute"]} for size in sizes]}


def _accepted(ctx: Context, name: WorkspaceName, compute: str, body: dict[str, Any], status: int) -> JSONResponse:
    # azureml.core.compute reads this header of every answer to a write (KeyError without it).
    url = f"{ctx.endpoints.api}{name.arm_id}/computes/{compute}/operations/done?api-version=2020-02-02"
    return JSONResponse(body, status, {"Azure-AsyncOperation": url})


def _properties(body: dict[str, Any]) -> dict[str, Any]:
    if body.get("identity"):
        raise NotBuilt(
            "Managed identities of a cluster are not built in azureml-local: its jobs run as you, and reach the "
            "workspace with a token of their own. Leave identity_type out, and add or remove no identity."
        )
    outer = _mapping(body, "properties")
    if str(outer.get("computeType") or "AmlCompute").lower() != "amlcompute":
        kind = str(outer.get("computeType"))[:80]
        raise NotBuilt(ONLY_AMLCOMPUTE.format(OF_OTHER_STEPS.get(kind.lower(), kind)))
    return _mapping(outer, "properties")


def _mapping(body: dict[str, Any], key: str) -> dict[str, Any]:
    value = body.get(key)
    if value is not None and not isinstance(value, dict):
        raise Invalid(f"The compute's {key} must be an object.")
    return value or {}


def _request(compute: str, body: dict[str, Any]) -> ClusterRequest:
    properties = _properties(body)
    size = properties.get("vmSize")
    if not isinstance(size, str) or not size:
        raise Invalid(f"The cluster {compute[:80]!r} has no VM size. Set vm_size, e.g. STANDARD_D2_V2.")
    description = _mapping(body, "properties").get("description")
    return ClusterRequest(
        name=compute,
        vm_size=size.upper(),
        vm_priority=str(properties.get("vmPriority") or "dedicated").lower(),
        scale=_scale(properties, ScaleSettings()),
        tags=texts("tags", body.get("tags")),
        description=None if description is None else str(description),
        # Not the administrator's name and password: there is nobody to sign in to.
        extra={
            "remoteLoginPortPublicAccess": str(properties.get("remoteLoginPortPublicAccess") or "NotSpecified"),
            "subnet": texts("subnet", properties.get("subnet")) or None,
        },
    )


def _quota_exceeded(request: ClusterRequest) -> dict[str, Any]:
    return {
        "code": "ClusterCoreQuotaReached",
        "message": f"Operation results in exceeding the quota of cores for {request.vm_size} (a simulation).",
    }


def _scale(properties: dict[str, Any], old: ScaleSettings) -> ScaleSettings:
    given = _mapping(properties, "scaleSettings")
    return ScaleSettings(
        min_nodes=_count(given.get("minNodeCount"), old.min_nodes),
        max_nodes=_count(given.get("maxNodeCount"), old.max_nodes),
        idle_seconds=_seconds(given.get("nodeIdleTimeBeforeScaleDown"), old.idle_seconds),
    )


def _count(value: Any, default: int) -> int:
    if value is None:
        return default
    if not isinstance(value, int) or isinstance(value, bool):
        raise Invalid(f"The node count {str(value)[:80]!r} makes no sense: counts must be whole numbers.")
    return value


def _seconds(value: Any, default: float) -> float:
    """An ISO 8601 duration in seconds. The SDK sends e.g. ``PT1800S``, and an empty text for 0 (ScaleSettings)."""
    if value is None or value == "":
        return default
    return seconds_of(str(value))


def _body(ctx: Context, name: WorkspaceName, row: Compute) -> dict[str, Any]:
    failed = row.provisioning_error
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
            "provisioningState": "Failed" if failed else "Succeeded",
            "provisioningErrors": [{"error": failed}] if failed else None,
            "createdOn": row.created,
            "modifiedOn": row.modified,
            "isAttachedCompute": False,
            "properties": _cluster(ctx.cluster.allocation(row.name), row),
        },
    }


def _cluster(nodes: Allocation, row: Compute) -> dict[str, Any]:
    return {
        "vmSize": row.vm_size,
        "vmPriority": row.vm_priority,
        "scaleSettings": {
            "minNodeCount": row.min_nodes,
            "maxNodeCount": row.max_nodes,
            # Not "1e+06": isodate, which reads it in the SDK, knows no exponents.
            "nodeIdleTimeBeforeScaleDown": f"PT{row.idle_seconds:.3f}".rstrip("0").rstrip(".") + "S",
        },
        "subnet": row.extra.get("subnet"),
        "remoteLoginPortPublicAccess": row.extra.get("remoteLoginPortPublicAccess", "NotSpecified"),
        "allocationState": nodes.state,
        "allocationStateTransitionTime": nodes.transition,
        "currentNodeCount": nodes.current,
        "targetNodeCount": nodes.target,
        "errors": [{"error": ALLOCATION_FAILED}] if nodes.failing else None,
        "nodeStateCounts": {
            "preparingNodeCount": 0,
            "runningNodeCount": nodes.counts[RUNNING],
            "idleNodeCount": nodes.counts[IDLE],
            "unusableNodeCount": 0,
            "leavingNodeCount": nodes.counts[LEAVING],
            "preemptedNodeCount": 0,
        },
    }
