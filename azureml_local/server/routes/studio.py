"""Pages for people: where the links of runs lead."""

from __future__ import annotations

import hmac
from pathlib import Path
from typing import Any

from fastapi import APIRouter
from fastapi.responses import HTMLResponse, Response
from jinja2 import Environment, FileSystemLoader, select_autoescape

from azureml_local.server import wire
from azureml_local.server.context import Context, Ctx
from azureml_local.server.ranges import send_file
from azureml_local.server.routes.metrics import INLINE
from azureml_local.storage.blobs import BlobError
from azureml_local.storage.clock import parse
from azureml_local.storage.tables import Run
from azureml_local.workspace.artifacts import RUN_ORIGIN
from azureml_local.workspace.errors import NotFound
from azureml_local.workspace.metrics import MetricSeries
from azureml_local.workspace.runs import FINAL, data_container

router = APIRouter(prefix="/studio/{key}")

TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parents[1] / "pages"), autoescape=select_autoescape(default=True)
)
# Nothing that a job wrote can run here: no scripts at all, no other sites, no frames.
PAGE_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; form-action 'none'"
    ),
    "X-Frame-Options": "DENY",
}
LOG_TAIL = 256 * 1024


@router.get("", response_class=HTMLResponse)
@router.get("/", response_class=HTMLResponse, include_in_schema=False)
def overview(ctx: Ctx, key: str) -> Response:
    _check(ctx, key)
    return _overview(ctx, None)


@router.get("/experiments/{experiment}", response_class=HTMLResponse)
def experiment_page(ctx: Ctx, key: str, experiment: str) -> Response:
    """The page behind an experiment's link."""
    _check(ctx, key)
    return _overview(ctx, ctx.workspace.experiments.get(experiment).id)


@router.get("/runs/{run_id}", response_class=HTMLResponse)
def run_page(ctx: Ctx, key: str, run_id: str) -> Response:
    """The page behind a run's link (the SDK adds ``?wsid=...&tid=...``, which this server doesn't need)."""
    _check(ctx, key)
    run = ctx.workspace.runs.get(run_id)
    container = data_container(run)
    return _page(
        "run.html",
        ctx,
        run=run,
        experiment=ctx.workspace.experiments.get_by_id(run.experiment_id).name,
        final=run.status in FINAL,
        duration=_duration(run),
        waiting=waiting_for(ctx, run),
        metrics=[_shown(series) for series in ctx.workspace.metrics.all(run_id)],
        files=ctx.workspace.artifacts.list(RUN_ORIGIN, container),
        path=wire.path,
        log=_log(ctx, container),
        models=ctx.workspace.models.list(run_id=run_id),
    )


@router.get("/runs/{run_id}/files/{path:path}")
def run_file(ctx: Ctx, key: str, run_id: str, path: str) -> Response:
    _check(ctx, key)
    container = data_container(ctx.workspace.runs.get(run_id))
    try:
        blob = ctx.workspace.artifacts.get(RUN_ORIGIN, container, path)
    except BlobError as error:
        raise NotFound(f"The run {run_id!r} has no file {path!r}.") from error
    headers = {"Content-Disposition": "attachment", "Content-Security-Policy": "sandbox"}
    return send_file(ctx.workspace.artifacts.path(blob), blob.size, headers=headers)


def waiting_for(ctx: Context, run: Run) -> str | None:
    """Why a run that isn't over has not begun, in words."""
    place = ctx.cluster.place_in_queue(run)
    if place is not None and run.target:
        limit = ctx.cluster.pool(run.target).scale.max_nodes
        before = "it is the next one" if place == 0 else f"{place} before it"
        return f"Waiting for a node of {run.target}, which has at most {limit}; {before}."
    if run.status == "Preparing":
        return "Building the environment, or bringing the input data."
    if run.status == "CancelRequested":
        return "Waiting for the job's processes to end."
    return None


def _overview(ctx: Context, experiment_id: str | None) -> Response:
    """The newest runs, of all experiments or of one."""
    experiments = {row.id: row.name for row in ctx.workspace.experiments.list(archived=None)}
    rows = [
        {"run": run, "experiment": experiments.get(run.experiment_id, "?"), "duration": _duration(run)}
        for run in ctx.workspace.runs.list(experiment_id, limit=200)
    ]
    models = ctx.workspace.models.list(limit=50)
    title = f"Runs of {experiments[experiment_id]}" if experiment_id else "Runs"
    return _page("overview.html", ctx, title=title, rows=rows, models=models, mnist=ctx.mnist())


def _page(template: str, ctx: Context, **values: Any) -> Response:
    names = ctx.workspace.identity.names
    html = TEMPLATES.get_template(template).render(
        workspace=names[0].name if names else "azureml-local",
        base=f"/studio/{ctx.secrets.view_key}",
        **values,
    )
    return HTMLResponse(html, headers=PAGE_HEADERS)


def _check(ctx: Context, key: str) -> None:
    if not hmac.compare_digest(key.encode(), ctx.secrets.view_key.encode()):
        raise NotFound("There is no such page. Run links of another local workspace don't work here.")


def _duration(run: Run) -> str:
    if run.started is None:
        return ""
    seconds = (parse(run.ended) - parse(run.started)).total_seconds() if run.ended else None
    return f"{seconds:.1f} s" if seconds is not None else "running"


def _shown(series: MetricSeries) -> tuple[str, str]:
    """A metric's name, and its value as short text."""
    if series.kind not in INLINE:
        return series.name, "a file of the run, see below"
    cells = [", ".join(_number(v) for v in value.data.values()) for value in series.values[:20]]
    more = f" … ({len(series.values)} values)" if len(series.values) > 20 else ""
    return series.name, "; ".join(cells) + more


def _number(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _log(ctx: Context, container: str) -> tuple[str, str] | None:
    """The last log that there is, and the end of its text."""
    found = wire.logs(ctx, container)
    shown = [blob for blob in found if wire.path(blob).startswith(("user_logs/", "azureml-logs/"))]
    if not shown:
        return None
    blob = shown[-1]
    with ctx.workspace.artifacts.path(blob).open("rb") as file:
        file.seek(max(0, blob.size - LOG_TAIL))
        return wire.path(blob), file.read(LOG_TAIL).decode("utf-8", "replace")
