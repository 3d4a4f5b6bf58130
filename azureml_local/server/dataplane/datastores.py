"""Datastores of SDK v1: the workspace's own, and those that a client registers (azureml.data.datastore_client)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Response

from azureml_local.names import WorkspaceName
from azureml_local.server.context import WORKSPACE_PATH, Context, Ctx, Named, storage_suffix
from azureml_local.server.dataplane import wire
from azureml_local.workspace.datastores import DEFAULT
from azureml_local.workspace.errors import Invalid, NotBuilt
from azureml_local.workspace.registered_datastores import Datastore, local_container

router = APIRouter(prefix="/datastore/v1.0" + WORKSPACE_PATH)

BLOB = "AzureBlob"
# By kind: the part of the body that has its settings, and what it calls account and container.
SECTIONS = {
    BLOB: ("azureStorageSection", "accountName", "containerName"),
    "AzureFile": ("azureStorageSection", "accountName", "containerName"),
    "AzureDataLakeGen2": ("azureStorageSection", "accountName", "containerName"),
    "AzureDataLake": ("azureDataLakeSection", "storeName", None),
}
AZURE = "core.windows.net"


@router.get("/default")
def get_default(ctx: Ctx, name: Named) -> dict[str, Any]:
    return _body(ctx, name, ctx.workspace.datastores.get(ctx.workspace.datastores.default))


@router.get("/datastores")
def list_datastores(ctx: Ctx, name: Named) -> dict[str, Any]:
    return wire.page([_body(ctx, name, each) for each in ctx.workspace.datastores.list()])


@router.get("/datastores/{datastore}")
def get(ctx: Ctx, name: Named, datastore: str) -> dict[str, Any]:
    """Asked for by the SDK, and by its Rust engine too."""
    return _body(ctx, name, ctx.workspace.datastores.get(datastore))


@router.put("/default/{datastore}")
def set_default(ctx: Ctx, name: Named, datastore: str) -> Response:
    """Datastore.set_as_default."""
    ctx.workspace.datastores.set_default(datastore)
    return Response(status_code=200)


@router.post("/datastores")
def register(ctx: Ctx, name: Named, body: dict[str, Any]) -> Response:
    """Datastore.register_azure_blob_container and its sisters."""
    ctx.workspace.datastores.register(_registered(ctx, body))
    return Response(status_code=200)


@router.put("/datastores/{datastore}")
def update(ctx: Ctx, name: Named, datastore: str, body: dict[str, Any]) -> Response:
    """The same with overwrite=True, where there is one of that name."""
    ctx.workspace.datastores.register(_registered(ctx, {**body, "name": datastore}), replace=True)
    return Response(status_code=200)


@router.delete("/datastores/{datastore}")
def unregister(ctx: Ctx, name: Named, datastore: str) -> Response:
    ctx.workspace.datastores.unregister(datastore)
    return Response(status_code=200)


def _registered(ctx: Context, body: Mapping[str, Any]) -> Datastore:
    """A datastore as the SDK sends it. Raises Invalid, NotBuilt."""
    kind, name = str(body.get("dataStoreType")), str(body.get("name")).lower()
    if kind not in SECTIONS:
        raise NotBuilt(
            f"The {kind[:40]} datastore {name[:80]!r} can't be registered in azureml-local, which has blob containers "
            f"and knows file shares and data lakes. Copy what your code needs of it to {DEFAULT!r} "
            "(Dataset.File.upload_directory), or read it by https with Dataset.File.from_files."
        )
    word, account_word, container_word = SECTIONS[kind]
    section = body.get(word)
    if not isinstance(section, dict):
        raise Invalid(f"The datastore {name[:80]!r} has no {word}.")
    account = str(section.get(account_word) or "").lower()
    container = str(section.get(container_word) or "") if container_word else "root"
    here, asked = storage_suffix(ctx), str(section.get("endpoint") or "").lower()
    credential = section.get("credential") or section.get("accountKey") or section.get("sasToken")
    if kind == BLOB and credential and asked in ("", here.lower()):
        return Datastore(name, kind, account, container, local_container(account, container))
    # Without a credential it is a public container of Azure's; an endpoint says where it is.
    endpoint = {} if container_word is None else {"endpoint": AZURE if asked in ("", here.lower()) else asked}
    settings = {**section, **endpoint, "protocol": section.get("protocol") or "https"}
    return Datastore(name, kind, account, container, None, settings)


def _body(ctx: Context, name: WorkspaceName, found: Datastore) -> dict[str, Any]:
    where = {"subscriptionId": name.subscription_id, "resourceGroup": name.resource_group}
    word = SECTIONS[found.kind][0]
    section = {**where, **_credentials(found.settings)} if found.local is None else {**where, **_own(ctx, found)}
    return {
        "name": found.name,
        "dataStoreType": found.kind,
        "isDefault": found.name == ctx.workspace.datastores.default,
        "hasBeenValidated": True,
        "tags": {},
        word: section,
    }


def _credentials(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a datastore elsewhere, its credential under both names that clients read."""
    kind, credential = settings.get("credentialType"), settings.get("credential")
    also = {"AccountKey": "accountKey", "Sas": "sasToken"}.get(str(kind))
    return {**settings, "isSas": kind == "Sas", **({also: credential} if also and credential else {})}


def _own(ctx: Context, found: Datastore) -> dict[str, Any]:
    """A container of this store: its key is this store's, whatever key the account that it is named for has."""
    return {
        "accountName": found.account,
        "containerName": found.container,
        "endpoint": storage_suffix(ctx),
        "protocol": "https",
        "credentialType": "AccountKey",
        "credential": ctx.secrets.account_key,
        "accountKey": ctx.secrets.account_key,
        "isSas": False,
        "blobCacheTimeout": 0,
    }
