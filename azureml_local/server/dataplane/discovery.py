"""Discovery: the URL of each service of the workspace, all of which this server provides."""

from __future__ import annotations

import hmac

from fastapi import APIRouter

from azureml_local.server.context import Ctx
from azureml_local.workspace.errors import NotFound

router = APIRouter()

SERVICES = (
    "api",
    "history",
    "modelmanagement",
    "experimentation",
    "hyperdrive",
    "pipelines",
    "notebooks",
    "catalog",
    "gallery",
    "datastore",
    "inference",
)


@router.get("/discovery/{key}/workspaces/{workspace_id}")
def discovery(ctx: Ctx, key: str, workspace_id: str) -> dict[str, str]:
    """Asked for without a token (azureml._base_sdk_common.service_discovery), though the answer holds the key of
    the run pages. So the address has a key of its own, and only callers with a token are told it.

    A service that is missing is a KeyError in the SDK.
    """
    if not hmac.compare_digest(key.encode(), ctx.discovery_key.encode()):
        raise NotFound("There is no such address. The workspace's own answer (discoveryUrl) has the right one.")
    if workspace_id != ctx.workspace.identity.workspace_id:
        raise NotFound(f"This server has no workspace with the id {workspace_id!r}.")
    return {**dict.fromkeys(SERVICES, ctx.endpoints.api), "studio": ctx.studio}
