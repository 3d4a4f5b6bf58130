"""Environments of SDK v2: a conda file and an image, kept as the definition that SDK v1 has of them too."""

from __future__ import annotations

from typing import Any

import yaml
from pydantic import Field

from azureml_local.names import WorkspaceName
from azureml_local.server.arm.versioned import Described, Kind, Wire, changed, check_json, read_routes
from azureml_local.server.context import Context, Ctx, Named
from azureml_local.storage.tables import AssetVersion, Json
from azureml_local.workspace.assets import check_asset_name
from azureml_local.workspace.errors import Invalid, NotBuilt

MAX_CONDA_FILE = 256 * 1024
BUILD_CONTEXT = (
    "An environment with a Docker build context (Environment(build=BuildContext(...))) can't be made in azureml-local, "
    "which starts no images. Name the packages with conda_file instead."
)


class EnvironmentVersion(Described):
    conda_file: str | None = Field(default=None, alias="condaFile", max_length=MAX_CONDA_FILE)
    image: str | None = None
    build: dict[str, Any] | None = None
    inference_config: dict[str, Any] | None = Field(default=None, alias="inferenceConfig")
    os_type: str | None = Field(default=None, alias="osType")


class EnvironmentBody(Wire):
    properties: EnvironmentVersion


def _own(ctx: Context, name: WorkspaceName, row: AssetVersion) -> Json:
    docker, python = row.body.get("docker") or {}, row.body.get("python") or {}
    conda, kept = python.get("condaDependencies"), row.body.get("v2") or {}
    if not kept.get("condaFile") and isinstance(conda, dict) and not python.get("userManagedDependencies"):
        kept = {**kept, "condaFile": yaml.safe_dump(conda, sort_keys=False)}
    return {
        "condaFile": kept.get("condaFile"),
        "image": docker.get("baseImage"),
        "inferenceConfig": kept.get("inferenceConfig"),
        "osType": kept.get("osType") or "Linux",
        "environmentType": "UserCreated",
    }


KIND = Kind("environments", lambda workspace: workspace.environments, _own)
router = read_routes(KIND)


@router.put("/{asset}/versions/{version}", status_code=201)
def put_version(ctx: Ctx, name: Named, asset: str, version: str, body: EnvironmentBody) -> dict[str, Any]:
    given = body.properties
    if given.build:
        raise NotBuilt(BUILD_CONTEXT)
    if not given.conda_file and not given.image:
        raise Invalid("An environment needs a conda_file (or an image, which is noted only).")
    check_json("The environment's inference_config", given.inference_config)
    kept = {"condaFile": given.conda_file, "inferenceConfig": given.inference_config, "osType": given.os_type}
    definition = {
        "python": {
            "interpreterPath": "python",
            "userManagedDependencies": False,
            "condaDependencies": conda_dependencies(given.conda_file) if given.conda_file else None,
            "baseCondaEnvironment": None,
        },
        "docker": {"baseImage": given.image, "baseDockerfile": None},
        "environmentVariables": {},
    }
    row = ctx.workspace.environments.register(
        check_asset_name(asset), definition, version, also={"v2": kept, "anonymous": given.anonymous}
    )
    return KIND.version_body(ctx, name, changed(ctx.workspace.environments, row, given))


def conda_dependencies(text: str) -> Json:
    """A conda file's content. Raises Invalid."""
    try:
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text)):
            raise Invalid("The environment's conda file has YAML aliases; write the packages out.")
        found = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise Invalid(f"The environment's conda file isn't YAML: {' '.join(str(error).split())[:300]}") from None
    if not isinstance(found, dict) or not isinstance(found.get("dependencies"), list):
        raise Invalid("The environment's conda file must have a list named 'dependencies'.")
    check_json("The environment's conda file", found)
    return found
