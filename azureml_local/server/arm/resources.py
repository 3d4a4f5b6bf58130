"""Azure Resource Manager, as far as ``Workspace.create`` goes: locations, resource groups and the deployment of a
template (azureml._workspace, azureml._project._commands)."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends

from azureml_local.names import WorkspaceName
from azureml_local.server.context import Ctx, authenticated
from azureml_local.workspace.errors import Invalid, NotBuilt, NotFound
from azureml_local.workspace.identity import LOCATION

router = APIRouter(prefix="/subscriptions/{subscription_id}", dependencies=[Depends(authenticated)])

WORKSPACE_TYPE = "microsoft.machinelearningservices/workspaces"
DEPLOYMENTS = "/resourcegroups/{resource_group}/providers/Microsoft.Resources/deployments"

# What scripts ask for. It makes no difference which one: the workspace is here, and says so (location "local").
LOCATIONS = (
    LOCATION,
    "australiacentral", "australiaeast", "australiasoutheast", "austriaeast", "belgiumcentral", "brazilsouth",
    "canadacentral", "canadaeast", "centralindia", "centralus", "chilecentral", "eastasia", "eastus", "eastus2",
    "francecentral", "germanynorth", "germanywestcentral", "indonesiacentral", "israelcentral", "italynorth",
    "japaneast", "japanwest", "koreacentral", "malaysiawest", "mexicocentral", "newzealandnorth", "northcentralus",
    "northeurope", "norwayeast", "polandcentral", "qatarcentral", "southafricanorth", "southcentralus",
    "southeastasia", "southindia", "spaincentral", "swedencentral", "switzerlandnorth", "switzerlandwest",
    "uaenorth", "uksouth", "ukwest", "westcentralus", "westeurope", "westindia", "westus", "westus2", "westus3",
)  # fmt: skip


@router.get("/providers/Microsoft.MachineLearningServices")
def provider() -> dict[str, Any]:
    """Where a workspace may be (azureml._project._commands.available_workspace_locations)."""
    return {
        "namespace": "Microsoft.MachineLearningServices",
        "registrationState": "Registered",
        "resourceTypes": [{"resourceType": "workspaces", "locations": list(LOCATIONS)}],
    }


@router.get("/resourcegroups/{resource_group}")
def resource_group(ctx: Ctx, subscription_id: str, resource_group: str) -> dict[str, Any]:
    """A group is there as long as a name of the workspace is in it."""
    for known in ctx.workspace.identity.names:
        if (known.subscription_id.lower(), known.resource_group.lower()) == (
            subscription_id.lower(),
            resource_group.lower(),
        ):
            return _group(known.subscription_id, known.resource_group)
    raise NotFound(f"The resource group {resource_group!r} could not be found.")


@router.put("/resourcegroups/{resource_group}")
def create_resource_group(ctx: Ctx, subscription_id: str, resource_group: str) -> dict[str, Any]:
    """The SDK makes it just before the workspace that goes into it; by itself it is nothing here."""
    ctx.workspace.identity.check_can_create()
    return _group(subscription_id, resource_group)


@router.get("/providers/Microsoft.Resources/deployments/")
def deployments(subscription_id: str) -> dict[str, Any]:
    return {"value": []}


@router.put(DEPLOYMENTS + "/{deployment}")
def deploy(
    ctx: Ctx, subscription_id: str, resource_group: str, deployment: str, body: dict[str, Any]
) -> dict[str, Any]:
    """``Workspace.create``: the template's storage, vault and so on are parts of the store already."""
    name = WorkspaceName(subscription_id, resource_group, _workspace_of(body))
    ctx.workspace.identity.create(name)
    return _deployment(name, deployment)


@router.get(DEPLOYMENTS + "/{deployment}/operations")
def operations(subscription_id: str, resource_group: str, deployment: str) -> dict[str, Any]:
    return {"value": []}


def _workspace_of(body: dict[str, Any]) -> str:
    """The workspace's name in a template. Raises Invalid, NotBuilt."""
    properties = body.get("properties")
    template = properties.get("template") if isinstance(properties, dict) else None
    resources = template.get("resources") if isinstance(template, dict) else None
    if not isinstance(resources, list):
        raise Invalid("A deployment needs a template with resources.")
    for resource in resources:
        if isinstance(resource, dict) and str(resource.get("type")).lower() == WORKSPACE_TYPE:
            return str(resource.get("name"))
    raise NotBuilt("Only templates with a workspace can be deployed in azureml-local, and only that is deployed.")


def _group(subscription_id: str, resource_group: str) -> dict[str, Any]:
    return {
        "id": f"/subscriptions/{subscription_id}/resourceGroups/{resource_group}",
        "name": resource_group,
        "location": LOCATION,
        "properties": {"provisioningState": "Succeeded"},
    }


def _deployment(name: WorkspaceName, deployment: str) -> dict[str, Any]:
    group = f"/subscriptions/{name.subscription_id}/resourceGroups/{name.resource_group}"
    return {
        "id": f"{group}/providers/Microsoft.Resources/deployments/{deployment}",
        "name": deployment,
        "properties": {"provisioningState": "Succeeded", "mode": "Incremental"},
    }
