"""Modules with names and versions (azureml.pipeline.core: Module, ModuleVersion), of which ModuleStep makes steps.

A version is a module as any step has one (`pipelinemodules`), under its own id; what is beside that is the name that
the versions are of.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query

from azureml_local.server.context import WORKSPACE_PATH, Context, Ctx, Named
from azureml_local.server.dataplane import pipelinemodules
from azureml_local.server.dataplane.pipelinemodules import OWNER
from azureml_local.server.dataplane.pipelinesubmissions import ACTIVE, status_of
from azureml_local.storage.tables import Json, PipelinePart
from azureml_local.workspace.errors import Conflict, Invalid, NotFound
from azureml_local.workspace.pipeline_parts import MODULE, NAMED_MODULE
from azureml_local.workspace.texts import check_name

router = APIRouter(prefix="/pipelines/v1.0" + WORKSPACE_PATH)


@router.post("/AzureMLModules")
def create(ctx: Ctx, name: Named, body: dict[str, Any]) -> Json:
    called = _name(ctx, body, None)
    kept: Json = {"Name": called, "Description": body.get("Description"), "Versions": [], "DefaultVersion": None}
    return _module(ctx.workspace.pipeline_parts.add(NAMED_MODULE, {**kept, "EntityStatus": ACTIVE}, called))


@router.get("/AzureMLModules/Name")
def by_name(ctx: Ctx, name: Named, called: Annotated[str, Query(alias="name")]) -> Json:
    return _module(ctx.workspace.pipeline_parts.newest(NAMED_MODULE, called))


@router.get("/AzureMLModules/{module_id}")
def get(ctx: Ctx, name: Named, module_id: str) -> Json:
    return _module(ctx.workspace.pipeline_parts.get(NAMED_MODULE, module_id))


@router.put("/AzureMLModules/{module_id}")
def change(ctx: Ctx, name: Named, module_id: str, body: dict[str, Any]) -> Json:
    """The whole module, with another name, description, status, default version, or with other versions."""
    parts = ctx.workspace.pipeline_parts
    present = parts.get(NAMED_MODULE, module_id).body
    called = _name(ctx, {"Name": body.get("Name", present["Name"])}, module_id)
    versions = body.get("Versions", present["Versions"]) or []
    if not isinstance(versions, list) or not all(isinstance(each, dict) for each in versions):
        raise Invalid("The versions of a module must be a list: Versions.")
    found = {str(each.get("Version"))[:40]: _version(ctx, str(each.get("ModuleVersionId"))).id for each in versions}
    default = body.get("DefaultVersion", present["DefaultVersion"])
    if default is not None and str(default) not in found:
        known = ", ".join(found) or "none"
        raise Invalid(f"The module {called!r} has no version {str(default)[:40]!r}; it has {known}.")
    changed = {
        "Name": called,
        "Description": body.get("Description", present["Description"]),
        "EntityStatus": status_of(body.get("EntityStatus", present["EntityStatus"])),
        "Versions": [{"Version": version, "ModuleVersionId": part} for version, part in found.items()],
        "DefaultVersion": default,
    }
    return _module(parts.change(NAMED_MODULE, module_id, lambda kept: {**kept, **changed}, called))


@router.post("/AzureMLModuleVersions")
def create_version(ctx: Ctx, name: Named, body: dict[str, Any]) -> Json:
    """A version of a module; the client adds it to the module's list. What can't run is refused now."""
    ctx.workspace.pipeline_parts.get(NAMED_MODULE, str(body.get(OWNER)))
    pipelinemodules.check_module(ctx.workspace, body)
    row = ctx.workspace.pipeline_parts.add(MODULE, body, pipelinemodules.hash_of(body))
    return _version_entity(row)


@router.get("/AzureMLModuleVersions/{version_id}")
def get_version(ctx: Ctx, name: Named, version_id: str) -> Json:
    return _version_entity(_version(ctx, version_id))


@router.put("/AzureMLModuleVersions/{version_id}")
def change_version(ctx: Ctx, name: Named, version_id: str, body: dict[str, Any]) -> Json:
    """Another description or status of a version; what it runs stays."""
    present = _version(ctx, version_id)
    data = body.get("Data") or {}
    if not isinstance(data, dict):
        raise Invalid("Data of a module's version must be an object.")
    changed = {
        "Description": data.get("Description", present.body.get("Description")),
        "EntityStatus": status_of(data.get("EntityStatus") or present.body.get("EntityStatus") or ACTIVE),
    }
    row = ctx.workspace.pipeline_parts.change(MODULE, version_id, lambda kept: {**kept, **changed})
    return _version_entity(row)


def _name(ctx: Context, body: Json, own: str | None) -> str:
    """A name that no other module has. Raises Invalid, Conflict."""
    called = check_name("A module's name", str(body.get("Name") or ""))
    if any(row.id != own for row in ctx.workspace.pipeline_parts.all(NAMED_MODULE, called, 2)):
        raise Conflict(f"There is a module {called!r} already: Module.get(workspace, name=...).")
    return called


def _version(ctx: Context, version_id: str) -> PipelinePart:
    row = ctx.workspace.pipeline_parts.get(MODULE, version_id)
    if OWNER not in row.body:
        raise NotFound(f"There is no version {version_id[:80]!r} of a module in this workspace.")
    return row


def _module(row: PipelinePart) -> Json:
    return {**row.body, "Id": row.id, "CreatedDate": row.created, "LastModifiedDate": row.created}


def _version_entity(row: PipelinePart) -> Json:
    known = pipelinemodules.module(row)
    return {**known, "ModuleId": row.body[OWNER], "Version": row.body.get("Version")}
