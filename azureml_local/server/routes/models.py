"""Model management: models and the assets that hold their files (azureml.core.model)."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from azureml_local.server.context import WORKSPACE_PATH, Context, Ctx, Named
from azureml_local.storage.tables import Asset, Model
from azureml_local.workspace.errors import Invalid, NotBuilt
from azureml_local.workspace.models import Wanted

router = APIRouter(prefix="/modelmanagement/v1.0" + WORKSPACE_PATH)

MAX_COUNT = 1000


@router.post("/assets")
def create_asset(ctx: Ctx, name: Named, body: dict[str, Any]) -> dict[str, Any]:
    if not isinstance(body.get("artifacts"), list) or not body["artifacts"]:
        raise Invalid("An asset needs a list of artifacts.")
    return _asset(ctx.workspace.models.create_asset(body))


@router.get("/assets/{asset_id}")
def get_asset(ctx: Ctx, name: Named, asset_id: str) -> dict[str, Any]:
    return _asset(ctx.workspace.models.asset(asset_id))


@router.post("/models")
def register(ctx: Ctx, name: Named, body: dict[str, Any]) -> dict[str, Any]:
    return _model(ctx, ctx.workspace.models.register(str(body.get("name") or ""), body))


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
    wanted = Wanted(model, run_id, framework, dataset_id, _pairs(tags), _pairs(properties))
    rows, mark = ctx.workspace.models.list(
        wanted, latest_only=latest_only, after=skip_token, limit=min(count, MAX_COUNT)
    )
    next_link = f"{ctx.endpoints.api}{request.url.path}?{urlencode({'$skipToken': mark})}" if mark else None
    return {"value": [_model(ctx, row) for row in rows], "nextLink": next_link}


@router.get("/models/{model_id}")
def get_model(ctx: Ctx, name: Named, model_id: str) -> dict[str, Any]:
    return _model(ctx, ctx.workspace.models.get(model_id))


@router.patch("/models/{model_id}")
def change_model(ctx: Ctx, name: Named, model_id: str, body: list[dict[str, Any]]) -> dict[str, Any]:
    return _model(ctx, ctx.workspace.models.change(model_id, body))


@router.delete("/models/{model_id}")
def delete_model(ctx: Ctx, name: Named, model_id: str) -> Response:
    ctx.workspace.models.delete(model_id)
    return Response(status_code=200)


@router.get("/services")
@router.get("/images")
def nothing_deployed(ctx: Ctx, name: Named) -> dict[str, Any]:
    """Workspace.webservices and .images: there are none. The SDK follows a ``nextLink``, even one that is null."""
    return {"value": []}


def deployment(ctx: Ctx, name: Named) -> None:
    """Everything else that model management does in Azure."""
    raise NotBuilt(
        "Deployment (web services, images, packages, profiles) is not built in azureml-local: it trains models and "
        "registers them. Download the model (Model.download, Model.get_model_path) and call your scoring script "
        "yourself, or deploy in Azure."
    )


for service in ("services", "images", "packages", "profiles", "operations"):
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


def _asset(row: Asset) -> dict[str, Any]:
    return {**row.body, "id": row.id, "createdTime": row.created}


def _model(ctx: Context, row: Model) -> dict[str, Any]:
    return {
        "kvTags": {},
        "properties": {},
        "datasets": [],  # missing, it would be a TypeError in the SDK
        **row.body,
        "id": f"{row.name}:{row.version}",
        "name": row.name,
        "version": row.version,
        "createdTime": row.created,
        "modifiedTime": row.modified,
        "createdBy": {"userObjectId": ctx.workspace.identity.principal_id, "userName": "azureml-local"},
    }
