"""Status API for the command line: the server's state, and the names of its workspace."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from fastapi import APIRouter, Depends

from azureml_local.cluster.faultinjection import Fault
from azureml_local.names import WorkspaceName
from azureml_local.server.context import Context, Ctx, authenticated
from azureml_local.storage.clock import parse_time
from azureml_local.workspace.errors import Invalid

router = APIRouter(prefix="/local", dependencies=[Depends(authenticated)])


@router.get("/status")
def status(ctx: Ctx) -> dict[str, Any]:
    source, unfinished = ctx.mnist(), ctx.workspace.runs.unfinished()
    waiting = ctx.cluster.waiting_of(unfinished)
    return {
        "names": [
            {
                "subscription_id": n.subscription_id,
                "resource_group": n.resource_group,
                "workspace_name": n.name,
            }
            for n in ctx.workspace.identity.names
        ],
        "api": ctx.endpoints.api,
        "studio": ctx.studio,
        "mnist": {"description": source.description, "real": source.real},
        "mirrors": _mirrors(ctx),
        "unfinished": [
            {
                "run_id": run.id,
                "status": run.status,
                "target": run.target,
                "waiting_for": waiting[run.id],
            }
            for run in unfinished
        ],
        "computes": [
            {
                "name": row.name,
                "nodes": ctx.cluster.allocation(row.name).current,
                "max_nodes": row.max_nodes,
                "error": (row.provisioning_error or {}).get("message"),
            }
            for row in ctx.workspace.computes.list()
        ],
        "simulations": [_simulation(each) for each in ctx.cluster.faults.list()],
        "models": [
            {"name": row.name, "version": row.version, "run_id": row.run_id}
            for row in ctx.workspace.models.list(latest_only=True)[0]
        ],
        "services": [
            {"name": row.name, "state": row.state, "error": row.error, "address": ctx.scoring_uri(row.name)}
            for row in ctx.workspace.services.list()
        ],
    }


@router.get("/runs/{run_id}")
def run(ctx: Ctx, run_id: str) -> dict[str, Any]:
    """A run in short: its status, how long it ran, and its single-number metrics."""
    row = ctx.workspace.runs.get(run_id)
    seconds = (parse_time(row.ended) - parse_time(row.started)).total_seconds() if row.started and row.ended else None
    metrics = {
        series.name: series.values[-1].data.get(series.name)
        for series in ctx.workspace.metrics.all(run_id)
        if series.kind == "azureml.v1.scalar" and series.values
    }
    return {"status": row.status, "seconds": seconds, "metrics": metrics, "page": ctx.portal_url(run_id)}


@router.post("/sign-in-links")
def sign_in_link(ctx: Ctx, body: dict[str, Any]) -> dict[str, Any]:
    """A link for a browser, good once: to Studio's first page, or to a run's."""
    run_id = body.get("run_id")
    if run_id is not None:
        if not isinstance(run_id, str):
            raise Invalid("A run is named by its id.")
        run_id = ctx.workspace.runs.get(run_id).id
    token = ctx.sign_in_links.make(f"/runs/{quote(run_id, safe='')}" if run_id else "/")
    return {"url": f"{ctx.studio}/sign-in/{token}"}


@router.post("/names")
def answer_to(ctx: Ctx, body: dict[str, Any]) -> dict[str, Any]:
    """From now on the workspace is known by the names of this config.json too."""
    words = [body.get(key) for key in ("subscription_id", "resource_group", "workspace_name")]
    if not all(isinstance(word, str) and word and word.isprintable() and "/" not in word for word in words):
        raise Invalid("A workspace needs a subscription_id, a resource_group and a workspace_name.")
    ctx.workspace.identity.answer_to(WorkspaceName(*map(str, words)))
    return {}


@router.get("/mirrors")
def mirrors(ctx: Ctx) -> dict[str, Any]:
    return {"value": _mirrors(ctx)}


@router.post("/mirrors")
def set_mirror(ctx: Ctx, body: dict[str, Any]) -> dict[str, Any]:
    """From now on a folder of this machine stands for an address of the web; or, without one, no longer."""
    url, folder = body.get("url"), body.get("folder")
    if not isinstance(url, str) or not isinstance(folder, (str, type(None))):
        raise Invalid("A mirror is a url and a folder.")
    ctx.workspace.mirrors.set(url, folder)
    return {}


def _mirrors(ctx: Context) -> list[dict[str, str]]:
    return [
        {"url": each.prefix, "folder": str(each.folder), "served": f"{ctx.mirror_base}/{each.id}"}
        for each in ctx.workspace.mirrors.list()
    ]


@router.get("/simulations")
def simulations(ctx: Ctx) -> dict[str, Any]:
    return {"value": [_simulation(each) for each in ctx.cluster.faults.list()]}


@router.post("/simulations")
def simulate(ctx: Ctx, body: dict[str, Any]) -> dict[str, Any]:
    """Trouble on demand; see `cluster.simulation`."""
    times, compute, requests = (body.get(key) for key in ("times", "compute", "requests"))
    if times is not None and (not isinstance(times, int) or isinstance(times, bool)):
        raise Invalid("The number of times must be a whole number.")
    if not all(word is None or isinstance(word, str) for word in (compute, requests)):
        raise Invalid("The compute, and the pattern of requests, must be texts.")
    made = ctx.cluster.faults.start(str(body.get("kind") or ""), times=times, compute=compute, requests=requests)
    return _simulation(made)


@router.delete("/simulations")
def clear_simulations(ctx: Ctx, kind: str | None = None) -> dict[str, Any]:
    return {"cleared": ctx.cluster.faults.clear(kind=kind)}


@router.get("/simulations/{number}")
def simulation(ctx: Ctx, number: int) -> dict[str, Any]:
    return _simulation(ctx.cluster.faults.get(number))


@router.delete("/simulations/{number}")
def clear_simulation(ctx: Ctx, number: int) -> dict[str, Any]:
    return {"cleared": ctx.cluster.faults.clear(number)}


def _simulation(row: Fault) -> dict[str, Any]:
    return {
        "id": row.id,
        "kind": row.kind.value,
        "times": row.times,
        "happened": row.happened,
        "over": row.over,
        "compute": row.compute,
        "requests": row.requests,
    }
