"""Services of model management: deployments of SDK v1 and the operations that are waited for (azureml.core.webservice).

The bodies were measured with azureml-core 1.61 against a stub; keys whose absence is an exception in the SDK are there.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Body, Query
from fastapi.responses import JSONResponse, Response

from azureml_local.server.access.servicetokens import ServiceTokens
from azureml_local.server.context import WORKSPACE_PATH, Context, Ctx, Named
from azureml_local.server.dataplane.servicewire import image_of, service_body
from azureml_local.storage.service_tables import ServiceOperation
from azureml_local.workspace.errors import Conflict, Invalid, NotBuilt, WorkspaceError
from azureml_local.workspace.services import (
    DEPLOY,
    KEY_AUTH,
    NO_AUTH,
    RUNNING,
    TOKEN_AUTH,
    Image,
    NewService,
    ServiceChange,
    check_name,
    with_timeout,
)

ROOT = "/modelmanagement/v1.0" + WORKSPACE_PATH
router = APIRouter(prefix=ROOT)

Json = dict[str, Any]
# What the workspace keeps in words of its own; the rest of a body is the client's.
OWN = ("name", "description", "kvTags", "properties", "keys", "computeType", "environmentImageRequest", "overwrite")
COMPUTE_TYPES = ("ACI", "AKS")
# A client polls at once, and then every five seconds: most deployments end within this time.
HOLD_SECONDS = 4.0
POLL_SECONDS = 0.05
TOKEN_SECONDS = 3600


@router.post("/services/validate/name/{service}")
def validate_name(ctx: Ctx, name: Named, service: str) -> Json:
    return _valid(lambda: check_name(service))


@router.post("/services/validate")
def validate(ctx: Ctx, name: Named, body: Json) -> Json:
    """Where a deployment that can't be is refused in words that the client prints."""
    request = body.get("createRequest") or body.get("updateRequest")

    def check() -> None:
        if isinstance(request, dict) and isinstance(request.get("environmentImageRequest"), dict):
            _check_resources(request)
            ctx.deployments.check(image_of(request["environmentImageRequest"]), str(body.get("serviceName") or ""))

    return _valid(check)


@router.post("/services/validate/resource")
def validate_resource(ctx: Ctx, name: Named, body: Json) -> Json:
    return _valid(lambda: _check_resources(body))


@router.post("/services", status_code=202)
def create(ctx: Ctx, name: Named, body: Json) -> Response:
    compute_type = str(body.get("computeType") or "").upper()
    if compute_type not in COMPUTE_TYPES:
        raise NotBuilt(
            f"Services of the type {compute_type[:40] or '(none)'} are not built in azureml-local; deploy with "
            "AciWebservice.deploy_configuration() or AksWebservice.deploy_configuration()."
        )
    request = body.get("environmentImageRequest")
    if not isinstance(request, dict):
        raise NotBuilt("Services are deployed from models and an InferenceConfig here: Model.deploy(). Images are not.")
    _check_resources(body)
    keys: Json = body["keys"] if isinstance(body.get("keys"), dict) else {}
    new = NewService(
        name=str(body.get("name") or ""),
        compute_type=compute_type,
        image=_timed(image_of(request), body),
        description=_text(body.get("description")),
        tags=body.get("kvTags"),
        properties=body.get("properties"),
        client={key: value for key, value in body.items() if key not in OWN},
        auth=_auth(compute_type, body),
        keys=(_text(keys.get("primaryKey")), _text(keys.get("secondaryKey"))),
    )
    return _accepted(ctx, ctx.deployments.deploy(new, overwrite=body.get("overwrite") is True))


@router.get("/operations/{operation_id}")
def operation(ctx: Ctx, name: Named, operation_id: str, offset: int = Query(0, ge=0)) -> Json:
    """Held back for a moment while the operation is young, so that nobody waits five seconds for one that takes two."""
    row = ctx.workspace.services.operation(operation_id)
    deadline = time.monotonic() + HOLD_SECONDS
    while row.state == RUNNING and _age(row) < HOLD_SECONDS and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
        row = ctx.workspace.services.operation(operation_id)
    return _operation(ctx, row, offset)


