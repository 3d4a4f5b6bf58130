"""Datasets: registrations, versions and saved data flows (azureml.data, azureml.dataprep)."""

from __future__ import annotations

import json
from typing import Any

from fastapi import APIRouter, Query, Response

from azureml_local.names import WorkspaceName
from azureml_local.server.context import WORKSPACE_PATH, Context, Ctx, Named
from azureml_local.server.dataplane import mirroring, wire
from azureml_local.storage.tables import SavedDataset
from azureml_local.workspace.datasets import THIS_SERVER, DatasetDetail, rust_dataflow, with_rust_dataflow
from azureml_local.workspace.datastores import renamed
from azureml_local.workspace.errors import Invalid, NotFound

router = APIRouter()

DATASET = "/dataset/v1.0" + WORKSPACE_PATH
DATA = "/data/v1.0" + WORKSPACE_PATH


@router.post(DATASET + "/datasets")
def register(
    ctx: Ctx,
    name: Named,
    body: dict[str, Any],
    if_exists_ok: bool = Query(True, alias="ifExistsOk"),
    update_definition: bool = Query(True, alias="updateDefinitionIfExists"),
) -> dict[str, Any]:
    latest = _object(body, "latest")
    detail = ctx.workspace.datasets.register(
        str(body.get("name") or ""),
        _kind(body.get("datasetType")),
        _to_keep(ctx, latest.get("dataflow")),
        properties=_object(latest, "properties"),
        description=_text(body, "description"),
        tags=_object(body, "tags"),
        visible=bool(body.get("isVisible", True)),
        exist_ok=if_exists_ok,
        new_version=update_definition,
    )
    return _registration(ctx, name, detail)


@router.get(DATASET + "/datasets")
def list_datasets(
    ctx: Ctx,
    name: Named,
    include_invisible: bool = Query(False, alias="includeInvisible"),
    page_size: int = Query(100, alias="pageSize", ge=1, le=1000),
    token: str = Query("", alias="continuationToken"),
) -> dict[str, Any]:
    """The token is the last name of the page before."""
    found = ctx.workspace.datasets.list(invisible=include_invisible, after=token, limit=page_size + 1)
    shown = [_registration(ctx, name, detail) for detail in found[:page_size]]
    return {"value": shown, "continuationToken": shown[-1]["name"] if len(found) > page_size else None}


@router.put(DATASET + "/datasets/{dataset_id}")
def update(ctx: Ctx, name: Named, dataset_id: str, body: dict[str, Any]) -> dict[str, Any]:
    """Dataset.update, add_tags and remove_tags: the whole dataset comes, description and tags are what may change."""
    version = _object(body, "latest").get("versionId")
    detail = ctx.workspace.datasets.update(
        dataset_id,
        str(version) if version else None,
        description=_text(body, "description"),
        tags=None if body.get("tags") is None else _object(body, "tags"),
    )
    return _registration(ctx, name, detail)


@router.delete(DATASET + "/datasets/{dataset}")
def unregister(ctx: Ctx, name: Named, dataset: str) -> Response:
    ctx.workspace.datasets.unregister(dataset)
    return Response(status_code=200)


@router.get(DATASET + "/datasets/query/name={dataset}")
def get_by_name(
    ctx: Ctx, name: Named, dataset: str, version: str | None = Query(None, alias="versionId")
) -> dict[str, Any]:
    return _registration(ctx, name, ctx.workspace.datasets.get(dataset, version))


@router.get(DATASET + "/datasets/query/savedDatasetId={saved_id}")
def find_by_saved_id(ctx: Ctx, name: Named, saved_id: str) -> dict[str, Any]:
    detail = ctx.workspace.datasets.by_saved_id(saved_id)
    return wire.page([_registration(ctx, name, detail)] if detail else [])


@router.post(DATASET + "/saveddatasets")
def save(ctx: Ctx, name: Named, body: dict[str, Any]) -> dict[str, Any]:
    dataflow = body.get("dataflowJson") or body.get("dataflow")
    saved = ctx.workspace.datasets.save(
        _kind(body.get("datasetType")), _to_keep(ctx, dataflow), _object(body, "properties")
    )
    return _saved(ctx, name, saved)


