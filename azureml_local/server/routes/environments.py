"""Environments (azureml._restclient.environment_client)."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from azureml_local.server.context import WORKSPACE_PATH, Ctx, Named
from azureml_local.storage.tables import Environment

router = APIRouter(prefix="/environment/v1.0" + WORKSPACE_PATH + "/environments")


@router.get("/")
@router.get("", include_in_schema=False)
def list_environments(ctx: Ctx, name: Named) -> dict[str, Any]:
    return {"value": [_body(row) for row in ctx.workspace.environments.latest()], "nextLink": None}


@router.put("/{environment}")
def register(ctx: Ctx, name: Named, environment: str, body: dict[str, Any]) -> dict[str, Any]:
    return _body(ctx.workspace.environments.register(environment, _lower_camel(body)))


@router.put("/{environment}/versions/{version}")
def register_version(ctx: Ctx, name: Named, environment: str, version: str, body: dict[str, Any]) -> dict[str, Any]:
    return _body(ctx.workspace.environments.register(environment, _lower_camel(body), version))


@router.get("/{environment}")
def get(ctx: Ctx, name: Named, environment: str) -> dict[str, Any]:
    return _body(ctx.workspace.environments.get(environment))


@router.get("/{environment}/versions/{version}")
def get_version(ctx: Ctx, name: Named, environment: str, version: str) -> dict[str, Any]:
    return _body(ctx.workspace.environments.get(environment, version))


def _lower_camel(body: dict[str, Any]) -> dict[str, Any]:
    """The SDK sends ``Name, Docker, Spark, ...`` and wants ``name, docker, spark, ...`` back."""
    return {key[:1].lower() + key[1:]: value for key, value in body.items()}


def _body(row: Environment) -> dict[str, Any]:
    return {**row.definition, "name": row.name, "version": row.version}
