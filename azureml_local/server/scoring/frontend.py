"""Requests to deployed models: checked, counted, and passed on to the scoring process.

    /api/v1/service/NAME/score          the entry script's run()
    /api/v1/service/NAME/swagger.json   what it takes, where its decorators say so
    /api/v1/service/NAME/               whether it is there

It stands before the pages' own application, on the address without TLS: callers use ``requests`` without our
certificates, and the address is loopback only. Bodies are bytes of any kind, and are never kept.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

import httpcore
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from azureml_local.server.access.servicetokens import ServiceTokens
from azureml_local.server.context import Context
from azureml_local.serving import layout
from azureml_local.serving.deployments import Target
from azureml_local.serving.process import ScoringProcess, short_path
from azureml_local.workspace.errors import Conflict, NotFound
from azureml_local.workspace.services import NO_AUTH, TOKEN_AUTH, same_key

PREFIX = "/api/v1/service/"
ADDRESS = re.compile(re.escape(PREFIX) + r"([^/]+)(/score|/swagger\.json|/)?")
MAX_BYTES = 100 * 2**20
MOST_REQUESTS = 100  # of one service at a time; one more is told to come again
CONNECT_SECONDS = 5.0
# Beyond the script's own time, after which the inference server answers by itself.
SLACK_SECONDS = 5.0
# Of one connection, and not of what is passed on (RFC 9110, 7.6.1); and what is for this front end alone.
OWN = {
    *(b"connection", b"keep-alive", b"proxy-connection", b"te", b"trailer", b"transfer-encoding", b"upgrade"),
    *(b"host", b"authorization", b"expect"),
}
RUN_FAILED = b"x-ms-run-function-failed"

Headers = list[tuple[bytes, bytes]]


class TooLarge(Exception):
    """The body is larger than MAX_BYTES."""


class Sockets(httpcore.AnyIOBackend):
    """Connects to sockets in folders of any depth."""

    async def connect_unix_socket(self, path: str, *args: Any, **options: Any) -> httpcore.AsyncNetworkStream:
        with short_path(Path(path)) as short:
            return await super().connect_unix_socket(short, *args, **options)


class FrontEnd:
    """ASGI middleware."""

    def __init__(self, app: ASGIApp, ctx: Context) -> None:
        self._app = app
        self._ctx = ctx
        self._tokens = ServiceTokens(ctx.secrets)
        self._sockets = Sockets()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        found = ADDRESS.fullmatch(scope["path"]) if scope["type"] == "http" else None
        if found is None:
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)
        answer = await self._checked(request, found[1])
        if isinstance(answer, PlainTextResponse):
            await answer(scope, receive, send)
            return
        with answer.request():
            try:
                await self._pass_on(answer, request, found[2] or "/", send)
            except ClientDisconnect:
                return

    async def _checked(self, request: Request, name: str) -> ScoringProcess | PlainTextResponse:
        """The process that answers, or why none does."""
        try:
            target = await run_in_threadpool(self._ctx.deployments.target, name)
        except NotFound as error:
            return PlainTextResponse(str(error), 404)
        except Conflict as error:
            return PlainTextResponse(str(error), 503)
        if not self._allowed(request, name, target):
            headers = {"WWW-Authenticate": "Bearer"}
            return PlainTextResponse(
                "The service needs its key (or token) in the header Authorization: Bearer KEY.", 401, headers
            )
        if target.process is None:
            return PlainTextResponse("The service isn't ready; it starts, or has failed: see get_logs().", 503)
        if target.process.requests >= MOST_REQUESTS:
            text = f"The service is answering {MOST_REQUESTS} requests already."
            return PlainTextResponse(text, 429, {"Retry-After": "1"})
        length = request.headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > MAX_BYTES:
            return PlainTextResponse(f"The body is larger than {MAX_BYTES} bytes.", 413)
        return target.process

    def _allowed(self, request: Request, name: str, target: Target) -> bool:
        if target.auth == NO_AUTH:
            return True
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not given:
            return False
        return same_key(given, target.keys) or (target.auth == TOKEN_AUTH and self._tokens.check(given, name))

    async def _pass_on(self, process: ScoringProcess, request: Request, path: str, send: Send) -> None:
        query = request.scope["query_string"]
        target = path.encode() + (b"?" + query if query else b"")
        headers = _passed(request.scope["headers"])
        if b"content-length" not in {key for key, _ in headers} and request.method not in ("GET", "HEAD", "OPTIONS"):
            headers.append((b"transfer-encoding", b"chunked"))
        limits = {"connect": CONNECT_SECONDS, "write": None, "read": process.timeout + SLACK_SECONDS, "pool": None}
        begun = False
        pool = httpcore.AsyncConnectionPool(
            uds=str(process.folder / layout.SOCKET), network_backend=self._sockets, max_keepalive_connections=0
        )
        try:
            async with pool:
                answer = pool.stream(
                    request.method,
                    httpcore.URL(scheme=b"http", host=b"localhost", port=None, target=target),
                    headers=[(b"host", b"localhost"), *headers],
                    content=_body(request),
                    extensions={"timeout": limits},
                )
                async with answer as response:
                    begun = True
                    await _start(response, send)
                    async for chunk in response.aiter_stream():
                        await send({"type": "http.response.body", "body": chunk, "more_body": True})
                    await send({"type": "http.response.body", "body": b""})
        except TooLarge:
            await self._say(f"The body is larger than {MAX_BYTES} bytes.", 413, begun, send, request)
        except httpcore.ConnectError:
            await self._say("The service isn't ready: its process starts again.", 503, begun, send, request)
        except httpcore.TimeoutException:
            await self._say("The service hasn't answered in time.", 502, begun, send, request)
        except (httpcore.NetworkError, httpcore.ProtocolError):
            await self._say("The scoring process ended during the request.", 502, begun, send, request)

    @staticmethod
    async def _say(text: str, status: int, begun: bool, send: Send, request: Request) -> None:
        if begun:
            return  # the answer breaks off, which its reader sees
        await PlainTextResponse(text, status)(request.scope, request.receive, send)


def _passed(headers: Iterable[tuple[bytes, bytes]]) -> Headers:
    return [(key.lower(), value) for key, value in headers if key.lower() not in OWN]


async def _start(response: httpcore.Response, send: Send) -> None:
    """The head of the answer. A run() that raises is 502, as Azure's front end has it."""
    headers = _passed(response.headers)
    names = dict(headers)
    if b"x-ms-request-id" not in names:
        headers.append((b"x-ms-request-id", str(uuid.uuid4()).encode()))
    status = 502 if names.get(RUN_FAILED, b"").lower() == b"true" and response.status == 500 else response.status
    await send({"type": "http.response.start", "status": status, "headers": headers})


async def _body(request: Request) -> AsyncIterator[bytes]:
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > MAX_BYTES:
            raise TooLarge
        if chunk:
            yield chunk
