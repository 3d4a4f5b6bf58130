"""Rendering of pages from templates, and the format of times, sizes and numbers."""

from __future__ import annotations

import functools
import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from starlette.exceptions import HTTPException

from azureml_local.server import errors
from azureml_local.server.context import context
from azureml_local.server.errors import Forbidden
from azureml_local.server.studio.access import Viewer, viewer
from azureml_local.storage.blobs import BlobError
from azureml_local.storage.clock import now, parse_time, seconds_since
from azureml_local.storage.tables import Run
from azureml_local.workspace.errors import NotFound, WorkspaceError
from azureml_local.workspace.runs import FINAL

if TYPE_CHECKING:
    import jinja2

HERE = Path(__file__).parent
# Scripts and styles are our own files; nothing inline runs, so nothing that a job wrote can. No other sites, no frames.
PAGE_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Frame-Options": "DENY",
    # The address with its key goes to this server only. With no-referrer, as everything else has it, a browser would
    # call the origin of a form "null".
    "Referrer-Policy": "same-origin",
}


def page(viewing: Viewer, template: str, *, status: int = 200, **values: Any) -> Response:
    """A page. ``here`` says which part of the navigation it belongs to, ``events`` what it follows, if anything."""
    html = (
        templates()
        .get_template(template)
        .render(
            workspace=viewing.ctx.workspace.identity.shown,
            viewer=viewing,
            base=viewing.base,
            status=status,
            **values,
        )
    )
    return HTMLResponse(html, status, headers=PAGE_HEADERS)


def moved(viewing: Viewer, where: str) -> Response:
    """After a form: the page that shows what came of it. ``where`` is a page of ours, never what a request says."""
    return RedirectResponse(viewing.base + where, 303)


def events(viewing: Viewer, **scope: str) -> str:
    """The address of the stream that says when this page is no longer true."""
    return f"{viewing.base}/events?{urlencode(scope)}"


@functools.cache
def templates() -> jinja2.Environment:
    # At the first page, and not at each start of a server, most of which show none.
    from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

    made = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=select_autoescape(default=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(
        called=called,
        when=when,
        day=day,
        iso=iso,
        ago=ago,
        size=size,
        number=number,
        duration=duration,
        part=path_part,
        path=path,
        plain=plain_json,
        span=span,
        between=between,
    )
    made.globals.update(assets=assets(), FINAL=FINAL)
    return made


@functools.cache
def assets() -> str:
    """Another word for each state of the static files: a browser keeps them as long as it is the same."""
    content = b"".join(file.read_bytes() for file in sorted((HERE / "static").rglob("*.*")))
    return hashlib.blake2b(content, digest_size=6).hexdigest()


def install_errors(app: FastAPI) -> None:
    """Errors of Studio are pages, for people; anything else has Azure's shape."""

    before = dict(app.exception_handlers)

    def error_page(request: Request, status: int, sentence: str) -> Response:
        """Within the workspace's frame for whoever knows the address; without styles and names for others."""
        try:
            viewing = viewer(request, context(request), request.url.path.split("/")[2])
        except NotFound:
            html = templates().get_template("error.html").render(frame="bare.html", status=status, sentence=sentence)
            return HTMLResponse(html, status, headers=PAGE_HEADERS)
        return page(viewing, "error.html", status=status, frame="base.html", here="", sentence=sentence)

    @app.exception_handler(HTTPException)
    async def http_error(request: Request, error: HTTPException) -> Response:
        if request.url.path.startswith("/studio/") and error.status_code == 404:
            return error_page(request, 404, "There is no such page.")
        answer: Response = before[HTTPException](request, error)
        return answer

    @app.exception_handler(RequestValidationError)
    def malformed(request: Request, error: RequestValidationError) -> Response:
        if request.url.path.startswith("/studio/"):
            first = error.errors()[0]
            return error_page(request, 400, f"{first['loc'][-1]}: {first['msg']}.")
        answer: Response = before[RequestValidationError](request, error)
        return answer

    @app.exception_handler(WorkspaceError)
    def workspace_error(request: Request, error: WorkspaceError) -> Response:
        status = next(code for kind, code in errors.STATUS.items() if isinstance(error, kind))
        if request.url.path.startswith("/studio/"):
            return error_page(request, status, str(error))
        return errors.answer(request, status, error.code, str(error))

    @app.exception_handler(BlobError)
    def blob_error(request: Request, error: BlobError) -> Response:
        return error_page(request, 404 if error.status in (400, 404) else error.status, str(error))

    @app.exception_handler(Forbidden)
    def forbidden(request: Request, error: Forbidden) -> Response:
        return error_page(request, 403, str(error))


def iso(text: str) -> str:
    return parse_time(text).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def when(text: str) -> str:
    """In the machine's own time zone, which is that of its browser."""
    return parse_time(text).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def day(text: str) -> str:
    """Shorter, for tables: the time for today's, the date for others."""
    moment = parse_time(text).astimezone()
    return moment.strftime("%H:%M:%S" if moment.date() == parse_time(now()).astimezone().date() else "%Y-%m-%d %H:%M")


def ago(text: str) -> str:
    return span(seconds_since(text))


def called(run: Run) -> str:
    """The name that a person gave it, or its id.

    The SDK calls a run "run_ID" where nobody did, and a child by its parents' names too: "parent>child"
    (azureml._run_impl.run_history_facade).
    """
    name = (run.name or "").rpartition(">")[2]
    return run.display_name or (name if name != f"run_{run.id}" else "") or run.id


def between(moments: tuple[str, str]) -> str:
    return span((parse_time(moments[1]) - parse_time(moments[0])).total_seconds())


def duration(run: Run) -> str:
    """How long it ran, or has run so far; empty while it hasn't begun."""
    if run.started is None:
        return ""
    return between((run.started, run.ended)) if run.ended else ago(run.started)


def span(seconds: float) -> str:
    if seconds < 60:
        return f"{max(seconds, 0):.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    return f"{hours // 24} d {hours % 24} h"


def size(count: int) -> str:
    if count < 1000:
        return f"{count} B"
    amount = float(count)
    for unit in ("kB", "MB", "GB"):
        amount /= 1000
        if amount < 999.5 or unit == "GB":
            return f"{amount:.3g} {unit}" if amount < 999.5 else f"{amount:.0f} {unit}"
    raise AssertionError("the last unit takes what is left")


def number(value: object) -> str:
    if isinstance(value, bool) or value is None:
        return "" if value is None else str(value).lower()
    if isinstance(value, float):
        return f"{value:,.0f}".replace(",", " ") if 1e6 <= abs(value) < 1e12 else f"{value:.6g}"
    return f"{value:,}".replace(",", " ") if isinstance(value, int) and abs(value) >= 100_000 else str(value)


def path_part(text: str) -> str:
    return quote(text, safe="")


def path(text: str) -> str:
    """A file's path within an address; its folders stay folders."""
    return quote(text, safe="/")


def plain_json(value: object) -> str:
    """JSON for a data attribute, where the browser's own reader takes no NaN: it is null there."""
    return json.dumps(_finite(value), separators=(",", ":"))


def _finite(value: object) -> object:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {key: _finite(each) for key, each in value.items()}
    return [_finite(each) for each in value] if isinstance(value, (list, tuple)) else value
