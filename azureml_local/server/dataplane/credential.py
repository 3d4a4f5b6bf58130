"""Credentials: the key vault's secrets (azureml._restclient.operations.credential_operations)."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from fastapi.responses import Response

from azureml_local.server.context import WORKSPACE_PATH, Ctx, Named
from azureml_local.server.dataplane import wire
from azureml_local.workspace.errors import Invalid, NotFound
from azureml_local.workspace.keyvault import MAX_BATCH

router = APIRouter(prefix="/credential/v2.0" + WORKSPACE_PATH)


@router.put("/secrets")
def set_secret(ctx: Ctx, name: Named, body: dict[str, Any]) -> dict[str, Any]:
    ctx.workspace.keyvault.set(_secrets([body]))
    return {"name": body["name"]}


@router.put("/secrets:putbatch")
def set_secrets(ctx: Ctx, name: Named, body: dict[str, Any]) -> dict[str, Any]:
    secrets = _secrets(body.get("secrets"))
    ctx.workspace.keyvault.set(secrets)
    return {"secrets": [{"name": secret} for secret in secrets], "notFoundSecrets": []}


@router.post("/secrets:getbatch")
def get_secrets(ctx: Ctx, name: Named, body: dict[str, Any]) -> dict[str, Any]:
    """Those that are there, and the names of those that aren't (Keyvault.get_secrets, Run.get_secrets)."""
    found, missing = [], []
    for secret in _names(body.get("secrets")):
        try:
            value, content_type = ctx.workspace.keyvault.get(secret)
            found.append({"name": secret, "value": value, "contentType": content_type})
        except NotFound:
            missing.append(secret)
    return {"secrets": found, "notFoundSecrets": missing}


@router.post("/secrets:deletebatch")
def delete_secrets(ctx: Ctx, name: Named, body: dict[str, Any]) -> dict[str, Any]:
    names = _names(body.get("secrets"))
    ctx.workspace.keyvault.delete(names)
    return {"secrets": [{"name": secret} for secret in names], "notFoundSecrets": []}


@router.get("/secrets")
def list_secrets(ctx: Ctx, name: Named) -> dict[str, Any]:
    """Their names; never a value."""
    return wire.page([{"name": secret} for secret in ctx.workspace.keyvault.names()])


@router.get("/secrets/{secret}")
def get_secret(ctx: Ctx, name: Named, secret: str) -> dict[str, Any]:
    value, content_type = ctx.workspace.keyvault.get(secret)
    return {"name": secret, "value": value, "contentType": content_type}


@router.delete("/secrets/{secret}")
def delete_secret(ctx: Ctx, name: Named, secret: str) -> Response:
    ctx.workspace.keyvault.delete([secret])
    return Response(status_code=200)


def _secrets(items: Any) -> dict[str, tuple[str, str | None]]:
    """Names, values and content types. Raises Invalid, without a word of what was sent."""
    found = {}
    for item in items if isinstance(items, list) else []:
        name, value, content_type = map((item if isinstance(item, dict) else {}).get, ("name", "value", "contentType"))
        if not isinstance(name, str) or not isinstance(value, str):
            raise Invalid("A secret needs a name and a value, both of them texts.")
        found[name] = (value, content_type if isinstance(content_type, str) else None)
    if not found:
        raise Invalid("There must be a list of secrets, each with its name and value.")
    return found


def _names(items: Any) -> list[str]:
    wanted = items if isinstance(items, list) and len(items) <= MAX_BATCH else [None]
    names = [item.get("name") if isinstance(item, dict) else None for item in wanted]
    if not all(isinstance(name, str) for name in names):
        raise Invalid(f"The secrets that are wanted must be a list, each with a name, of at most {MAX_BATCH}.")
    return [str(name) for name in names]
