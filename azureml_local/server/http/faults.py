"""Fault injection for requests: 429 or 503 responses, sent before any route is called."""

from __future__ import annotations

from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from azureml_local.cluster.faultinjection import FaultInjector
from azureml_local.runtime.faults import FaultKind
from azureml_local.server.errors import blob_error_response, error_response
from azureml_local.workspace.containers import is_container

RETRY_AFTER = {"Retry-After": "1"}


class FaultMiddleware:
    """ASGI middleware of the API."""

    def __init__(self, app: ASGIApp, faults: FaultInjector) -> None:
        self._app = app
        self._faults = faults

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        met = self._faults.answer(scope["method"], scope["path"]) if scope["type"] == "http" else None
        await (_answer(met.kind, scope["path"]) if met is not None else self._app)(scope, receive, send)


def _answer(kind: FaultKind, path: str) -> Response:
    """In the shape of Azure's services. The blob service knows no 429: when it is throttled it says 503."""
    if is_container(path.split("/")[1]):
        response = blob_error_response(503, "ServerBusy", "The server is busy (a simulation).")
    elif kind is FaultKind.THROTTLED:
        response = error_response(429, "TooManyRequests", "Too many requests; try again later (a simulation).")
    else:
        response = error_response(503, "ServiceUnavailable", "The service is not available now (a simulation).")
    response.headers.update(RETRY_AFTER)
    return response
