"""Errors in Azure's shape: ``{"error": {"code", "message"}}``; XML for the blob service."""

from __future__ import annotations

import json
import logging
import re
import sqlite3
from xml.sax.saxutils import escape

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from sqlalchemy.exc import DBAPIError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from azureml_local.server.http.reasons import ReasonedResponse
from azureml_local.server.http.refusals import sentence
from azureml_local.storage.blobs import BlobError
from azureml_local.storage.database import Vanished
from azureml_local.storage.trouble import FaultKind, explain
from azureml_local.workspace.errors import Conflict, Invalid, NotBuilt, NotFound, WorkspaceError

logger = logging.getLogger("azureml_local.server")

STATUS: dict[type[WorkspaceError], int] = {NotFound: 404, Conflict: 409, Invalid: 400, NotBuilt: 501}
# The SDK tries 500 and 503 again, 507 and 410 not (azureml._restclient.clientbase.RETRYABLE_STATUS_CODES).
TROUBLE: dict[FaultKind, tuple[int, str]] = {
    "full": (507, "InsufficientStorage"),
    "unwritable": (503, "StoreNotWritable"),
    "damaged": (500, "StoreDamaged"),
    "lost": (410, "BlobContentLost"),
    "gone": (410, "StateFolderGone"),
    "busy": (503, "ServerBusy"),
}
KEY = re.compile(r"^(/(?:studio|discovery)/)[^/]+")


class Unauthorized(Exception):
    """No token, or not one of this server's."""


class Forbidden(Exception):
    """A token of this server, but not for this."""


def error_body(code: str, message: str) -> dict[str, object]:
    return {"error": {"code": code, "message": message, "details": []}}


def error_response(status: int, code: str, message: str) -> JSONResponse:
    return JSONResponse(error_body(code, message), status)


def model_error_response(status: int, code: str, message: str) -> JSONResponse:
    """Model management's own shape (azureml._restclient.models.ModelErrorResponse).

    Of it the SDK shows the status code and the correlation, so that is where the sentence goes; and it says
    ModelNotFound, which ``Model.get_model_path`` looks for, when it finds a ``statusCode`` of 404.
    """
    body = {
        "code": code,
        "statusCode": status,
        "message": message,
        "details": [],
        "correlation": {"message": message},
    }
    return JSONResponse(body, status)


def sweep_error_response(status: int, code: str, message: str) -> JSONResponse:
    """HyperDrive's own shape (azureml.train.restclients.hyperdrive.models.ErrorResponse): the code is the status."""
    return JSONResponse({"code": status, "message": message}, status)


def pipeline_error_response(status: int, code: str, message: str) -> JSONResponse:
    """The pipelines' own shape (azureml.pipeline.core._restclients.aeva.models): as the others', but for the case."""
    return JSONResponse({"Error": {"Code": code, "Message": message}}, status)


MLFLOW_CODES = {
    400: "INVALID_PARAMETER_VALUE",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "RESOURCE_DOES_NOT_EXIST",
    409: "RESOURCE_ALREADY_EXISTS",
    501: "NOT_IMPLEMENTED",
}


def mlflow_error_response(status: int, code: str, message: str) -> JSONResponse:
    """MLflow's own shape; its clients know these codes (mlflow.exceptions)."""
    # MLflow's servers say 400 for what is there already, and its clients try 409 no other way.
    known = MLFLOW_CODES.get(status, "INTERNAL_ERROR")
    return JSONResponse({"error_code": known, "message": message}, 400 if status == 409 else status)


SHAPES = {
    "mlflow": mlflow_error_response,
    "modelmanagement": model_error_response,
    "hyperdrive": sweep_error_response,
    "pipelines": pipeline_error_response,
}


def answer(request: Request, status: int, code: str, message: str) -> JSONResponse:
    """An error in the shape of the service that was asked; what is not built is said in the status line too."""
    service = request.url.path.lstrip("/").partition("/")[0]
    response = SHAPES.get(service, error_response)(status, code, message)
    return ReasonedResponse(json.loads(bytes(response.body)), status, message) if status == 501 else response


def unauthorized(request: Request, error: Unauthorized) -> JSONResponse:
    response = answer(request, 401, "Unauthorized", str(error))
    response.headers["WWW-Authenticate"] = "Bearer"
    return response


def forbidden(request: Request, error: Forbidden) -> JSONResponse:
    return answer(request, 403, "AuthorizationFailed", str(error))


def blob_error_response(status: int, code: str, message: str) -> Response:
    body = f"<Error><Code>{code}</Code><Message>{escape(message)}</Message></Error>"
    return Response(
        f'<?xml version="1.0" encoding="utf-8"?>{body}', status, {"x-ms-error-code": code}, "application/xml"
    )


def install(app: FastAPI) -> None:
    """Give every exception its answer."""

    @app.exception_handler(WorkspaceError)
    def workspace_error(request: Request, error: WorkspaceError) -> Response:
        status = next(code for kind, code in STATUS.items() if isinstance(error, kind))
        return answer(request, status, error.code, str(error))

    @app.exception_handler(Vanished)
    def vanished(request: Request, error: Vanished) -> Response:
        return answer(request, 404, error.code, str(error))

    @app.exception_handler(BlobError)
    def blob_error(_: Request, error: BlobError) -> Response:
        return blob_error_response(error.status, error.code, str(error))

    app.exception_handler(Unauthorized)(unauthorized)
    app.exception_handler(Forbidden)(forbidden)

    @app.exception_handler(OverflowError)
    def out_of_range(request: Request, _: OverflowError) -> Response:
        return answer(request, 400, "BadArgument", "A number of the request is too large to be kept.")

    @app.exception_handler(ClientDisconnect)
    def gone(request: Request, _: ClientDisconnect) -> Response:
        return answer(request, 400, "RequestIncomplete", "The client went away before the body was complete.")

    @app.exception_handler(RequestValidationError)
    def malformed(request: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        message = f"{request.method} {request.url.path}: {first['msg']} (at {place})."
        return answer(request, 400, "BadArgument", message)

    @app.exception_handler(HTTPException)
    def http_error(request: Request, error: HTTPException) -> Response:
        if error.status_code in (404, 405):
            return not_built(request)
        return answer(request, error.status_code, "BadRequest", str(error.detail))

    app.add_exception_handler(OSError, trouble_response)
    app.add_exception_handler(DBAPIError, trouble_response)
    app.add_exception_handler(sqlite3.Error, trouble_response)
    app.add_exception_handler(Exception, fault)


def trouble_response(request: Request, error: Exception) -> Response:
    """What is wrong with the store, where that is what it is."""
    found = explain(error)
    if found is None:
        return fault(request, error)
    status, code = TROUBLE[found.kind]
    logger.error("%s %s: %s", request.method, _shown(request), found)
    # The storage client sends its version with every request, and reads another form of errors.
    respond = blob_error_response if "x-ms-version" in request.headers else error_response
    return respond(status, code, str(found))


def fault(request: Request, error: Exception) -> Response:
    logger.error("%s %s failed", request.method, _shown(request), exc_info=error)
    return answer(
        request,
        500,
        "InternalError",
        f"The local server failed at {request.method} {request.url.path} ({type(error).__name__}). "
        "That is a fault of azureml-local; its log (azureml-local logs) says more.",
    )


def _shown(request: Request) -> str:
    """The path for the log, where the key in the address of a page is no business of anybody."""
    return KEY.sub(r"\1***", request.url.path)


def not_built(request: Request) -> Response:
    return answer(request, 501, "NotImplemented", sentence(request.method, request.url.path))
