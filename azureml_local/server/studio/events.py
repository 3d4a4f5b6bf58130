"""Server-sent events: notify a page within half a second that its content has changed."""

from __future__ import annotations

import json
import time
import zlib
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import Response, StreamingResponse
from starlette.concurrency import run_in_threadpool

from azureml_local.server.context import Context
from azureml_local.server.errors import error_response
from azureml_local.server.studio.access import Viewing
from azureml_local.workspace.artifacts import path_of
from azureml_local.workspace.errors import NotFound
from azureml_local.workspace.runs import FINAL, container_name

router = APIRouter(prefix="/studio/{key}")

LOOK_SECONDS = 0.4
BEAT_SECONDS = 15.0
NODES = 5  # each so many looks, at those that no commit tells of


# Not in the OpenAPI document: a stream has no end, and whoever makes requests up by the document would wait for it.
@router.get("/events", include_in_schema=False)
async def events(
    viewing: Viewing, run: Annotated[str, Query(max_length=255)] = "", known: Annotated[str, Query(max_length=80)] = ""
) -> Response:
    """``run``: only what concerns this one. ``known``: the mark of the page that the browser has.

    Events: ``changed``, with the new mark, when the page is to be fetched again; ``log``, with the sizes of a run's
    logs, when one has grown.
    """
    ctx = viewing.ctx
    if run:
        await run_in_threadpool(ctx.workspace.runs.get, run)
    if ctx.streams.full:
        return error_response(503, "TooManyStreams", "Too many pages are open; this one is fresh when it is loaded.")
    return StreamingResponse(_stream(ctx, run, known), media_type="text/event-stream")


async def _stream(ctx: Context, run_id: str, known: str) -> AsyncIterator[str]:
    with ctx.streams.one():
        logs, seen, beat, live, looks = "", "", time.monotonic(), True, 0
        yield "retry: 1000\n\n"
        while not ctx.streams.closed:
            commit, looks = ctx.workspace.changes.mark(), looks + 1
            # Without a commit little can have changed: a log grows, a run moves up in its queue, an idle node leaves.
            if commit != seen or (live if run_id else looks % NODES == 0):
                try:
                    found, grown, live = await run_in_threadpool(_look, ctx, run_id)
                except NotFound:  # the run was deleted: the page is fetched again, and says so
                    yield "event: changed\ndata: gone\n\n"
                    return
                if found != known:
                    yield f"event: changed\ndata: {found}\n\n"
                if grown != logs:
                    yield f"event: log\ndata: {grown}\n\n"
                known, logs, seen = found, grown, commit
            if time.monotonic() - beat > BEAT_SECONDS:  # a browser that is gone shows only when something is sent
                beat = time.monotonic()
                yield ": still here\n\n"
            await ctx.streams.pause(LOOK_SECONDS)


def mark(ctx: Context, run_id: str = "") -> str:
    """What the page shows, as one word that changes when it does."""
    if run_id:
        run = ctx.workspace.runs.get(run_id)
        waiting = "" if run.status in FINAL else ctx.cluster.waiting_for(run) or ""
        return f"{ctx.workspace.changes.mark_of_run(run_id)}-{zlib.crc32(waiting.encode()):x}"
    # Nodes come and go in memory.
    nodes = [(row.name, ctx.cluster.allocation(row.name).transition) for row in ctx.workspace.computes.list()]
    return f"{ctx.workspace.changes.mark()}-{zlib.crc32(repr(nodes).encode()):x}"


def _look(ctx: Context, run_id: str) -> tuple[str, str, bool]:
    if not run_id:
        return mark(ctx), "", True
    live = ctx.workspace.runs.get(run_id).status not in FINAL
    grown = {path_of(blob): blob.size for blob in ctx.workspace.artifacts.logs(container_name(run_id))}
    return mark(ctx, run_id), json.dumps(grown), live
