"""Datastores as Azure Resource Manager shows them to SDK v2, and signatures for their containers."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from azureml_local.names import WorkspaceName
from azureml_local.server.context import WORKSPACE_PATH, Context, Ctx, Named, storage_suffix
from azureml_local.workspace import artifacts, datastores
from azureml_local.workspace.errors import Invalid, NotBuilt
from azureml_local.workspace.registered_datastores import Datastore, local_container

router = APIRouter(prefix=WORKSPACE_PATH + "/datastores")

BLOB, AZURE = "AzureBlob", "core.windows.net"
# Where the files of runs are. They are written with a signature for each blob, so that nobody with one for all of them
# can change another run's.
OF_RUNS = Datastore(datastores.ARTIFACTS, container=artifacts.CONTAINER, local=artifacts.CONTAINER)
READ_ONLY, ALL = "rl", "racwdl"


class SecretsWanted(BaseModel):
    """The body of ``listSecrets``; older clients send none."""

    model_config = ConfigDict(extra="ignore")

    expire_after_hours: int = Field(default=1, validation_alias="expireAfterHours", ge=1, le=24)


class BlobContainer(BaseModel):
    """The properties of a blob container that a client registers; of other kinds only the kind is read."""

    model_config = ConfigDict(extra="ignore")

    kind: str = Field(validation_alias="datastoreType", max_length=40)
    account: str = Field(default="", validation_alias="accountName", max_length=100)
    container: str = Field(default="", validation_alias="containerName", max_length=100)
    endpoint: str | None = Field(default=None, max_length=300)
    protocol: str | None = Field(default=None, max_length=20)
    credentials: dict[str, Any] = Field(default_factory=dict)


class DatastoreBody(BaseModel):
    properties: BlobContainer


@router.get("")
def list_datastores(
    ctx: Ctx, name: Named, only_default: bool | None = Query(None, alias="isDefault")
) -> dict[str, Any]:
    own, *registered = ctx.workspace.datastores.list()
    found = [_body(ctx, name, store) for store in (own, OF_RUNS, *registered)]
    return {
        "value": [one for one in found if only_default is None or one["properties"]["isDefault"] is only_default],
        "nextLink": None,
    }


@router.get("/{datastore}")
def get(ctx: Ctx, name: Named, datastore: str) -> dict[str, Any]:
    return _body(ctx, name, _known(ctx, datastore))


@router.post("/{datastore}/listSecrets")
def list_secrets(ctx: Ctx, name: Named, datastore: str, body: SecretsWanted | None = None) -> dict[str, Any]:
    """A signature for the container of a datastore of this store, good for a day at most; of another one, the
    credential that it was registered with.
    """
    store = _known(ctx, datastore)
    if store.local is None:
        kind, secret = _credential(store)
        return {"secretsType": kind, **({"sasToken": secret} if kind == "Sas" else {"key": secret} if secret else {})}
    hours = (body or SecretsWanted()).expire_after_hours
    query = ctx.urls.container_query(store.local, READ_ONLY if store is OF_RUNS else ALL, hours * 3600)
    return {"secretsType": "Sas", "sasToken": query}


@router.put("/{datastore}")
def put(ctx: Ctx, name: Named, datastore: str, body: DatastoreBody) -> dict[str, Any]:
    """``ml_client.datastores.create_or_update``, by the rule of SDK v1's registration (`dataplane.datastores`)."""
    given, known = body.properties, ctx.workspace.datastores
    if given.kind != BLOB:
        raise NotBuilt(
            f"SDK v2 registers blob containers in azureml-local (AzureBlobDatastore); {datastore[:80]!r} is "
            f"{given.kind!r}. SDK v1 registers file shares and data lakes."
        )
    kind, secrets = str(given.credentials.get("credentialsType") or "None"), given.credentials.get("secrets") or {}
    if not isinstance(secrets, dict):
        raise Invalid("The credentials of a datastore have secrets by name.")
    credential = secrets.get("key") or secrets.get("sasToken")
    here, asked = storage_suffix(ctx), (given.endpoint or "").lower()
    local = local_container(given.account, given.container) if credential and asked in ("", here.lower()) else None
    settings = {
        "accountName": given.account,
        "containerName": given.container,
        "endpoint": AZURE if asked in ("", here.lower()) else asked,
        "protocol": given.protocol or "https",
        "credentialType": {"AccountKey": "AccountKey", "Sas": "Sas"}.get(kind, "None"),
        "credential": credential,
    }
    new = Datastore(
        datastore.lower(), BLOB, given.account, given.container, local, {} if local is not None else settings
    )
    known.register(new, replace=new.name in known.names())
    return _body(ctx, name, known.get(new.name))


@router.delete("/{datastore}")
def delete(ctx: Ctx, name: Named, datastore: str) -> None:
    ctx.workspace.datastores.unregister(_known(ctx, datastore).name)


def _known(ctx: Context, datastore: str) -> Datastore:
    """Raises NotFound."""
    return OF_RUNS if datastore == datastores.ARTIFACTS else ctx.workspace.datastores.get(datastore)


def _credential(store: Datastore) -> tuple[str, str | None]:
    """The credential of a datastore elsewhere: its kind in v2's words, and itself."""
    kind, secret = store.settings.get("credentialType"), store.settings.get("credential")
    return (str(kind), str(secret)) if kind in ("AccountKey", "Sas") and secret else ("None", None)


def _body(ctx: Context, name: WorkspaceName, store: Datastore) -> dict[str, Any]:
    """The path of a container's URL is its name within this store, where the signature of `list_secrets` is good."""
    local = store.local is not None
    return {
        "id": f"{name.arm_id}/datastores/{store.name}",
        "name": store.name,
        "type": "Microsoft.MachineLearningServices/workspaces/datastores",
        "properties": {
            "datastoreType": store.kind,
            "accountName": store.account,
            "containerName": store.local or store.container,
            **({"filesystem": store.container} if store.kind == "AzureDataLakeGen2" else {}),
            **({"fileShareName": store.container} if store.kind == "AzureFile" else {}),
            **({"storeName": store.account} if store.kind == "AzureDataLake" else {}),
            "endpoint": storage_suffix(ctx) if local else store.settings.get("endpoint"),
            "protocol": "https" if local else store.settings.get("protocol"),
            "credentials": {"credentialsType": "Sas" if local else _credential(store)[0]},
            "isDefault": store.name == ctx.workspace.datastores.default,
            "description": None,
            "tags": {},
            "properties": {},
            "serviceDataAccessAuthIdentity": "None",
            "subscriptionId": name.subscription_id,
            "resourceGroup": name.resource_group,
        },
    }
