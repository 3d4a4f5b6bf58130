"""Environments (azureml._restclient.environment_client)."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from azureml_local.server.context import WORKSPACE_PATH, Ctx, Named
from azureml_local.storage.tables import AssetVersion
from azureml_local.workspace.environments import definition_of
from azureml_local.workspace.errors import Invalid, NotBuilt

router = APIRouter(prefix="/environment/v1.0" + WORKSPACE_PATH + "/environments")


@router.get("/")
@router.get("", include_in_schema=False)
def list_environments(ctx: Ctx, name: Named) -> dict[str, Any]:
    return {"value": [_body(row) for row in ctx.workspace.environments.latest()], "nextLink": None}


@router.put("/{environment}/versions/{version}")
def register_version(ctx: Ctx, name: Named, environment: str, version: str, body: dict[str, Any]) -> dict[str, Any]:
    return _body(ctx.workspace.environments.register(environment, _lower_camel(body), version))


@router.get("/{environment}/versions/{version}")
def get_version(ctx: Ctx, name: Named, environment: str, version: str) -> dict[str, Any]:
    return _body(ctx.workspace.environments.get(environment, version))


@router.get("/{environment}/labels/{label}")
def get_labelled(ctx: Ctx, name: Named, environment: str, label: str) -> dict[str, Any]:
    return _body(ctx.workspace.environments.labelled(environment, label))


@router.put("/{environment}/versions/{version}/metadata")
def set_labels(ctx: Ctx, name: Named, environment: str, version: str, body: dict[str, Any]) -> dict[str, Any]:
    labels = body.get("Labels")
    if not isinstance(labels, list):
        raise Invalid("An environment's labels must be a list.")
    return _body(ctx.workspace.environments.label(environment, version, labels))


@router.get("/{environment}/image")
@router.get("/{environment}/versions/{version}/image")
def image_details(ctx: Ctx, name: Named, environment: str, version: str | None = None) -> dict[str, Any]:
    """There is never an image: a job's packages are in a virtual environment (Environment.get_image_details)."""
    row = ctx.workspace.environments.get(environment, version)
    base = row.body.get("docker") or {}
    return {
        "imageExistsInRegistry": False,
        "dockerImage": {"name": base.get("baseImage"), "registry": {"address": None}},
        "pythonEnvironment": {"interpreterPath": None, "condaEnvironmentPath": None},
        "ingredients": {"dockerfile": base.get("baseDockerfile")},
    }


@router.post("/{environment}/recipe", include_in_schema=False)
@router.post("/{environment}/versions/{version}/recipe", include_in_schema=False)
def recipe(ctx: Ctx, name: Named, environment: str, version: str | None = None) -> None:
    ctx.workspace.environments.get(environment, version)
    raise NotBuilt(
        "Environment.build_local is not built in azureml-local: there is no image to build. A job's packages are "
        "installed when it runs; Environment.build(workspace) installs them now."
    )


# Last, and with any path: a name with a slash in it, which is none, is answered as such.
@router.put("/{environment:path}")
def register(ctx: Ctx, name: Named, environment: str, body: dict[str, Any]) -> dict[str, Any]:
    return _body(ctx.workspace.environments.register(environment, _lower_camel(body)))


@router.get("/{environment:path}")
def get(ctx: Ctx, name: Named, environment: str) -> dict[str, Any]:
    return _body(ctx.workspace.environments.get(environment))


def _lower_camel(body: dict[str, Any]) -> dict[str, Any]:
    """The SDK sends ``Name, Docker, Spark, ...`` and wants ``name, docker, spark, ...`` back."""
    return {key[:1].lower() + key[1:]: value for key, value in body.items()}


def _body(row: AssetVersion) -> dict[str, Any]:
    return {**definition_of(row), "name": row.name, "version": row.version}
