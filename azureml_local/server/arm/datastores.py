"""Datastores as Azure Resource Manager shows them to SDK v2, and signatures for their containers."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from azureml_local.names import WorkspaceName
from azureml_local.server.context import WORKSPACE_PATH, Context, Ctx, Named, storage_suffix
from azureml_local.workspace import artifacts, datastores
from azureml_local.workspace.containers import ACCOUNT
from azureml_local.workspace.errors import NotBuilt, NotFound

router = APIRouter(prefix=WORKSPACE_PATH + "/datastores")

# The datastores of this store's own containers, and what their signature allows. Artifacts are written with a signature
# for each blob, so that nobody with one for all of them can change another run's.
PERMISSIONS = {datastores.DEFAULT: "racwdl", datastores.ARTIFACTS: "rl"}
CONTAINERS = {datastores.DEFAULT: datastores.CONTAINER, datastores.ARTIFACTS: artifacts.CONTAINER}
NAMES = " and ".join(CONTAINERS)


class SecretsWanted(BaseModel):
    """The body of ``listSecrets``; older clients send none."""

    model_config = ConfigDict(extra="ignore")

    expire_after_hours: int = Field(default=1, validation_alias="expireAfterHours", ge=1, le=24)


@router.get("")
def list_datastores(
    ctx: Ctx, name: Named, only_default: bool | None = Query(None, alias="isDefault")
) -> dict[str, Any]:
    found = [_body(ctx, name, store) for store in CONTAINERS]
    return {
        "value": [one for one in found if only_default is None or one["properties"]["isDefault"] is only_default],
        "nextLink": None,
    }


@router.get("/{datastore}")
def get(ctx: Ctx, name: Named, datastore: str) -> dict[str, Any]:
    return _body(ctx, name, _known(datastore))


@router.post("/{datastore}/listSecrets")
def list_secrets(ctx: Ctx, name: Named, datastore: str, body: SecretsWanted | None = None) -> dict[str, Any]:
    """A signature for the datastore's container, good for a day at most."""
    store = _known(datastore)
    hours = (body or SecretsWanted()).expire_after_hours
    query = ctx.urls.container_query(CONTAINERS[store], PERMISSIONS[store], hours * 3600)
    return {"secretsType": "Sas", "sasToken": query}


@router.put("/{datastore}", include_in_schema=False)
@router.delete("/{datastore}", include_in_schema=False)
def change(ctx: Ctx, name: Named, datastore: str) -> None:
    raise NotBuilt(f"SDK v2 can't make or delete datastores in azureml-local; the workspace has {NAMES}.")


def _known(datastore: str) -> str:
    """Raises NotFound."""
    if datastore not in CONTAINERS:
        raise NotFound(f"There is no datastore {datastore[:80]!r} in this workspace; it has {NAMES}.")
    return datastore


def _body(ctx: Context, name: WorkspaceName, datastore: str) -> dict[str, Any]:
    return {
        "id": f"{name.arm_id}/datastores/{datastore}",
        "name": datastore,
        "type": "Microsoft.MachineLearningServices/workspaces/datastores",
        "properties": {
            "datastoreType": "AzureBlob",
            "accountName": ACCOUNT,
            "containerName": CONTAINERS[datastore],
            "endpoint": storage_suffix(ctx),
            "protocol": "https",
            "credentials": {"credentialsType": "Sas"},
            "isDefault": datastore == datastores.DEFAULT,
            "description": None,
            "tags": {},
            "properties": {},
            "serviceDataAccessAuthIdentity": "None",
            "subscriptionId": name.subscription_id,
            "resourceGroup": name.resource_group,
        },
    }
