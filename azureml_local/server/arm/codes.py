"""Code of SDK v2: a folder that the client uploads to the datastore, kept as a snapshot like one of SDK v1's."""

from __future__ import annotations

import uuid
from typing import Any
from urllib.parse import unquote, urlsplit

from pydantic import Field

from azureml_local.names import WorkspaceName
from azureml_local.server.arm.versioned import MAX_URI, Described, Kind, Wire, read_routes
from azureml_local.server.context import Context, Ctx, Named, storage_suffix
from azureml_local.storage.tables import AssetVersion
from azureml_local.workspace import datastores
from azureml_local.workspace.assets import NewVersion, check_asset_name
from azureml_local.workspace.containers import ACCOUNT
from azureml_local.workspace.errors import Invalid, NotFound
from azureml_local.workspace.places import place_of
from azureml_local.workspace.snapshots import UPLOAD, new_upload

UPLOAD_SECONDS = 24 * 3600
# Of a code's address the client reads container and path only, by a pattern that wants Azure's own host; it connects
# to no such host (azure.ai.ml._artifacts._artifact_utilities).
SHOWN_HOST = "https://{}.blob.core.windows.net"


class CodeVersion(Described):
    uri: str = Field(alias="codeUri", min_length=1, max_length=MAX_URI)


class CodeBody(Wire):
    properties: CodeVersion


class PendingUpload(Wire):
    type: str = Field(default="TemporaryBlobReference", alias="pendingUploadType")


def _own(ctx: Context, name: WorkspaceName, row: AssetVersion) -> dict[str, Any]:
    return {"codeUri": f"{SHOWN_HOST.format(ACCOUNT)}/{row.uri}"}


KIND = Kind("codes", lambda workspace: workspace.codes, _own, digest="hash_sha256")
router = read_routes(KIND)


@router.post("/{asset}/versions/{version}/startPendingUpload")
def start_upload(ctx: Ctx, name: Named, asset: str, version: str, body: PendingUpload) -> dict[str, Any]:
    """Where to upload a folder to: a container of its own, by a signature for that one only."""
    check_asset_name(asset)
    container = new_upload()
    address = f"https://{ACCOUNT}.blob.{storage_suffix(ctx)}/{container}"
    query = ctx.urls.container_query(container, "racwdl", UPLOAD_SECONDS)
    return {
        "pendingUploadId": container,
        "pendingUploadType": "TemporaryBlobReference",
        "blobReferenceForConsumption": {
            "blobUri": address,
            "storageAccountArmId": f"{name.arm_id}/storageAccounts/{ACCOUNT}",
            "credential": {"credentialType": "SAS", "sasUri": f"{address}?{query}"},
        },
    }


@router.put("/{asset}/versions/{version}", status_code=201)
def put_version(ctx: Ctx, name: Named, asset: str, version: str, body: CodeBody) -> dict[str, Any]:
    """Keep an uploaded folder as a snapshot, which nothing changes; the upload itself goes."""
    codes, given = ctx.workspace.codes, body.properties
    try:
        return KIND.version_body(ctx, name, codes.get(asset, version))
    except NotFound:
        check_asset_name(asset)
    container, path = _uploaded(ctx, given.uri)
    snapshot_id = str(uuid.uuid4())
    ctx.workspace.snapshots.create_from(snapshot_id, container, path)
    row = codes.create(
        NewVersion(
            asset,
            version,
            uri=f"{container}/{path}",
            description=given.description,
            tags=given.tags or {},
            properties=given.properties or {},
            body={"snapshot": snapshot_id, "anonymous": given.anonymous},
        )
    )
    if UPLOAD.fullmatch(container):
        ctx.workspace.blobs.delete_all(container)
    return KIND.version_body(ctx, name, row)


def _uploaded(ctx: Context, uri: str) -> tuple[str, str]:
    """Container and path of uploaded files. Raises Invalid for a URI that is no upload's, nor the datastore's."""
    if (place := place_of(uri, ctx.workspace.identity.names)) is not None:
        return place.container, place.path.rstrip("/")
    try:
        address = urlsplit(uri)
    except ValueError:
        raise Invalid(f"{uri[:200]!r} is no URI.") from None
    container, _, path = unquote(address.path).lstrip("/").partition("/")
    ours = (address.username or address.hostname or "").startswith(f"{ACCOUNT}.")
    if not ours or not (UPLOAD.fullmatch(container) or container == datastores.CONTAINER):
        raise Invalid(f"{uri[:200]!r} isn't in the workspace's datastore. Give a local folder as the code.")
    return container, datastores.clean_path(path)
