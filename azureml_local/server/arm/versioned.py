"""What all versioned assets of SDK v2 have in common on the wire: names, versions, lists, archiving."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from azureml_local.names import WorkspaceName
from azureml_local.server.context import WORKSPACE_PATH, Context, Ctx, Named
from azureml_local.storage.tables import AssetName, AssetVersion
from azureml_local.workspace import Workspace
from azureml_local.workspace.assets import Assets
from azureml_local.workspace.errors import Invalid

# How a list is asked for archived things (listViewType).
VIEWS: dict[str, bool | None] = {"ActiveOnly": False, "ArchivedOnly": True, "All": None}

Json = dict[str, Any]


# Of a URI or id. Azure's own end at 2048.
MAX_URI = 4096


class Wire(BaseModel):
    """A body as a client sends it; what isn't read here is let through, since API versions differ."""

    model_config = ConfigDict(extra="ignore", populate_by_name=True)


class Described(Wire):
    """What clients say of an asset, or of one of its versions."""

    description: str | None = None
    tags: dict[str, Any] | None = None
    properties: dict[str, Any] | None = None
    archived: bool = Field(default=False, alias="isArchived")
    anonymous: bool = Field(default=False, alias="isAnonymous")


class NameBody(Wire):
    properties: Described = Described()


@dataclass(frozen=True)
class Kind:
    """A kind of asset: its word in addresses, its place in the workspace, and what only its versions have.

    ``digest`` is the property by which its versions are found, whatever their name: what is there isn't uploaded again.
    """

    path: str
    assets: Callable[[Workspace], Assets]
    own: Callable[[Context, WorkspaceName, AssetVersion], Json]
    digest: str | None = None

    def version_body(self, ctx: Context, name: WorkspaceName, row: AssetVersion) -> Json:
        anonymous = bool(row.body.get("anonymous"))
        return {
            "id": f"{name.arm_id}/{self.path}/{row.name}/versions/{row.version}",
            "name": row.version,
            "type": f"Microsoft.MachineLearningServices/workspaces/{self.path}/versions",
            "properties": {
                "description": row.description,
                "tags": row.tags,
                "properties": row.properties,
                "isArchived": row.archived is not None and not anonymous,
                "isAnonymous": anonymous,
                "provisioningState": "Succeeded",
                **self.own(ctx, name, row),
            },
            "systemData": system_data(row.created, row.modified),
        }

    def name_body(self, ctx: Context, name: WorkspaceName, row: AssetName) -> Json:
        versions = self.assets(ctx.workspace).versions(row.name, limit=1)
        newest = versions[0] if versions else None
        return {
            "id": f"{name.arm_id}/{self.path}/{row.name}",
            "name": row.name,
            "type": f"Microsoft.MachineLearningServices/workspaces/{self.path}",
            "properties": {
                "description": row.description,
                "tags": row.tags,
                "properties": {},
                "isArchived": row.archived is not None,
                "latestVersion": newest.version if newest else None,
                "nextVersion": str(row.last_number + 1),
                "provisioningState": "Succeeded",
                **({"dataType": newest.type} if newest and newest.type else {}),
            },
            "systemData": system_data(row.created, row.modified),
        }


def check_json(what: str, value: object) -> None:
    """Raises Invalid for numbers that JSON doesn't know, which no answer could be sent with."""
    try:
        json.dumps(value, allow_nan=False)
    except (ValueError, TypeError, RecursionError):
        raise Invalid(f"{what} has something in it that JSON doesn't know.") from None


def system_data(created: str, modified: str | None) -> Json:
    who = {"createdBy": "azureml-local", "createdByType": "User"}
    return {**who, "createdAt": created, "lastModifiedAt": modified or created}


def view(text: str | None) -> bool | None:
    """Which things are wanted: the archived ones (True), the others (False), all (None). Raises Invalid."""
    if text is not None and text not in VIEWS:
        raise Invalid(f"listViewType is one of {', '.join(VIEWS)}, not {text[:40]!r}.")
    return VIEWS[text or "ActiveOnly"]


def read_routes(kind: Kind) -> APIRouter:
    """The routes that are the same for all kinds: everything but the making of a version."""
    router = APIRouter(prefix=f"{WORKSPACE_PATH}/{kind.path}")

    @router.get("", operation_id=f"arm_{kind.path}_list")
    def names(ctx: Ctx, name: Named, wanted: str | None = Query(None, alias="listViewType")) -> Json:
        archived = view(wanted)
        shown = [kind.name_body(ctx, name, row) for row in kind.assets(ctx.workspace).names(archived=archived)]
        if archived is False:
            # Not those without a version that isn't archived: the anonymous ones, which are parts of jobs.
            shown = [one for one in shown if one["properties"]["latestVersion"]]
        return {"value": shown, "nextLink": None}

    @router.get("/{asset}", operation_id=f"arm_{kind.path}_get")
    def one_name(ctx: Ctx, name: Named, asset: str) -> Json:
        return kind.name_body(ctx, name, kind.assets(ctx.workspace).name(asset))

    @router.put("/{asset}", operation_id=f"arm_{kind.path}_put")
    def change_name(ctx: Ctx, name: Named, asset: str, body: NameBody) -> Json:
        assets, given = kind.assets(ctx.workspace), body.properties
        row = assets.describe(asset, None, description=given.description, tags=given.tags)
        if (row.archived is not None) != given.archived:
            assets.archive(asset, None, archived=given.archived)
        return kind.name_body(ctx, name, assets.name(asset))

    @router.get("/{asset}/versions", operation_id=f"arm_{kind.path}_versions")
    def versions(
        ctx: Ctx,
        name: Named,
        asset: str,
        wanted: str | None = Query(None, alias="listViewType"),
        top: int | None = Query(None, alias="$top", ge=1),
        digest: str | None = Query(None, alias="hash"),
    ) -> Json:
        assets = kind.assets(ctx.workspace)
        if kind.digest is not None and digest is not None:
            rows = assets.with_property(kind.digest, digest)
        else:
            assets.name(asset)
            rows = assets.versions(asset, archived=view(wanted), limit=top)
        return {"value": [kind.version_body(ctx, name, row) for row in rows], "nextLink": None}

    @router.get("/{asset}/versions/{version}", operation_id=f"arm_{kind.path}_version")
    def one_version(ctx: Ctx, name: Named, asset: str, version: str) -> Json:
        return kind.version_body(ctx, name, kind.assets(ctx.workspace).get(asset, version))

    return router


def changed(assets: Assets, row: AssetVersion, given: Described) -> AssetVersion:
    """A version that a client has sent again, with what it now says of it."""
    assets.describe(row.name, row.version, description=given.description, tags=given.tags)
    if (row.archived is not None) != (given.archived or given.anonymous):
        assets.archive(row.name, row.version, archived=given.archived or given.anonymous)
    return assets.get(row.name, row.version)
