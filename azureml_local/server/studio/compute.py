"""Clusters: what each node does now, what waits, and how many nodes there were lately."""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import APIRouter
from fastapi.responses import HTMLResponse, Response

from azureml_local.cluster.nodes import IDLE, Node
from azureml_local.server.context import Context
from azureml_local.server.studio import charts
from azureml_local.server.studio.access import Acting, Viewing
from azureml_local.server.studio.events import mark
from azureml_local.server.studio.render import events, moved, page
from azureml_local.storage.tables import Compute, Run
from azureml_local.workspace import activity
from azureml_local.workspace.runs import FINAL

router = APIRouter(prefix="/studio/{key}/compute")


@dataclass(frozen=True)
class ClusterView:
    """``queue`` are its runs that have no node yet, the first one first; ``idle`` are nodes that do nothing."""

    row: Compute
    nodes: list[Node]
    queue: list[Run]
    state: str

    @property
    def idle(self) -> int:
        return sum(node.state == IDLE for node in self.nodes)

    @property
    def free(self) -> int:
        """Nodes that it may have and hasn't; no more than are drawn."""
        return min(max(0, self.row.max_nodes - len(self.nodes)), 64)


def clusters(ctx: Context) -> list[ClusterView]:
    unfinished = ctx.workspace.runs.unfinished()
    found = []
    for row in ctx.workspace.computes.list():
        nodes = ctx.cluster.nodes(row.name)
        on_a_node = {node.run_id for node in nodes}
        queue = [run for run in unfinished if run.target == row.name and run.id not in on_a_node]
        found.append(ClusterView(row, nodes, queue, ctx.cluster.allocation(row.name).state))
    return found


@router.get("", response_class=HTMLResponse)
def compute_page(viewing: Viewing) -> Response:
    ctx = viewing.ctx
    seen = mark(ctx)
    found = clusters(ctx)
    waiting = ctx.cluster.waiting_of(run for each in found for run in each.queue if run.status not in FINAL)
    figures = {
        each.row.name: charts.activity(activity.of_cluster(ctx.workspace.database, each.row.name)) for each in found
    }
    return page(
        viewing,
        "compute.html",
        here="compute",
        events=events(viewing),
        seen=seen,
        clusters=found,
        waiting=waiting,
        activity=figures,
    )


@router.post("/{name}/delete", response_class=HTMLResponse)
def delete(viewing: Acting, name: str) -> Response:
    """As `AmlCompute.delete`: its runs are cancelled."""
    viewing.ctx.workspace.computes.delete(name)
    viewing.ctx.cluster.remove(name)
    return moved(viewing, "/compute")
