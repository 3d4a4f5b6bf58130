"""The pages of one run."""

from __future__ import annotations

import contextlib
import difflib
import re
from dataclasses import dataclass
from typing import Any

import yaml
from fastapi import APIRouter
from fastapi.responses import HTMLResponse, Response

from azureml_local.server.context import Context
from azureml_local.server.studio import charts, figures
from azureml_local.server.studio.access import Acting, Viewer, Viewing
from azureml_local.server.studio.events import mark
from azureml_local.server.studio.graphs import graph_of
from azureml_local.server.studio.logs import tail
from azureml_local.server.studio.render import events, moved, page, path_part
from azureml_local.storage.blobrows import BlobRow
from azureml_local.storage.blobs import BlobError
from azureml_local.storage.tables import Run
from azureml_local.workspace import snapshots, sweeps
from azureml_local.workspace.artifacts import RUN_ORIGIN, path_of
from azureml_local.workspace.comparison import own_tags, parameters
from azureml_local.workspace.errors import NotFound
from azureml_local.workspace.experiments import shown_name
from azureml_local.workspace.jobs import is_made_of_a_job, spec_of
from azureml_local.workspace.lineage import lineage
from azureml_local.workspace.models import ModelFilter
from azureml_local.workspace.run_kinds import PIPELINE, REUSED, SWEEP
from azureml_local.workspace.runs import FINAL, STATUS_EVENT, data_container

router = APIRouter(prefix="/studio/{key}/runs/{run_id}")

# The log that a person wants first, the last of these that there is: the job's own, its environment's, the queue's, a
# sweep's.
BUILD_LOG = "azureml-logs/20_image_build_log.txt"
PIPELINE_LOG = "logs/azureml/executionlogs.txt"
MAIN_LOGS = (
    *(PIPELINE_LOG, "azureml-logs/hyperdrive.txt", "azureml-logs/10_queue_log.txt", BUILD_LOG),
    "user_logs/std_log.txt",
)
MOST_TEXT = 200_000
UNNAMED = re.compile(r"(in|out)put__[0-9a-f]{8}")  # what the SDK calls data that was given no name


@dataclass(frozen=True)
class Step:
    """A status that a run has had, since when; ``seconds`` until the next one, None for the present one."""

    status: str
    since: str
    until: str | None


@router.get("", response_class=HTMLResponse)
def run_page(viewing: Viewing, run_id: str, log: str = "") -> Response:
    """The page behind a run's link (the SDK adds ``?wsid=...&tid=...``, which this server doesn't need)."""
    ctx = viewing.ctx
    seen = mark(ctx, run_id)
    run = ctx.workspace.runs.get(run_id)
    files = _files(ctx, run)
    children = ctx.workspace.comparison.children(run_id)
    logs = [name for name in files if name.startswith(("azureml-logs/", "user_logs/", "logs/", "system_logs/"))]
    shown = log if log in logs else next((name for name in reversed(MAIN_LOGS) if name in files), "")
    return _page(
        viewing,
        "run.html",
        run,
        seen=seen,
        tab="overview",
        steps=steps(ctx, run),
        waiting=ctx.cluster.waiting_for(run) if run.status not in FINAL else None,
        figures=figures.of_run(ctx.workspace, run, files),
        parameters=parameters(spec_of(run).arguments if is_made_of_a_job(run) else ()),
        files=files,
        logs=logs,
        log=tail(ctx.workspace.artifacts.path(files[shown]), files[shown].size) if shown else None,
        log_name=shown,
        tags=own_tags(run),
        models=ctx.workspace.models.list(ModelFilter(run_id=run_id))[0],
        inputs=_datasets(ctx, run, output=False),
        outputs=_datasets(ctx, run, output=True),
        children=children,
        graph=graph_of(run, ctx.workspace.runs.list(parent_id=run_id)) if run.run_type == PIPELINE else None,
        reused=_reused(ctx, run),
        best=next((row for row in children if row.run.id == run.properties.get("best_child_run_id")), None),
        parallel=charts.parallel(children, _primary_metric(run)),
    )


@router.get("/outputs", response_class=HTMLResponse)
def files_page(viewing: Viewing, run_id: str) -> Response:
    run = viewing.ctx.workspace.runs.get(run_id)
    return _page(
        viewing, "run_files.html", run, seen=mark(viewing.ctx, run_id), tab="outputs", files=_files(viewing.ctx, run)
    )


@router.get("/code", response_class=HTMLResponse)
def code_page(viewing: Viewing, run_id: str, file: str = "") -> Response:
    """The snapshot: the folder that the run was submitted from."""
    ctx = viewing.ctx
    run = ctx.workspace.runs.get(run_id)
    names = sorted(ctx.workspace.snapshots.get(run.snapshot_id).files) if run.snapshot_id else []
    shown = file or next((name for name in names if name == run.script_name), names[0] if names else "")
    text = snapshot_text(ctx, run, shown) if shown else None
    return _page(viewing, "run_code.html", run, seen="", tab="code", names=names, shown=shown, text=text)


