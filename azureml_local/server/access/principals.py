"""Service principals: sign-in for clients through MSAL (azureml-core, azure-identity).

Nobody gets a token who doesn't know a sign-in address: there is a key in it (`Secrets.sign_in_key`), which is in the
variables of clients, and another one in those of each job, good for its run.
"""

from __future__ import annotations

from urllib.parse import parse_qs, quote

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool

from azureml_local.endpoints import authority
from azureml_local.server.access import permissions
from azureml_local.server.access.identity import answer
from azureml_local.server.context import Context, Ctx
from azureml_local.server.errors import Unauthorized

router = APIRouter(prefix="/adfs/{key}/{tenant}")

ONLY_PRINCIPALS = (
    "A local workspace signs in service principals (ServicePrincipalAuthentication, ClientSecretCredential, "
    "EnvironmentCredential) and the managed identity (MsiAuthentication, DefaultAzureCredential); nobody signs in with "
    "a browser, a device code or a user's password."
)


@router.get("/.well-known/openid-configuration")
def authority_configuration(ctx: Ctx, key: str, tenant: str) -> Response:
    """What MSAL reads of an authority before it signs in there (msal.authority)."""
    if (refused := _wrong(ctx, key)) is not None:
        return refused
    base = f"{authority(ctx.endpoints, key)}/{quote(tenant, safe='')}"
    return JSONResponse(
        {
            "issuer": base,
            "token_endpoint": f"{base}/oauth2/token",
            "authorization_endpoint": f"{base}/oauth2/authorize",
            "device_authorization_endpoint": f"{base}/oauth2/devicecode",
        }
    )


@router.post("/oauth2/token")
@router.post("/oauth2/v2.0/token", include_in_schema=False)
async def service_principal(ctx: Ctx, key: str, tenant: str, request: Request) -> Response:
    """A service principal signs in (RFC 6749, 4.4): the address is what it has to know.

    Its password, or certificate, is Azure's business: it is neither looked at, kept nor logged.
    """
    form = parse_qs((await request.body()).decode("latin-1"))
    resource = (form.get("resource") or form.get("scope") or [""])[0].split(" ")[0].removesuffix("/.default")
    return await run_in_threadpool(_sign_in, ctx, key, form.get("grant_type", [""])[0], resource)


@router.api_route("/oauth2/{other:path}", methods=["GET", "POST"], include_in_schema=False)
def other_sign_in(ctx: Ctx, key: str, tenant: str, other: str) -> Response:
    return _wrong(ctx, key) or _refused(400, "unsupported_grant_type", ONLY_PRINCIPALS)


def _sign_in(ctx: Context, key: str, grant: str, resource: str) -> Response:
    if (refused := _wrong(ctx, key)) is not None:
        return refused
    if grant != "client_credentials":
        return _refused(400, "unsupported_grant_type", ONLY_PRINCIPALS)
    issued, _ = ctx.tokens.sign_in_by_address(key, resource)
    return JSONResponse(answer(issued, resource))


def _wrong(ctx: Context, key: str) -> Response | None:
    """The refusal of a sign-in address that isn't one; None for one that is."""
    try:
        _, run_id = ctx.tokens.sign_in_by_address(key, "")
        if run_id is not None:
            permissions.check_running(ctx.workspace.runs, run_id)
    except Unauthorized as error:
        return _refused(401, "invalid_client", str(error))
    return None


def _refused(status: int, error: str, description: str) -> Response:
    """As MSAL shows it (RFC 6749, 5.2)."""
    return JSONResponse({"error": error, "error_description": description}, status)
