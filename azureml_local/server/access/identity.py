"""Managed identity: sign-in for clients (azureml-core through msrestazure; azure-identity)."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request

from azureml_local.server.context import Ctx

router = APIRouter()


@router.get("/msi/token")
@router.get("/msi/token/", include_in_schema=False)
@router.post("/msi/token", include_in_schema=False)
def token(ctx: Ctx, request: Request, resource: str = "") -> dict[str, Any]:
    """App Service's form of a managed identity endpoint: the secret in a header, the resource in the query."""
    issued = ctx.tokens.sign_in(request.headers.get("secret"), resource)
    return {
        "access_token": issued.text,
        "token_type": "Bearer",
        "expires_on": str(issued.expires),
        "resource": resource,
        "client_id": ctx.workspace.identity.principal_id,
    }
