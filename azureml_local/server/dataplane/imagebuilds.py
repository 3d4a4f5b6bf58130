"""Image builds (Environment.build): here, the making of the environment's virtual environment."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from azureml_local.server.context import WORKSPACE_PATH, Ctx, Named
from azureml_local.workspace.artifacts import CONTAINER

router = APIRouter(prefix="/environment/v2.0" + WORKSPACE_PATH)


@router.post("/environments/{environment}/versions/{version}/image", status_code=202)
@router.post("/environments/{environment}/versions/{version}/imageoncompute/{compute}", status_code=202)
def build(ctx: Ctx, name: Named, environment: str, version: str, compute: str | None = None) -> dict[str, Any]:
    """Which compute builds it makes no difference: they are all this machine."""
    started = ctx.cluster.image_builds.start(ctx.workspace.environments.get(environment, version))
    return {"location": f"{ctx.endpoints.api}/environment/v2.0{name.arm_id}/imagebuilds/{started.id}"}


@router.get("/imagebuilds/{build_id}")
def status(ctx: Ctx, name: Named, build_id: str) -> dict[str, Any]:
    """Where the log is, too; the SDK reads it without a token (ImageBuildDetails.get_log)."""
    found = ctx.cluster.image_builds.get(build_id)
    return {"status": found.status, "logUrl": ctx.urls.read(CONTAINER, found.log)}
