"""Node API: claims, reports and uploads of remote workers of a Dask cluster (`cluster.remote`).

Only the token of the run itself opens it, and of its holders only the process that has claimed the run.
"""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Query, Request
from starlette.concurrency import run_in_threadpool

from azureml_local.cluster.remote.registry import Expected, WorkerNode
from azureml_local.server.access.auth import Caller
from azureml_local.server.context import WORKSPACE_PATH, Asker, Context, Ctx, Named
from azureml_local.server.errors import Forbidden
from azureml_local.workspace.errors import Invalid
from azureml_local.workspace.snapshots import CONTAINER

router = APIRouter(prefix="/node/v1.0" + WORKSPACE_PATH + "/runs/{run_id}")

MOST_EVENTS = 1000
MOST_FILES = 10_000


@router.post("/claim")
def claim(ctx: Ctx, name: Named, asker: Asker, run_id: str, body: dict[str, Any]) -> dict[str, Any]:
    """Take a run. The answer is all that a node needs to know of it."""
    worker = body.get("worker")
    if not isinstance(worker, str) or not 0 < len(worker) <= 300:
        raise Invalid("A worker has a name.")
    order = _part(ctx, asker, run_id).claim(_worker_node(body), worker)
    snapshot = order.pop("snapshot")
    return {**order, "zip": ctx.urls.read(CONTAINER, ctx.workspace.snapshots.zipped(snapshot))}


@router.post("/report")
def report(ctx: Ctx, name: Named, asker: Asker, run_id: str, body: dict[str, Any]) -> dict[str, Any]:
    """How it goes, in numbered events; the answer says whether the job is to end, and has a new token if asked for."""
    first, events = body.get("first"), body.get("events")
    if not isinstance(first, int) or isinstance(first, bool) or first < 0:
        raise Invalid("The number of the first event is a whole number.")
    if not isinstance(events, list) or len(events) > MOST_EVENTS or not all(isinstance(e, dict) for e in events):
        raise Invalid(f"A report has a list of at most {MOST_EVENTS} events.")
    answer: dict[str, Any] = _part(ctx, asker, run_id).report(_worker_node(body), first, events)
    return {**answer, "token": ctx.tokens.for_run(run_id).text} if body.get("renew") is True else answer


@router.post("/fingerprints")
def fingerprints(ctx: Ctx, name: Named, asker: Asker, run_id: str, body: dict[str, Any]) -> dict[str, Any]:
    """What tells the files of the run's inputs, as they are now, from what they were before."""
    return {"fingerprints": _part(ctx, asker, run_id).fingerprints(_worker_node(body))}


@router.post("/wanted")
def wanted(ctx: Ctx, name: Named, asker: Asker, run_id: str, body: dict[str, Any]) -> dict[str, Any]:
    """Which of the files that the job has left aren't here yet."""
    files = body.get("files")
    if (
        not isinstance(files, dict)
        or len(files) > MOST_FILES
        or not all(isinstance(size, int) and not isinstance(size, bool) for size in files.values())
    ):
        raise Invalid(f"Files are at most {MOST_FILES} paths with their sizes.")
    return {"files": _part(ctx, asker, run_id).wanted(_worker_node(body), files)}


@router.put("/bytes")
async def write(
    request: Request,
    ctx: Ctx,
    name: Named,
    asker: Asker,
    run_id: str,
    attempt: str,
    who: str,
    offset: int = Query(ge=0, lt=1 << 50),
    log: str | None = None,
    path: str = "",
) -> dict[str, int]:
    """A piece of a log, or of a file that the job has left."""
    part, data = _part(ctx, asker, run_id), await request.body()
    return {"size": await run_in_threadpool(part.write, WorkerNode(attempt, who), log, path, offset, data)}


def _part(ctx: Context, asker: Caller, run_id: str) -> Expected:
    if asker.run_id != run_id:
        raise Forbidden("This is for the node that has the run, with the token of the run itself.")
    return ctx.cluster.registry.find(run_id)


def _worker_node(body: dict[str, Any]) -> WorkerNode:
    attempt, who = body.get("attempt"), body.get("who")
    if not isinstance(attempt, str) or not isinstance(who, str):
        raise Invalid("A node says which attempt of the run it means, and who it is.")
    return WorkerNode(attempt, who)
