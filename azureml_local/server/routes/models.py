"""Model management: models and the assets that hold their files (azureml.core.model)."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Query

from azureml_local.server.context import WORKSPACE_PATH, Ctx, Named
from azureml_local.storage.tables import Asset, Model
from azureml_local.workspace.errors import Invalid

router = APIRouter(prefix="/modelmanagement/v1.0" + WORKSPACE_PATH)


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
    run_id = body.get("runId")
    model = ctx.workspace.models.register(
        str(body.get("name") or ""), body, run_id if isinstance(run_id, str) else None
    )
    return _model(model)


@router.get("/models")
def list_models(
    ctx: Ctx,
    name: Named,
    model: str | None = Query(None, alias="name"),
    version: int | None = None,
    run_id: str | None = Query(None, alias="runId"),
    count: int | None = Query(None, ge=1),
    latest_only: bool = Query(False, alias="latestVersionOnly"),
    tags: str | None = None,
    properties: str | None = None,
) -> dict[str, Any]:
    wanted_tags, wanted_properties = _pairs(tags), _pairs(properties)

    def keep(row: Model) -> bool:
        return _has(row.body.get("kvTags"), wanted_tags) and _has(row.body.get("properties"), wanted_properties)

    rows = ctx.workspace.models.list(
        name=model, version=version, run_id=run_id, latest_only=latest_only, keep=keep, limit=count
    )
    return {"value": [_model(row) for row in rows], "nextLink": None}


@router.get("/models/{model_id}")
def get_model(ctx: Ctx, name: Named, model_id: str) -> dict[str, Any]:
    return _model(ctx.workspace.models.get(model_id))


def _pairs(text: str | None) -> list[tuple[str, str | None]]:
    """``tags=a=1,b``: a name with a value, or just the name (azureml.core.model: the words are joined by
    commas).
    """
    pairs: list[tuple[str, str | None]] = []
    for word in filter(None, (text or "").split(",")):
        key, equals, value = word.partition("=")
        pairs.append((key, value if equals else None))
    return pairs


def _has(mapping: Any, wanted: list[tuple[str, str | None]]) -> bool:
    found = mapping if isinstance(mapping, dict) else {}
    return all(key in found and (value is None or str(found[key]) == value) for key, value in wanted)


def _asset(row: Asset) -> dict[str, Any]:
    return {**row.body, "id": row.id, "createdTime": row.created}


def _model(row: Model) -> dict[str, Any]:
    return {
        **row.body,
        "id": f"{row.name}:{row.version}",
        "name": row.name,
        "version": row.version,
        "createdTime": row.created,
        "modifiedTime": row.modified,
        "kvTags": row.body.get("kvTags") or {},
        "properties": row.body.get("properties") or {},
    }
