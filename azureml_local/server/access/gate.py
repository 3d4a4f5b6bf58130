"""Authentication of API requests: every route needs a token, except those listed here.

The gate stands before the routes and before their bodies are read, so that a route which forgets to ask is
closed, and nobody without a token can make the server read or parse anything.
"""

from __future__ import annotations

import re

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from azureml_local.server.access import permissions
from azureml_local.server.context import Context
from azureml_local.server.errors import Forbidden, Unauthorized, forbidden, unauthorized

# What the SDK asks before it has a token, and what is public at Azure too. Discovery has a key in its address, and
# sign-in asks for a secret itself, or has one in its address.
OPEN = re.compile(
    r"/msi/token/?|/adfs/[^/]+/.*|/metadata/(?:[^/]+/)?endpoints|/discovery/[^/]+/workspaces/[^/]+"
    r"|/opendata/mnist(?:/[^/]+/[^/]+)?|/opendata/diabetes/diabetes\.parquet|/opendata/mirror/[^/]+/.+"
)


class Gate:
    """ASGI middleware."""

    def __init__(self, app: ASGIApp, ctx: Context) -> None:
        self._app = app
        self._ctx = ctx

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or OPEN.fullmatch(scope["path"]):
            await self._app(scope, receive, send)
            return
        given = [value.decode("latin-1") for name, value in scope["headers"] if name.lower() == b"authorization"]
        try:
            caller = self._ctx.tokens.check(given[0] if len(given) == 1 else None)
            if caller.run_id is not None:
                runs = self._ctx.workspace.runs
                await run_in_threadpool(permissions.check, runs, caller, scope["method"], scope["path"])
        except Unauthorized as error:
            await unauthorized(Request(scope), error)(scope, receive, send)
        except Forbidden as error:
            await forbidden(Request(scope), error)(scope, receive, send)
        else:
            scope.setdefault("state", {})["caller"] = caller
            await self._app(scope, receive, send)
