"""Pages for people: where the links of runs lead."""

from __future__ import annotations

import functools
import hmac
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter
from fastapi.responses import HTMLResponse, Response

from azureml_local.server import shown, wire
from azureml_local.server.context import Context, Ctx
from azureml_local.server.ranges import send_file
from azureml_local.storage.blobs import BlobError
from azureml_local.workspace.artifacts import RUN_ORIGIN
from azureml_local.workspace.errors import NotFound
from azureml_local.workspace.experiments import shown_name
from azureml_local.workspace.metrics import INLINE
from azureml_local.workspace.models import Wanted
from azureml_local.workspace.runs import FINAL, data_container

if TYPE_CHECKING:
    import jinja2

router = APIRouter(prefix="/studio/{key}")

# Nothing that a job wrote can run here: no scripts at all, no other sites, no frames.
PAGE_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; form-action 'none'"
    ),
    "X-Frame-Options": "DENY",
}
LOG_TAIL = 256 * 1024
MOST_RUNS = 200
MOST_COLUMNS = 5


@router.get("", response_class=HTMLResponse)
@router.get("/", response_class=HTMLResponse, include_in_schema=False)
def overview(ctx: Ctx, key: str) -> Response:
    _check(ctx, key)
    return _overview(ctx, None)


@router.get("/experiments/{experiment}", response_class=HTMLResponse)
def experiment_page(ctx: Ctx, key: str, experiment: str) -> Response:
    """The page behind an experiment's link (``Experiment.get_portal_url``, where its id isn't known)."""
    _check(ctx, key)
    return _overview(ctx, ctx.workspace.experiments.get(experiment).id)


@router.get("/experiments/id/{experiment_id}", response_class=HTMLResponse)
def experiment_page_by_id(ctx: Ctx, key: str, experiment_id: str) -> Response:
    """The page behind the link that a notebook shows for an experiment."""
    _check(ctx, key)
    return _overview(ctx, ctx.workspace.experiments.get_by_id(experiment_id).id)


@router.get("/runs/{run_id}", response_class=HTMLResponse)
def run_page(ctx: Ctx, key: str, run_id: str) -> Response:
    """The page behind a run's link (the SDK adds ``?wsid=...&tid=...``, which this server doesn't need)."""
    _check(ctx, key)
    run = ctx.workspace.runs.get(run_id)
    container = data_container(run)
    files = {wire.path(blob): blob for blob in ctx.workspace.artifacts.under(RUN_ORIGIN, container)}
    series = ctx.workspace.metrics.heads(run_id, shown.MOST_VALUES)
    kept_as_files = [each.name for each in series if each.kind not in INLINE and each.name in files]
    drawn = {name: shown.confusion_matrix(ctx.workspace.artifacts.path(files[name])) for name in kept_as_files}
    return _page(
        "run.html",
        ctx,
        run=run,
        experiment=shown_name(ctx.workspace.experiments.get_by_id(run.experiment_id)),
        final=run.status in FINAL,
        duration=shown.duration(run),
        waiting=ctx.cluster.waiting_for(run),
        metrics=[(each.name, shown.metric(each)) for each in series if each.kind in INLINE],
        drawn=drawn,
        files=files,
        log=_log(ctx, container),
        models=ctx.workspace.models.list(Wanted(run_id=run_id))[0],
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


def _overview(ctx: Context, experiment_id: str | None) -> Response:
    """The newest runs, of all experiments or of one; of one with their metrics, to compare them."""
    experiments = {row.id: shown_name(row) for row in ctx.workspace.experiments.list(archived=None)}
    runs = ctx.workspace.runs.list(experiment_id, limit=MOST_RUNS)
    numbers = ctx.workspace.metrics.single_values([run.id for run in runs if experiment_id])
    metrics = {run_id: {each.name: shown.metric(each) for each in found} for run_id, found in numbers.items()}
    columns = dict.fromkeys(name for run in reversed(runs) for name in metrics.get(run.id, ()))
    return _page(
        "overview.html",
        ctx,
        title=experiments[experiment_id] if experiment_id else "Runs",
        of_one=experiment_id is not None,
        runs=runs,
        experiments=experiments,
        duration=shown.duration,
        metrics=metrics,
        columns=list(columns)[:MOST_COLUMNS],
        live=any(run.status not in FINAL for run in runs),
        models=ctx.workspace.models.list(limit=50)[0],
        mnist=ctx.mnist(),
    )


@functools.cache
def _templates() -> jinja2.Environment:
    # At the first page, and not at each start of a server, most of which show none.
    from jinja2 import Environment, FileSystemLoader, select_autoescape

    pages = Path(__file__).parents[1] / "pages"
    return Environment(loader=FileSystemLoader(pages), autoescape=select_autoescape(default=True))


def _page(template: str, ctx: Context, **values: Any) -> Response:
    names = ctx.workspace.identity.names
    html = (
        _templates()
        .get_template(template)
        .render(
            workspace=names[0].name if names else "azureml-local",
            base=f"/studio/{ctx.secrets.view_key}",
            **values,
        )
    )
    return HTMLResponse(html, headers=PAGE_HEADERS)


def _check(ctx: Context, key: str) -> None:
    if not hmac.compare_digest(key.encode(), ctx.secrets.view_key.encode()):
        raise NotFound("There is no such page. Run links of another local workspace don't work here.")


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
