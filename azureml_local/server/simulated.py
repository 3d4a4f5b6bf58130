"""Requests that meet simulated trouble: answered 429 or 503 before any route sees them."""

from __future__ import annotations

from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from azureml_local.cluster.simulation import Kind, Simulations
from azureml_local.server.errors import blob_error_response, error_response
from azureml_local.server.routes.blobs import CONTAINERS

RETRY_AFTER = {"Retry-After": "1"}


class SimulatedTrouble:
    """ASGI middleware of the API."""

    def __init__(self, app: ASGIApp, simulations: Simulations) -> None:
        self._app = app
        self._simulations = simulations

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        met = self._simulations.answer(scope["method"], scope["path"]) if scope["type"] == "http" else None
        await (_answer(met.kind, scope["path"]) if met is not None else self._app)(scope, receive, send)


def _answer(kind: Kind, path: str) -> Response:
    """In the shape of Azure's services, which the blob service says in words of its own (ServerBusy for both)."""
    status = 429 if kind is Kind.THROTTLED else 503
    code, message = {
        429: ("TooManyRequests", "Too many requests were made; try again later (a simulation)."),
        503: ("ServiceUnavailable", "The service is not available for the moment (a simulation)."),
    }[status]
    if path.split("/")[1] in CONTAINERS:
        response = blob_error_response(status, "ServerBusy", message)
    else:
        response = error_response(status, code, message)
    response.headers.update(RETRY_AFTER)
    return response
