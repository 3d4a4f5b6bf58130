"""Managed identity: sign-in for clients (azureml-core through msrestazure; azure-identity)."""

from __future__ import annotations

import time
from typing import Any
from urllib.parse import parse_qs

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool

from azureml_local.server.access import permissions
from azureml_local.server.access.auth import Token
from azureml_local.server.context import Context, Ctx

router = APIRouter()

JWT_DOTS = 2  # a secret of the store's has none


def _issue(ctx: Context, secret: str | None, resource: str) -> Token:
    """A client's token for the store's secret; for the token of a run, which is its job's secret, another one of the
    same run. Raises Unauthorized.
    """
    if secret is not None and secret.count(".") == JWT_DOTS:
        caller = ctx.tokens.check(f"Bearer {secret}")
        if caller.run_id is not None:
            permissions.check_running(ctx.workspace.runs, caller.run_id)
            return ctx.tokens.for_run(caller.run_id, resource)
    return ctx.tokens.sign_in(secret, resource)


@router.get("/msi/token")
@router.get("/msi/token/", include_in_schema=False)
@router.post("/msi/token", include_in_schema=False)
async def token(ctx: Ctx, request: Request, resource: str = "") -> dict[str, Any]:
    """App Service's form of a managed identity endpoint: the secret in a header, the resource in the query, or in
    the form that azure-identity posts.
    """
    if not resource:
        form = parse_qs((await request.body()).decode("latin-1"))
        resource = form.get("resource", [""])[0]
    issued = await run_in_threadpool(_issue, ctx, request.headers.get("secret"), resource)
    body = answer(issued, resource)
    return {**body, "expires_in": str(body["expires_in"]), "client_id": ctx.workspace.identity.principal_id}


def answer(issued: Token, resource: str) -> dict[str, Any]:
    """A token as OAuth 2.0 gives it (RFC 6749, 5.1), with the fields of Azure."""
    return {
        "access_token": issued.text,
        "token_type": "Bearer",
        "expires_on": str(issued.expires),
        "expires_in": max(0, issued.expires - int(time.time())),
        "resource": resource,
    }
