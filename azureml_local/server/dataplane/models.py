"""Model management: models and the assets that hold their files (azureml.core.model)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from azureml_local.server.context import WORKSPACE_PATH, Context, Ctx, Named
from azureml_local.storage.tables import ArtifactList, AssetVersion
from azureml_local.workspace.assets import NewVersion, number_of
from azureml_local.workspace.errors import Invalid, NotBuilt, NotFound
from azureml_local.workspace.models import DatasetReference, ModelChange, ModelDetails, ModelFilter, details_of

router = APIRouter(prefix="/modelmanagement/v1.0" + WORKSPACE_PATH)

MAX_COUNT = 1000

# What `Model.update` and its relatives replace (azureml.core.model), and what they add to, with the type of each.
REPLACED: Mapping[str, tuple[type, ...]] = {
    "kvTags": (dict,),
    "description": (str,),
    "sampleInputData": (str,),
    "sampleOutputData": (str,),
    "resourceRequirements": (dict,),
}
ADDED: Mapping[str, tuple[type, ...]] = {"properties": (dict,), "datasets": (list,)}
# What only the SDK reads, and gets back as it sent it.
KEPT = (
    *("sampleInputData", "sampleOutputData", "resourceRequirements"),
    *("mimeType", "unpack", "parentModelId", "derivedModelIds"),
)
# What a registration may say of a model beside its name; anything else would only lie in the store.
FIELDS: Mapping[str, tuple[type, ...]] = {
    **REPLACED,
    **ADDED,
    "url": (str,),
    "mimeType": (str,),
    "unpack": (bool,),
    "framework": (str,),
    "frameworkVersion": (str,),
    "experimentName": (str,),
    "runId": (str,),
    "parentModelId": (str,),
    "derivedModelIds": (list,),
}


@router.post("/assets")
def create_asset(ctx: Ctx, name: Named, body: dict[str, Any]) -> dict[str, Any]:
    if not isinstance(body.get("artifacts"), list) or not body["artifacts"]:
        raise Invalid("An asset needs a list of artifacts.")
    return _asset(ctx.workspace.models.create_artifact_list(body))


@router.get("/assets/{asset_id}")
def get_asset(ctx: Ctx, name: Named, asset_id: str) -> dict[str, Any]:
    return _asset(ctx.workspace.models.artifact_list(asset_id))


@router.post("/models")
def register(ctx: Ctx, name: Named, body: dict[str, Any]) -> dict[str, Any]:
    given = {key: _checked(key, value) for key, value in body.items() if key in FIELDS and value is not None}
    new = NewVersion(
        name=str(body.get("name") or ""),
        uri=given.get("url"),
        description=given.get("description"),
        tags=given.get("kvTags", {}),
        properties=given.get("properties", {}),
        run_id=given.get("runId"),
    )
    details = ModelDetails(
        framework=given.get("framework"),
        framework_version=given.get("frameworkVersion"),
        experiment=given.get("experimentName"),
        datasets=_references(given.get("datasets", [])),
        client={key: given[key] for key in KEPT if key in given},
    )
    return _model(ctx, ctx.workspace.models.register(new, details))


@router.get("/models")
def list_models(
    request: Request,
    ctx: Ctx,
    name: Named,
    model: str | None = Query(None, alias="name"),
    run_id: str | None = Query(None, alias="runId"),
    dataset_id: str | None = Query(None, alias="datasetId"),
    framework: str | None = None,
    count: int = Query(MAX_COUNT, ge=1),
    skip_token: str | None = Query(None, alias="$skipToken"),
    latest_only: bool = Query(False, alias="latestVersionOnly"),
    tags: str | None = None,
    properties: str | None = None,
) -> dict[str, Any]:
    """``count`` is the length of a page; the SDK takes the next page's mark out of ``nextLink``."""
    wanted = ModelFilter(model, run_id, framework, dataset_id, _pairs(tags), _pairs(properties))
    rows, mark = ctx.workspace.models.list(
        wanted, latest_only=latest_only, after=skip_token, limit=min(count, MAX_COUNT)
    )
    next_link = f"{ctx.endpoints.api}{request.url.path}?{urlencode({'$skipToken': mark})}" if mark else None
    return {"value": [_model(ctx, row) for row in rows], "nextLink": next_link}


@router.get("/models/{model_id}")
def get_model(ctx: Ctx, name: Named, model_id: str) -> dict[str, Any]:
    return _model(ctx, ctx.workspace.models.get(*_name_and_version(model_id)))


