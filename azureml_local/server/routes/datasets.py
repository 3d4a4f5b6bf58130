"""Datasets: registrations, versions and saved data flows (azureml.data, azureml.dataprep)."""

from __future__ import annotations

import json
from typing import Any

from fastapi import APIRouter, Query

from azureml_local.server import wire
from azureml_local.server.context import WORKSPACE_PATH, Context, Ctx, Named
from azureml_local.storage.tables import SavedDataset
from azureml_local.workspace.datasets import THIS_SERVER, DatasetDetail, rust_dataflow
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
    latest = body.get("latest") or {}
    detail = ctx.workspace.datasets.register(
        str(body.get("name") or ""),
        _kind(body.get("datasetType")),
        _outgoing_address(ctx, latest.get("dataflow")),
        properties=dict(latest.get("properties") or {}),
        description=body.get("description"),
        tags=dict(body.get("tags") or {}),
        visible=bool(body.get("isVisible", True)),
        exist_ok=if_exists_ok,
        new_version=update_definition,
    )
    return _registration(ctx, detail)


@router.get(DATASET + "/datasets")
def list_datasets(
    ctx: Ctx, name: Named, include_invisible: bool = Query(False, alias="includeInvisible")
) -> dict[str, Any]:
    details = ctx.workspace.datasets.list(invisible=include_invisible)
    return wire.page([_registration(ctx, detail) for detail in details])


@router.get(DATASET + "/datasets/query/name={dataset}")
def get_by_name(
    ctx: Ctx, name: Named, dataset: str, version: int | None = Query(None, alias="versionId")
) -> dict[str, Any]:
    return _registration(ctx, ctx.workspace.datasets.get(dataset, version))


@router.get(DATASET + "/datasets/query/savedDatasetId={saved_id}")
def find_by_saved_id(ctx: Ctx, name: Named, saved_id: str) -> dict[str, Any]:
    detail = ctx.workspace.datasets.by_saved_id(saved_id)
    return wire.page([_registration(ctx, detail)] if detail else [])


@router.post(DATASET + "/saveddatasets")
def save(ctx: Ctx, name: Named, body: dict[str, Any]) -> dict[str, Any]:
    dataflow = body.get("dataflowJson") or body.get("dataflow")
    saved = ctx.workspace.datasets.save(
        _kind(body.get("datasetType")), _outgoing_address(ctx, dataflow), dict(body.get("properties") or {})
    )
    return _saved(ctx, saved)


@router.get(DATASET + "/saveddatasets/{saved_id}")
def get_saved(ctx: Ctx, name: Named, saved_id: str) -> dict[str, Any]:
    return _saved(ctx, ctx.workspace.datasets.saved(saved_id))


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
        "legacyDataflow": _incoming_address(ctx, rust_dataflow(saved.dataflow)),
    }


def _kind(value: Any) -> str:
    kind = str(value or "").lower()
    if kind not in ("file", "tabular"):
        raise Invalid(f"The dataset's type is {value!r}; it must be file or tabular.")
    return kind


def _outgoing_address(ctx: Context, dataflow: Any) -> str:
    text = json.dumps(dataflow) if isinstance(dataflow, dict) else str(dataflow or "")
    rust_dataflow(text)
    return text.replace(ctx.endpoints.api, THIS_SERVER)


def _incoming_address(ctx: Context, text: str) -> str:
    return text.replace(THIS_SERVER, ctx.endpoints.api)


def _registration(ctx: Context, detail: DatasetDetail) -> dict[str, Any]:
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
            "versionId": str(version.version),
            "savedDatasetId": saved.id,
            "description": version.description,
            "tags": version.tags,
            "properties": saved.properties,
            "dataflow": _incoming_address(ctx, saved.dataflow),
            "createdTime": version.created,
            "datasetDefinitionState": {"state": "active"},
        },
    }


def _saved(ctx: Context, saved: SavedDataset) -> dict[str, Any]:
    return {
        "id": saved.id,
        "datasetType": saved.kind,
        "dataflowJson": _incoming_address(ctx, saved.dataflow),
        "properties": saved.properties,
    }
