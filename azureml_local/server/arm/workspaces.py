"""Azure Resource Manager: clouds, subscriptions, the workspace itself."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from fastapi import APIRouter, Depends

from azureml_local.endpoints import CLIENT_CLOUD_NAME, CLOUD_NAME, authority, mlflow_tracking_uri
from azureml_local.names import WorkspaceName
from azureml_local.server.context import WORKSPACE_PATH, Context, Ctx, Named, authenticated, storage_suffix
from azureml_local.workspace.errors import NotBuilt
from azureml_local.workspace.identity import LOCATION

router = APIRouter()

GROUP_PATH = WORKSPACE_PATH.removesuffix("/workspaces/{workspace_name}")
# In the place of a sign-in key, where none was asked with: MSAL is refused there, and shows the user this address.
NO_KEY = "start-the-client-through-azureml-local"
WORKSPACE_TYPE = "Microsoft.MachineLearningServices/workspaces"


@router.get("/metadata/endpoints")
def clouds(ctx: Ctx) -> list[dict[str, Any]]:
    """This server under two names, one for jobs and one for clients (`environment`); asked for without a token: by
    SDK v1 once per configuration folder, by v2 several times at each start.
    """
    return clouds_of(ctx, NO_KEY)


@router.get("/metadata/{key}/endpoints")
def clouds_of(ctx: Ctx, key: str) -> list[dict[str, Any]]:
    """The same for who knows a sign-in key, which the address to sign in at has in it too. Anybody may ask: the key
    comes from whoever asks, and is looked at where it is used (`access.identity`).
    """
    return [_cloud(ctx, name, key) for name in (CLOUD_NAME, CLIENT_CLOUD_NAME)]


def _cloud(ctx: Context, name: str, key: str) -> dict[str, Any]:
    """Services that are not here get an address that can't exist, rather than Azure's: nothing leaves the machine by
    mistake.
    """
    api = ctx.endpoints.api
    nowhere = "https://azureml-local.invalid/"
    return {
        "name": name,
        "portal": f"{api}/portal.a.b.c",
        "authentication": {
            # azureml-mlflow hands host and port to azure-identity, which takes "localhost:8843" for a scheme; with a
            # user part, which no HTTP client sends on, it is an address.
            # Both join it with the tenant in the place of the last part.
            "loginEndpoint": authority(ctx.endpoints, quote(key, safe="")).replace("//", "//sign-in@", 1) + "/sign-in",
            "audiences": [f"{api}/", f"{api}/"],
            "tenant": ctx.workspace.identity.tenant_id,
            "identityProvider": "AAD",
        },
        "resourceManager": api,  # without a slash at the end: the SDK joins paths that begin with one
        "media": nowhere,
        "graph": nowhere,
        "graphAudience": nowhere,
        "batch": nowhere,
        "gallery": nowhere,
        "sqlManagement": nowhere,
        "vmImageAliasDoc": nowhere,
        "activeDirectoryDataLake": nowhere,
        "microsoftGraphResourceId": nowhere,
        "appInsightsResourceId": nowhere,
        "appInsightsTelemetryChannelResourceId": nowhere,
        "attestationResourceId": nowhere,
        "synapseAnalyticsResourceId": nowhere,
        "logAnalyticsResourceId": nowhere,
        "ossrdbmsResourceId": nowhere,
        "suffixes": {
            "acrLoginServer": "azurecr.azureml-local.invalid",
            "keyVaultDns": "vault.azureml-local.invalid",
            "storage": storage_suffix(ctx),
            "sqlServerHostname": "database.azureml-local.invalid",
            "mysqlServerEndpoint": "mysql.azureml-local.invalid",
            "postgresqlServerEndpoint": "postgres.azureml-local.invalid",
            "mariadbServerEndpoint": "mariadb.azureml-local.invalid",
            "azureDataLakeStoreFileSystem": "adl.azureml-local.invalid",
            "azureDataLakeAnalyticsCatalogAndJob": "adla.azureml-local.invalid",
            "storageSyncEndpointSuffix": "afs.azureml-local.invalid",
            "mhsmDns": "mhsm.azureml-local.invalid",
            "synapseAnalytics": "synapse.azureml-local.invalid",
            "attestationEndpoint": "attest.azureml-local.invalid",
        },
    }


@router.get("/subscriptions", dependencies=[Depends(authenticated)])
def subscriptions(ctx: Ctx) -> dict[str, Any]:
    known = dict.fromkeys(name.subscription_id for name in ctx.workspace.identity.names)
    return {
        "value": [
            {
                "id": f"/subscriptions/{subscription}",
                "subscriptionId": subscription,
                "tenantId": ctx.workspace.identity.tenant_id,
                "displayName": "azureml-local",
                "state": "Enabled",
            }
            for subscription in known
        ]
    }


@router.get("/subscriptions/{subscription_id}/resources", dependencies=[Depends(authenticated)])
def resources(ctx: Ctx, subscription_id: str) -> dict[str, Any]:
    """All workspaces of a subscription (Workspace.list)."""
    names = [n for n in ctx.workspace.identity.names if n.subscription_id.lower() == subscription_id.lower()]
    return {"value": [workspace_body(ctx, name) for name in names]}


@router.get(
    "/subscriptions/{subscription_id}/providers/Microsoft.MachineLearningServices/workspaces",
    dependencies=[Depends(authenticated)],
)
def workspaces_of_subscription(ctx: Ctx, subscription_id: str) -> dict[str, Any]:
    """``ml_client.workspaces.list``."""
    return resources(ctx, subscription_id)


@router.get(WORKSPACE_PATH)
@router.get("/rp/workspaces" + WORKSPACE_PATH)
def workspace(ctx: Ctx, name: Named) -> dict[str, Any]:
    return workspace_body(ctx, name)


@router.get(GROUP_PATH + "/workspaces", dependencies=[Depends(authenticated)])
def workspaces_of_group(ctx: Ctx, subscription_id: str, resource_group: str) -> dict[str, Any]:
    """Workspace.list with a resource group."""
    asked = subscription_id.lower(), resource_group.lower()
    names = [n for n in ctx.workspace.identity.names if (n.subscription_id.lower(), n.resource_group.lower()) == asked]
    return {"value": [workspace_body(ctx, name) for name in names]}


# What is refused stands in no document of the routes.


@router.delete(WORKSPACE_PATH, include_in_schema=False)
def delete_workspace(ctx: Ctx, name: Named) -> None:
    raise NotBuilt(
        f"A script can't delete a local workspace, which is everything that {name.name!r} holds. "
        "`azureml-local down` stops it, `azureml-local reset` deletes it; one that is gone by itself is "
        "`azureml-local run --ephemeral -- COMMAND`."
    )


@router.patch(WORKSPACE_PATH, include_in_schema=False)
def update_workspace(ctx: Ctx, name: Named) -> None:
    raise NotBuilt(
        "Workspace.update is not built in azureml-local: description, tags and image build compute of a local "
        "workspace are fixed."
    )


@router.post(WORKSPACE_PATH + "/{operation}", include_in_schema=False)
def workspace_operation(ctx: Ctx, name: Named) -> None:
    raise NotBuilt(
        "Keys, their synchronisation and diagnosis of a workspace are not built in azureml-local: its storage and key "
        "vault are parts of the server. The environment of a Docker build context, for which the SDK asks for keys, "
        "can't be made: name its packages with Environment.from_conda_specification."
    )


@router.get(WORKSPACE_PATH + "/connections", include_in_schema=False)
@router.api_route(
    WORKSPACE_PATH + "/connections/{connection}", methods=["GET", "PUT", "DELETE"], include_in_schema=False
)
def connections(ctx: Ctx, name: Named) -> None:
    raise NotBuilt(
        "Connections of a workspace are not built in azureml-local. Keep passwords of package indexes and the like in "
        "the key vault: workspace.get_default_keyvault().set_secret(name, value)."
    )


def workspace_body(ctx: Context, name: WorkspaceName) -> dict[str, Any]:
    identity = ctx.workspace.identity
    group = f"/subscriptions/{name.subscription_id}/resourceGroups/{name.resource_group}/providers"
    return {
        "id": name.arm_id,
        "name": name.name,
        "location": LOCATION,
        "type": WORKSPACE_TYPE,
        "kind": "Default",  # no hub and no feature store
        "tags": {},
        "sku": {"name": "Basic", "tier": "Basic"},
        "identity": {
            "type": "SystemAssigned",
            "principalId": identity.principal_id,
            "tenantId": identity.tenant_id,
        },
        "properties": {
            "friendlyName": name.name,
            "description": "A local workspace (azureml-local).",
            "storageAccount": f"{group}/Microsoft.Storage/storageAccounts/localstore",
            "keyVault": f"{group}/Microsoft.Keyvault/vaults/localvault",
            "applicationInsights": f"{group}/Microsoft.insights/components/localinsights",
            "containerRegistry": None,
            "workspaceId": identity.workspace_id,
            "mlFlowTrackingUri": mlflow_tracking_uri(ctx.endpoints, name),
            "discoveryUrl": f"{ctx.endpoints.api}/discovery/{ctx.discovery_key}/workspaces/{identity.workspace_id}",
            "creationTime": identity.created,
            "provisioningState": "Succeeded",
            "hbiWorkspace": False,
        },
    }
