"""The overview page: the state of the workspace, and its current activity."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import HTMLResponse, Response

from azureml_local.server.studio.access import Viewing
from azureml_local.server.studio.compute import clusters
from azureml_local.server.studio.events import mark
from azureml_local.server.studio.render import events, page
from azureml_local.workspace.experiments import shown_name
from azureml_local.workspace.runs import FINAL

router = APIRouter(prefix="/studio/{key}")

RECENT = 12
MOST_EXPERIMENTS = 100


@router.get("", response_class=HTMLResponse)
@router.get("/", response_class=HTMLResponse, include_in_schema=False)
def overview(viewing: Viewing) -> Response:
    ctx = viewing.ctx
    seen = mark(ctx)
    workspace = ctx.workspace
    experiments = workspace.experiments.list(archived=None)
    counts = workspace.comparison.per_experiment()
    recent = workspace.runs.list(top_level=True, limit=RECENT)
    # Newest first by their last run; those without one by their own age.
    experiments = sorted(experiments, key=lambda row: counts.get(row.id, (0, 0, row.created))[2], reverse=True)
    return page(
        viewing,
        "overview.html",
        here="runs",
        events=events(viewing),
        seen=seen,
        experiments=experiments[:MOST_EXPERIMENTS],
        more_experiments=max(0, len(experiments) - MOST_EXPERIMENTS),
        shown_name=shown_name,
        names={row.id: shown_name(row) for row in experiments},
        counts=counts,
        rows=workspace.comparison.compared(recent),
        waiting=ctx.cluster.waiting_of(run for run in recent if run.status not in FINAL),
        statuses=workspace.comparison.statuses(),
        clusters=clusters(ctx),
        models=workspace.models.list(latest_only=True, limit=6)[0],
        data=workspace.datasets.list(limit=6),
        mnist=ctx.mnist(),
    )
