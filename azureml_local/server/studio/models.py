"""Registered models: their versions, and where each came from."""

from __future__ import annotations

import re
from typing import Any

from fastapi import APIRouter
from fastapi.responses import HTMLResponse, Response

from azureml_local.server.context import Context
from azureml_local.server.studio.access import Viewing
from azureml_local.server.studio.events import mark
from azureml_local.server.studio.files import download
from azureml_local.server.studio.render import events, page
from azureml_local.storage.blobrows import BlobRow
from azureml_local.storage.tables import AssetVersion, Run
from azureml_local.workspace.artifacts import split_name
from azureml_local.workspace.comparison import Compared
from azureml_local.workspace.errors import NotFound
from azureml_local.workspace.models import ModelFilter, details_of

router = APIRouter(prefix="/studio/{key}/models")

ASSET = re.compile(r"aml://asset/([^/]+)")
MOST_VERSIONS = 100


@router.get("", response_class=HTMLResponse)
def models_page(viewing: Viewing) -> Response:
    ctx = viewing.ctx
    seen = mark(ctx)
    latest = ctx.workspace.models.list(latest_only=True, limit=200)[0]
    return page(
        viewing, "models.html", here="models", events=events(viewing), seen=seen, models=latest, runs=_runs(ctx, latest)
    )


@router.get("/{name}", response_class=HTMLResponse)
def model_page(viewing: Viewing, name: str) -> Response:
    ctx = viewing.ctx
    seen = mark(ctx)
    versions = ctx.workspace.models.list(ModelFilter(name=name), limit=MOST_VERSIONS)[0]
    if not versions:
        raise NotFound(f"There is no model {name[:200]!r} in this workspace.")
    return page(
        viewing,
        "model.html",
        here="models",
        events=events(viewing),
        seen=seen,
        name=name,
        versions=versions,
        runs=_runs(ctx, versions),
        files={model.version: [split_name(blob.name)[2] for blob in _files(ctx, model)] for model in versions},
        data={model.version: _data(ctx, model) for model in versions},
    )


@router.get("/{name}/{version}/files/{path:path}")
def model_file(viewing: Viewing, name: str, version: str, path: str) -> Response:
    """A file, as a download: nothing here opens a model."""
    ctx = viewing.ctx
    for blob in _files(ctx, ctx.workspace.models.get(name, version)):
        if split_name(blob.name)[2] == path:
            return download(ctx, blob)
    raise NotFound(f"Version {version[:20]} of the model {name[:200]!r} has no file {path[:200]!r}.")


def _runs(ctx: Context, models: Any) -> dict[str, Compared]:
    """The runs that models came from, those that are still there."""
    found: dict[str, Run] = {}
    for run_id in {model.run_id for model in models if model.run_id}:
        try:
            found[run_id] = ctx.workspace.runs.get(run_id)
        except NotFound:  # its experiment was deleted; the model stays
            continue
    return {row.run.id: row for row in ctx.workspace.comparison.compared(list(found.values()))}


def _files(ctx: Context, model: AssetVersion) -> list[BlobRow]:
    address = ASSET.fullmatch(model.uri or "")
    try:
        asset = ctx.workspace.models.artifact_list(address[1]) if address else None
    except NotFound:
        asset = None
    found: list[BlobRow] = []
    artifacts = (asset.body.get("artifacts") if asset else None) or []
    for artifact in filter(lambda each: isinstance(each, dict), artifacts):
        parts = str(artifact.get("prefix") or artifact.get("id") or "").split("/", 2)
        if len(parts) == 3 and all(parts):
            found += ctx.workspace.artifacts.under(*parts)
    return found


def _data(ctx: Context, model: AssetVersion) -> list[tuple[str, str, str | None]]:
    """(what it was used for, name, version) of the datasets that the registration names."""
    found = []
    for reference in details_of(model).datasets:
        known = ctx.workspace.datasets.by_saved_id(reference.dataset_id)
        name, version = (known.dataset.name, known.version.version) if known else (reference.dataset_id, None)
        found.append((reference.use or "data", name, version))
    return found
