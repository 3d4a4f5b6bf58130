"""A run's files: to download whatever they are, to look at where a browser can do no harm with them."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import HTMLResponse, Response

from azureml_local.server.context import Context
from azureml_local.server.http.ranges import send_file
from azureml_local.server.studio import figures
from azureml_local.server.studio.access import Viewing
from azureml_local.server.studio.render import page
from azureml_local.storage.blobrows import BlobRow
from azureml_local.storage.blobs import BlobError
from azureml_local.storage.tables import Run
from azureml_local.workspace.artifacts import RUN_ORIGIN
from azureml_local.workspace.errors import NotFound
from azureml_local.workspace.experiments import shown_name
from azureml_local.workspace.runs import data_container

router = APIRouter(prefix="/studio/{key}/runs/{run_id}")

MOST_TEXT = 200_000
SANDBOX = "sandbox; default-src 'none'"


@router.get("/files/{path:path}")
def run_file(viewing: Viewing, run_id: str, path: str) -> Response:
    return download(viewing.ctx, _blob(viewing.ctx, viewing.ctx.workspace.runs.get(run_id), path))


@router.get("/picture/{path:path}")
def picture(viewing: Viewing, run_id: str, path: str) -> Response:
    """A picture by its bytes, whatever it calls itself; anything else is refused."""
    blob = _blob(viewing.ctx, viewing.ctx.workspace.runs.get(run_id), path)
    kind = figures.picture_type(viewing.ctx.workspace.artifacts.path(blob))
    if kind is None:
        raise NotFound(f"{path[:200]!r} is no picture that is shown here; it can be downloaded.")
    headers = {"Content-Security-Policy": SANDBOX, "Cross-Origin-Resource-Policy": "same-origin"}
    blob, file = viewing.ctx.workspace.artifacts.open(blob)
    return send_file(file, blob.size, headers=headers, media_type=kind)


@router.get("/view/{path:path}", response_class=HTMLResponse)
def view(viewing: Viewing, run_id: str, path: str) -> Response:
    """Its text, HTML and SVG as text too; a picture as one."""
    ctx = viewing.ctx
    run = ctx.workspace.runs.get(run_id)
    blob = _blob(ctx, run, path)
    file = ctx.workspace.artifacts.path(blob)
    kind = figures.picture_type(file)
    text: str | None = None
    if kind is None:
        with file.open("rb") as opened:
            data = opened.read(min(MOST_TEXT, blob.size))
        text = None if b"\0" in data else data.decode("utf-8", "replace")
    return page(
        viewing,
        "run_file.html",
        here="runs",
        run=run,
        experiment=shown_name(ctx.workspace.experiments.get_by_id(run.experiment_id)),
        tab="outputs",
        file_path=path,
        size=blob.size,
        kind=kind,
        text=text,
        cut=blob.size > MOST_TEXT,
    )


def download(ctx: Context, blob: BlobRow) -> Response:
    headers = {"Content-Disposition": "attachment", "Content-Security-Policy": "sandbox"}
    blob, file = ctx.workspace.artifacts.open(blob)
    return send_file(file, blob.size, headers=headers)


def _blob(ctx: Context, run: Run, path: str) -> BlobRow:
    try:
        return ctx.workspace.artifacts.get(RUN_ORIGIN, data_container(run), path)
    except BlobError as error:
        raise NotFound(f"The run {run.id!r} has no file {path[:200]!r}.") from error