@router.patch("/models/{model_id}")
def change_model(ctx: Ctx, name: Named, model_id: str, body: list[dict[str, Any]]) -> dict[str, Any]:
    """A JSON patch, as ``Model.update``, ``add_tags`` and ``add_properties`` send it."""
    changes = [_change(operation) for operation in body]
    return _model(ctx, ctx.workspace.models.change(*_name_and_version(model_id), changes))


@router.delete("/models/{model_id}")
def delete_model(ctx: Ctx, name: Named, model_id: str) -> Response:
    ctx.workspace.models.delete(*_name_and_version(model_id))
    return Response(status_code=200)


@router.get("/images")
def no_images(ctx: Ctx, name: Named) -> dict[str, Any]:
    """Workspace.images: there are none. The SDK follows a ``nextLink``, even one that is null."""
    return {"value": []}


def deployment(ctx: Ctx, name: Named) -> None:
    """Everything else that model management does in Azure."""
    raise NotBuilt(
        "Container images, packages and profiles of models are not built in azureml-local. Model.deploy() with an "
        "InferenceConfig and AciWebservice.deploy_configuration() serves a model."
    )


for service in ("services/migrate", "images", "packages", "profiles"):
    for place in (f"/{service}", f"/{service}/{{rest:path}}"):
        router.add_api_route(
            place, deployment, methods=["GET", "POST", "PUT", "PATCH", "DELETE"], include_in_schema=False
        )


def _pairs(text: str | None) -> list[tuple[str, str | None]]:
    """``tags=a=1,b``: a name with a value, or just the name (azureml.core.model: the words are joined by
    commas).
    """
    pairs: list[tuple[str, str | None]] = []
    for word in filter(None, (text or "").split(",")):
        key, equals, value = word.partition("=")
        pairs.append((key, value if equals else None))
    return pairs


def _name_and_version(model_id: str) -> tuple[str, str]:
    """SDK v1's id of a model, ``name:version``."""
    name, _, version = model_id.rpartition(":")
    if not name or not version:
        raise NotFound(f"There is no model {model_id!r} in this workspace.")
    return name, version


def _change(operation: Mapping[str, Any]) -> ModelChange:
    field = str(operation.get("path", "")).removeprefix("/")
    if operation.get("op") not in ("add", "replace") or field not in {**REPLACED, **ADDED}:
        raise Invalid(f"A model can't be changed by {str(operation)[:200]}.")
    value = _checked(field, operation.get("value"))
    if field == "kvTags":
        return ModelChange(tags=value)
    if field == "description":
        return ModelChange(description=value)
    if field == "properties":
        return ModelChange(properties=value)
    if field == "datasets":
        return ModelChange(datasets=_references(value))
    return ModelChange(client={field: value})


def _checked(field: str, value: object) -> Any:
    if not isinstance(value, FIELDS[field]):
        raise Invalid(f"A model's {field} can't be {str(value)[:80]!r}.")
    if field in ("kvTags", "properties"):
        return value  # texts, in the end
    try:
        json.dumps(value, allow_nan=False)
    except ValueError:
        raise Invalid(f"A model's {field} has a number that JSON doesn't know.") from None
    return value


def _references(given: Sequence[object]) -> list[DatasetReference]:
    found = []
    for one in given:
        if not isinstance(one, dict) or not isinstance(one.get("id"), str):
            raise Invalid("A model's datasets must be references with an id.")
        use = one.get("name")
        found.append(DatasetReference(None if use is None else str(use), one["id"]))
    return found


def _asset(row: ArtifactList) -> dict[str, Any]:
    return {**row.body, "id": row.id, "createdTime": row.created}


def _model(ctx: Context, row: AssetVersion) -> dict[str, Any]:
    details = details_of(row)
    number = number_of(row.version)
    known = {
        "url": row.uri,
        "description": row.description,
        "runId": row.run_id,
        "framework": details.framework,
        "frameworkVersion": details.framework_version,
        "experimentName": details.experiment,
    }
    return {
        **details.client,
        **{key: value for key, value in known.items() if value is not None},
        "kvTags": row.tags,
        "properties": row.properties,
        # Missing, it would be a TypeError in the SDK.
        "datasets": [{"name": each.use, "id": each.dataset_id} for each in details.datasets],
        "id": f"{row.name}:{row.version}",
        "name": row.name,
        # SDK v1 knows numbers only; of a version that is another text it is told the place among the others.
        "version": row.order if number is None else number,
        "createdTime": row.created,
        "modifiedTime": row.modified,
        "createdBy": {"userObjectId": ctx.workspace.identity.principal_id, "userName": "azureml-local"},
    }