@router.get(DATASET + "/saveddatasets/{saved_id}")
def get_saved(ctx: Ctx, name: Named, saved_id: str) -> dict[str, Any]:
    return _saved(ctx, name, ctx.workspace.datasets.saved(saved_id))


@router.get(DATA + "/dataversion/{data_name}/versions/{version}")
def data_version(ctx: Ctx, name: Named, data_name: str, version: str) -> dict[str, Any]:
    """The data flow for the Rust engine; without it the SDK says that the dataset is no longer supported."""
    prefix = "unregistered-"
    if not data_name.startswith(prefix):
        raise NotFound(f"There is no data asset {data_name!r} in this workspace.")
    saved = ctx.workspace.datasets.saved(data_name[len(prefix) :])
    body = {"dataId": data_name, "name": data_name, "versionId": version}
    return {
        **body,
        "dataVersion": {**body, "legacyDataflow": None},
        "legacyDataflow": rust_dataflow(_to_tell(ctx, name, saved.dataflow)),
    }


def _object(body: dict[str, Any], key: str) -> dict[str, Any]:
    value = body.get(key) or {}
    if not isinstance(value, dict):
        raise Invalid(f"{key} must be an object, not {str(value)[:80]!r}.")
    return value


def _text(body: dict[str, Any], key: str) -> str | None:
    value = body.get(key)
    if value is not None and not isinstance(value, str):
        raise Invalid(f"{key} must be text, not {str(value)[:80]!r}.")
    return value


def _kind(value: Any) -> str:
    kind = str(value or "").lower()
    if kind not in ("file", "tabular"):
        raise Invalid(f"The dataset's type is {value!r}; it must be file or tabular.")
    return kind


def _to_keep(ctx: Context, dataflow: Any) -> str:
    """A client's data flow as the workspace keeps it: whichever of the workspace's names the client has, the same data
    are the same. Raises Invalid.
    """
    text = json.dumps(dataflow) if isinstance(dataflow, dict) else str(dataflow or "")
    identity = ctx.workspace.identity
    kept = with_rust_dataflow(text, lambda flow: renamed(flow, identity.names, identity.first))
    return mirroring.kept(ctx, kept).replace(ctx.endpoints.api, THIS_SERVER)


def _to_tell(ctx: Context, name: WorkspaceName, kept: str) -> str:
    """The same for a client, under the name that it knows the workspace by."""
    try:
        names = ctx.workspace.identity.names
        told = with_rust_dataflow(kept, lambda flow: mirroring.told(ctx, renamed(flow, names, name)))
    except Invalid:  # of an older server; nothing but this dataset is to suffer
        told = kept
    return told.replace(THIS_SERVER, ctx.endpoints.api)


def _registration(ctx: Context, name: WorkspaceName, detail: DatasetDetail) -> dict[str, Any]:
    dataset, version, saved = detail.dataset, detail.version, detail.saved
    return {
        "datasetId": dataset.id,
        "name": dataset.name,
        "datasetType": dataset.kind,
        "description": version.description,
        "tags": version.tags,
        "isVisible": dataset.visible,
        "createdTime": dataset.created,
        "modifiedTime": version.created,
        "datasetState": {"state": "active"},
        "latest": {
            "datasetId": dataset.id,
            "versionId": version.version,
            "savedDatasetId": saved.id,
            "description": version.description,
            "tags": version.tags,
            "properties": saved.properties,
            "dataflow": _to_tell(ctx, name, saved.dataflow),
            "createdTime": version.created,
            "datasetDefinitionState": {"state": "active"},
        },
    }


def _saved(ctx: Context, name: WorkspaceName, saved: SavedDataset) -> dict[str, Any]:
    return {
        "id": saved.id,
        "datasetType": saved.kind,
        "dataflowJson": _to_tell(ctx, name, saved.dataflow),
        "properties": saved.properties,
    }
