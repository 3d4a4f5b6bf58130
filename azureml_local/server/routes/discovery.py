"""Discovery: where each service of the workspace is. All of them are here."""

from __future__ import annotations

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


@router.get("/discovery/workspaces/{workspace_id}")
def discovery(ctx: Ctx, workspace_id: str) -> dict[str, str]:
    """Asked for without a token; a service that is missing is a KeyError in the SDK."""
    if workspace_id != ctx.workspace.identity.workspace_id:
        raise NotFound(f"This server has no workspace with the id {workspace_id!r}.")
    return {**dict.fromkeys(SERVICES, ctx.endpoints.api), "studio": ctx.studio}