@router.get("/services")
def list_services(
    ctx: Ctx,
    name: Named,
    service: str | None = Query(None, alias="name"),
    compute_type: str | None = Query(None, alias="computeType"),
    model_name: str | None = Query(None, alias="modelName"),
    model_id: str | None = Query(None, alias="modelId"),
    tags: str | None = None,
    properties: str | None = None,
) -> Json:
    """Without a ``nextLink``: the SDK follows one even if it is null."""
    found = []
    for row in ctx.workspace.services.list():
        models = Image.of(row.image).models
        wanted = (
            service in (None, row.name)
            and (compute_type is None or compute_type.upper() == row.compute_type)
            and (model_id is None or model_id in models)
            and (model_name is None or model_name in {each.rpartition(":")[0] for each in models})
            and _has(row.tags, tags)
            and _has(row.properties, properties)
        )
        if wanted:
            found.append(service_body(ctx, row))
    return {"value": found}


@router.get("/services/{service}")
def get_service(ctx: Ctx, name: Named, service: str) -> Json:
    return service_body(ctx, ctx.workspace.services.get(service))


@router.patch("/services/{service}")
def update(ctx: Ctx, name: Named, service: str, body: Annotated[list[Json], Body()]) -> Response:
    """A JSON patch, as ``Webservice.update``, ``add_tags`` and their relatives send it."""
    row = ctx.workspace.services.get(service)
    image: Image | None = None
    tags, client = dict(row.tags), dict(row.client)
    properties: Json = {}
    description: str | None = None
    for each in body:
        path, value = str(each.get("path", "")).removeprefix("/"), each.get("value")
        head, _, rest = path.partition("/")
        if each.get("op") not in ("add", "replace", "remove"):
            raise Invalid(f"A service can't be changed by {str(each)[:200]}.")
        if head == "environmentImageRequest" and isinstance(value, dict):
            image = image_of(value)
        elif head == "kvTags":
            tags = {**tags, rest: value} if rest and each["op"] != "remove" else value or {}
            if rest and each["op"] == "remove":
                tags = {key: kept for key, kept in row.tags.items() if key != rest}
        elif head == "properties":
            properties |= {rest: value} if rest else value or {}
        elif head == "description":
            description = _text(value) or ""
        elif not rest and each["op"] != "remove":
            client[head] = value
        else:
            raise Invalid(f"A service can't be changed by {str(each)[:200]}.")
    _check_resources(client)
    if image is None and client.get("scoringTimeoutMs") != row.client.get("scoringTimeoutMs"):
        image = Image.of(row.image)
    change = ServiceChange(
        image=None if image is None else _timed(image, client),
        description=description,
        tags=tags if tags != row.tags else None,
        properties=properties or None,
        client=client if client != row.client else None,
        auth=_auth(row.compute_type, client),
    )
    started = ctx.deployments.change(service, change)
    if started is None:
        return JSONResponse(service_body(ctx, ctx.workspace.services.get(service)))
    return _accepted(ctx, started)


@router.delete("/services/{service}")
def delete(ctx: Ctx, name: Named, service: str) -> Response:
    ctx.deployments.delete(service)
    return Response(status_code=200)


@router.get("/services/{service}/logs")
def logs(ctx: Ctx, name: Named, service: str, tail: int = Query(5000, ge=1)) -> Json:
    return {"content": ctx.deployments.log(service, tail)}


@router.post("/services/{service}/listkeys")
def list_keys(ctx: Ctx, name: Named, service: str) -> Json:
    primary, secondary = ctx.workspace.services.keys(service)
    return {"primaryKey": primary, "secondaryKey": secondary}


@router.post("/services/{service}/regenerateKeys")
def regenerate_keys(ctx: Ctx, name: Named, service: str, body: Json) -> Response:
    if body.get("keyType") not in ("Primary", "Secondary"):
        raise Invalid("keyType is Primary or Secondary.")
    ctx.deployments.set_key(service, primary=body["keyType"] == "Primary", value=_text(body.get("keyValue")))
    return _accepted(ctx, ctx.workspace.services.finished_operation(service, "RegenerateKey"))


