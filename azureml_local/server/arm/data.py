"""Data assets: a URI and a type, under a name and a version."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from azureml_local.names import WorkspaceName
from azureml_local.server.arm.versioned import MAX_URI, Described, Kind, Wire, changed, read_routes
from azureml_local.server.context import Context, Ctx, Named
from azureml_local.storage.tables import AssetVersion
from azureml_local.workspace.assets import NewVersion, check_asset_name
from azureml_local.workspace.errors import Conflict, NotFound
from azureml_local.workspace.places import kept_uri, shown_uri


class DataVersion(Described):
    uri: str = Field(alias="dataUri", min_length=1, max_length=MAX_URI)
    type: Literal["uri_file", "uri_folder", "mltable"] = Field(default="uri_folder", alias="dataType")


class DataBody(Wire):
    properties: DataVersion


def _own(ctx: Context, name: WorkspaceName, row: AssetVersion) -> dict[str, Any]:
    # The long form: notebooks hand it to pandas and azureml-fsspec.
    return {"dataUri": shown_uri(row.uri or "", name), "dataType": row.type}


KIND = Kind("data", lambda workspace: workspace.data, _own)
router = read_routes(KIND)


@router.put("/{asset}/versions/{version}", status_code=201)
def put_version(ctx: Ctx, name: Named, asset: str, version: str, body: DataBody) -> dict[str, Any]:
    """Make a version. Sent again it is a change of its description, tags and archiving; never of its files."""
    data, given = ctx.workspace.data, body.properties
    uri = kept_uri(given.uri, ctx.workspace.identity.names, ctx.workspace.datastores)
    try:
        row = data.get(asset, version)
    except NotFound:
        new = NewVersion(
            check_asset_name(asset),
            version,
            type=given.type,
            uri=uri,
            description=given.description,
            tags=given.tags or {},
            properties=given.properties or {},
            body={"anonymous": True} if given.anonymous else {},
        )
        row = data.create(new)
    if (row.uri, row.type) != (uri, given.type):
        raise Conflict(
            f"Version {version!r} of the data asset {asset!r} is registered with the path {row.uri!r} and the type "
            f"{row.type}, and a version never changes. Give another version, or none for the next number."
        )
    return KIND.version_body(ctx, name, changed(data, row, given))