@router.get("/environment", response_class=HTMLResponse)
def environment_page(viewing: Viewing, run_id: str) -> Response:
    ctx = viewing.ctx
    run = ctx.workspace.runs.get(run_id)
    build_log = _files(ctx, run).get(BUILD_LOG)
    environment = (run.definition or {}).get("environment") or {}
    return _page(
        viewing,
        "run_environment.html",
        run,
        seen="",
        tab="environment",
        environment=environment,
        packages=packages(run),
        variables=environment.get("environmentVariables") or {},
        log=tail(ctx.workspace.artifacts.path(build_log), build_log.size) if build_log else None,
        log_name=BUILD_LOG,
    )


@router.post("/cancel", response_class=HTMLResponse)
def cancel(viewing: Acting, run_id: str) -> Response:
    run = viewing.ctx.workspace.runs.get(run_id)
    if run.status not in FINAL:
        viewing.ctx.cluster.cancel(run_id)
    return moved(viewing, f"/runs/{path_part(run_id)}")


def steps(ctx: Context, run: Run) -> list[Step]:
    """A run's life so far; each status since when, until when."""
    known = [("NotStarted", run.created)]
    for event in ctx.workspace.runs.events(run.id):
        if event.name == STATUS_EVENT:
            known.append((str(event.data.get("status")), event.time))
    if len(known) == 1:  # made by an earlier version, which kept the start and the end only
        known += [("Running", run.started)] if run.started else []
        known += [(run.status, run.ended)] if run.ended else []
    ends = [since for _, since in known[1:]] + [None]
    return [Step(status, since, until) for (status, since), until in zip(known, ends, strict=True)]


def packages(run: Run) -> str:
    """What the run's environment asks for, as a conda file; empty where it says nothing."""
    python = ((run.definition or {}).get("environment") or {}).get("python") or {}
    if python.get("userManagedDependencies"):
        return f"# The interpreter's own packages: {python.get('interpreterPath') or 'python'}\n"
    wanted = python.get("condaDependencies")
    return yaml.safe_dump(wanted, sort_keys=False, allow_unicode=True)[:MOST_TEXT] if wanted else ""


def snapshot_text(ctx: Context, run: Run, name: str) -> str | None:
    """A file of a run's snapshot; None for one that is no text. Raises NotFound."""
    found = ctx.workspace.snapshots.get(run.snapshot_id).files.get(name) if run.snapshot_id else None
    if found is None:
        raise NotFound(f"The snapshot of the run {run.id!r} has no file {name[:200]!r}.")
    try:
        blob = ctx.workspace.blobs.get(snapshots.CONTAINER, found["blob"])
        with ctx.workspace.blobs.path(blob).open("rb") as file:
            return file.read(MOST_TEXT).decode("utf-8")
    except BlobError as error:
        raise NotFound(f"The file {name!r} of the snapshot is gone from the state folder.") from error
    except UnicodeDecodeError:
        return None


def script_difference(ctx: Context, one: Run, other: Run) -> list[str]:
    """How the snapshots differ, as lines of a unified diff."""
    lines: list[str] = []
    sides = [ctx.workspace.snapshots.get(run.snapshot_id).files if run.snapshot_id else {} for run in (one, other)]
    for name in sorted({*sides[0], *sides[1]}):
        if sides[0].get(name, {}).get("hash") == sides[1].get(name, {}).get("hash"):
            continue
        texts = [
            snapshot_text(ctx, run, name) if name in side else "" for run, side in zip((one, other), sides, strict=True)
        ]
        if texts[0] is None or texts[1] is None:
            lines.append(f"{name}: not text, and different")
        else:
            before, after = texts[0].splitlines(), texts[1].splitlines()
            lines += difflib.unified_diff(before, after, f"{one.id}/{name}", f"{other.id}/{name}", lineterm="")
    return lines[:2000]


def _page(viewing: Viewer, template: str, run: Run, *, seen: str, **values: Any) -> Response:
    ctx = viewing.ctx
    return page(
        viewing,
        template,
        here="runs",
        events=events(viewing, run=run.id) if seen else "",
        seen=seen,
        run=run,
        experiment=shown_name(ctx.workspace.experiments.get_by_id(run.experiment_id)),
        **values,
    )


def _files(ctx: Context, run: Run) -> dict[str, BlobRow]:
    return {path_of(blob): blob for blob in ctx.workspace.artifacts.under(RUN_ORIGIN, data_container(run))}


def _datasets(ctx: Context, run: Run, *, output: bool) -> list[tuple[str, str, str, str | None]]:
    """(name in the run, how it is brought, registered name, version) of a run's data."""
    found = []
    for use in lineage(ctx.workspace, run, output=output):
        registered = ctx.workspace.datasets.by_saved_id(use.saved_id)
        known = (registered.dataset.name, registered.version.version) if registered else ("", None)
        found.append((UNNAMED.sub("", use.name), (use.mechanism or "direct").capitalize(), *known))
    return found


def _reused(ctx: Context, run: Run) -> Run | None:
    """The run whose outputs a step has that was not run, if that is there still."""
    with contextlib.suppress(NotFound):
        return ctx.workspace.runs.get(run.properties[REUSED]) if REUSED in run.properties else None
    return None


def _primary_metric(run: Run) -> str:
    """The metric that a sweep is about; empty for any other run."""
    return sweeps.of_run(run).metric if run.run_type == SWEEP and run.spec else ""
