"""Datastores: the workspace's own blob store, as an Azure blob container with an account key."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from azureml_local.server import wire
from azureml_local.server.context import WORKSPACE_PATH, Context, Ctx, Named
from azureml_local.server.routes.blobs import ACCOUNT, DATASTORE_CONTAINER
from azureml_local.workspace.errors import NotFound
from azureml_local.workspace.identity import WorkspaceName

router = APIRouter(prefix="/datastore/v1.0" + WORKSPACE_PATH)

DEFAULT = "workspaceblobstore"


@router.get("/default")
def get_default(ctx: Ctx, name: Named) -> dict[str, Any]:
    return _body(ctx, name)


@router.get("/datastores")
def list_datastores(ctx: Ctx, name: Named) -> dict[str, Any]:
    return wire.page([_body(ctx, name)])


@router.get("/datastores/{datastore}")
def get(ctx: Ctx, name: Named, datastore: str) -> dict[str, Any]:
    """Asked for by the SDK, and by its Rust engine too."""
    if datastore != DEFAULT:
        raise NotFound(f"There is no datastore {datastore!r} in this workspace; it has {DEFAULT!r}.")
    return _body(ctx, name)


def _body(ctx: Context, name: WorkspaceName) -> dict[str, Any]:
    host = ctx.endpoints.api.removeprefix("https://")
    return {
        "name": DEFAULT,
        "dataStoreType": "AzureBlob",
        "isDefault": True,
        "hasBeenValidated": True,
        "tags": {},
        "azureStorageSection": {
            "accountName": ACCOUNT,
            "containerName": DATASTORE_CONTAINER,
            # The client makes https://{account}.blob.{endpoint}/... of it: the dots stand in the user part,
            # the host is ours.
            "endpoint": f"core.local@{host}",
            "protocol": "https",
            "credentialType": "AccountKey",
            "credential": ctx.secrets.account_key,
            "accountKey": ctx.secrets.account_key,
            "isSas": False,
            "blobCacheTimeout": 0,
            "subscriptionId": name.subscription_id,
            "resourceGroup": name.resource_group,
        },
    }