@router.post("/services/{service}/token")
def token(ctx: Ctx, name: Named, service: str) -> Json:
    """A token for a service's requests, as AksWebservice.get_token() asks for one; in seconds since 1970."""
    row = ctx.workspace.services.get(service)
    if row.auth != TOKEN_AUTH:
        raise Conflict(f"The service {service!r} has keys and no tokens; deploy it with token_auth_enabled=True.")
    text, expires = ServiceTokens(ctx.secrets).issue(service, TOKEN_SECONDS)
    return {
        "accessToken": text,
        "tokenType": "Bearer",
        "refreshAfter": expires - TOKEN_SECONDS // 2,
        "expiryOn": expires,
    }


def _valid(check: Any) -> Json:
    """What is wrong is said in a body of its own here; the SDK ignores errors of HTTP."""
    try:
        check()
    except WorkspaceError as error:
        return {"error": {"message": str(error)}}
    return {}


def _check_resources(body: Mapping[str, Any]) -> None:
    resources = body.get("containerResourceRequirements")
    if isinstance(resources, dict) and resources.get("gpu"):
        raise NotBuilt("Services with GPUs are not built in azureml-local; leave gpu_cores out.")
    if body.get("sslEnabled"):
        raise NotBuilt(
            "Services with a certificate of their own (ssl_enabled) are not built in azureml-local: a service answers "
            "at this machine's loopback address."
        )


def _auth(compute_type: str, body: Mapping[str, Any]) -> str:
    """What requests need: ACI asks for nothing unless it is told to, AKS for a key."""
    if body.get("aadAuthEnabled"):
        return TOKEN_AUTH
    enabled = body.get("authEnabled")
    return KEY_AUTH if enabled or (enabled is None and compute_type == "AKS") else NO_AUTH


def _timed(image: Image, body: Mapping[str, Any]) -> Image:
    milliseconds = body.get("scoringTimeoutMs")
    if milliseconds is None:
        return image
    if not isinstance(milliseconds, int) or isinstance(milliseconds, bool) or not 0 < milliseconds <= 3_600_000:
        raise Invalid("scoring_timeout_ms is a number of milliseconds from 1 to 3,600,000.")
    return with_timeout(image, milliseconds / 1000)


def _accepted(ctx: Context, operation_id: str) -> Response:
    """The SDK reads the last part of the address."""
    return Response(status_code=202, headers={"Operation-Location": f"{ctx.endpoints.api}/operations/{operation_id}"})


def _operation(ctx: Context, row: ServiceOperation, offset: int) -> Json:
    lines = row.log[offset:]
    error: Json | None = None
    if row.error is not None:
        code = "DeploymentFailed" if row.step == DEPLOY else "EnvironmentBuildFailed"
        details = [{"code": "CrashLoopBackOff" if row.step == DEPLOY else code, "message": row.error}]
        error = {"code": code, "statusCode": 400, "message": row.error, "details": details}
    return {
        "id": row.id,
        "createdTime": row.created,
        "state": row.state,
        "operationType": f"{row.kind}Service",
        "operationDetails": {"subOperationType": row.step, "subOperationState": row.state},
        "operationLog": f"the log of the service: Webservice(ws, {row.service!r}).get_logs()",
        "parentRequestId": None,
        "resourceLocation": row.service,
        "streamingOperationLog": "#".join(f"{_stamp(when)}|{line.replace('#', ' ')}" for when, line in lines),
        "error": error,
    }


def _stamp(when: str) -> str:
    return datetime.fromisoformat(when.replace("Z", "+00:00")).strftime("%Y%m%d%H%M%S")


def _age(row: ServiceOperation) -> float:
    return time.time() - datetime.fromisoformat(row.created.replace("Z", "+00:00")).timestamp()


def _has(given: Mapping[str, Any], wanted: str | None) -> bool:
    """Whether all pairs of ``a=1,b`` are there; a name alone asks for the key."""
    for word in filter(None, (wanted or "").split(",")):
        key, equals, value = word.partition("=")
        if key not in given or (equals and given[key] != value):
            return False
    return True


def _text(value: object) -> str | None:
    return None if value is None else str(value)
