"""Datastores: the workspace's own blob store, as an Azure blob container with an account key."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Response

from azureml_local.names import WorkspaceName
from azureml_local.server.context import WORKSPACE_PATH, Context, Ctx, Named, storage_suffix
from azureml_local.server.dataplane import wire
from azureml_local.workspace import datastores
from azureml_local.workspace.containers import ACCOUNT
from azureml_local.workspace.datastores import CONTAINER, DEFAULT
from azureml_local.workspace.errors import NotBuilt

router = APIRouter(prefix="/datastore/v1.0" + WORKSPACE_PATH)


@router.get("/default")
def get_default(ctx: Ctx, name: Named) -> dict[str, Any]:
    return _body(ctx, name)


@router.get("/datastores")
def list_datastores(ctx: Ctx, name: Named) -> dict[str, Any]:
    return wire.page([_body(ctx, name)])


@router.get("/datastores/{datastore}")
def get(ctx: Ctx, name: Named, datastore: str) -> dict[str, Any]:
    """Asked for by the SDK, and by its Rust engine too."""
    datastores.check_exists(datastore)
    return _body(ctx, name)


@router.put("/default/{datastore}")
def set_default(ctx: Ctx, name: Named, datastore: str) -> Response:
    """Datastore.set_as_default: the one there is, is the default already."""
    datastores.check_exists(datastore)
    return Response(status_code=200)


@router.post("/datastores")
def register(ctx: Ctx, name: Named, body: dict[str, Any]) -> None:
    """Datastore.register_azure_blob_container and its sisters."""
    raise NotBuilt(
        f"A local workspace has one datastore, {DEFAULT!r}; the {body.get('dataStoreType')} datastore "
        f"{str(body.get('name'))[:80]!r} can't be registered. Copy what your code needs of it to the default one "
        "(Dataset.File.upload_directory), or read it by https with Dataset.File.from_files."
    )


@router.delete("/datastores/{datastore}")
def unregister(ctx: Ctx, name: Named, datastore: str) -> None:
    datastores.check_deletable(datastore)


def _body(ctx: Context, name: WorkspaceName) -> dict[str, Any]:
    return {
        "name": DEFAULT,
        "dataStoreType": "AzureBlob",
        "isDefault": True,
        "hasBeenValidated": True,
        "tags": {},
        "azureStorageSection": {
            "accountName": ACCOUNT,
            "containerName": CONTAINER,
            "endpoint": storage_suffix(ctx),
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
