"""Managed identity: sign-in for clients (azureml-core through msrestazure; azure-identity)."""

from __future__ import annotations

import time
from typing import Any
from urllib.parse import parse_qs

from fastapi import APIRouter, Request

from azureml_local.server.context import Ctx

router = APIRouter()


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
    issued = ctx.tokens.sign_in(request.headers.get("secret"), resource)
    return {
        "access_token": issued.text,
        "token_type": "Bearer",
        "expires_on": str(issued.expires),
        "expires_in": str(max(0, issued.expires - int(time.time()))),
        "resource": resource,
        "client_id": ctx.workspace.identity.principal_id,
    }
