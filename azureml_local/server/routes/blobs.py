"""Blob storage: the containers of artifacts and snapshots, and the one of the default datastore.

Measured with azure-storage-blob (x-ms-version 2021-08-06) and the SDK's Rust engine (2021-04-10).
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import Any
from urllib.parse import unquote
from xml.sax.saxutils import escape

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response

from azureml_local.server import sharedkey
from azureml_local.server.context import Context, Ctx, context
from azureml_local.server.ranges import send_file
from azureml_local.storage.blobs import APPEND_BLOB, BlobError, Upload
from azureml_local.storage.clock import http_date
from azureml_local.storage.tables import Blob
from azureml_local.workspace import artifacts, datastores, snapshots

router = APIRouter()

ACCOUNT = "localstore"
CONTAINERS = (artifacts.CONTAINER, snapshots.CONTAINER, datastores.CONTAINER)

MAX_BODY = 5000 * 1024 * 1024  # of one Put Blob, as the service has it
MAX_APPEND = 100 * 1024 * 1024
BLOCK_ID = re.compile(r"<(?:Latest|Uncommitted|Committed)>([^<]{1,200})</")


def add_routes(target: APIRouter) -> None:
    for container in CONTAINERS:
        target.add_api_route(f"/{container}", _container, methods=["GET", "HEAD"], include_in_schema=False)
        path = f"/{container}/{{name:path}}"
        target.add_api_route(path, _read, methods=["GET", "HEAD"], include_in_schema=False)
        target.add_api_route(path, _write, methods=["PUT"], include_in_schema=False)
        target.add_api_route(path, _delete, methods=["DELETE"], include_in_schema=False)


def _container(request: Request, ctx: Ctx) -> Response:
    container = request.url.path.strip("/")
    _authorize(ctx, request, container, "", "l")
    if request.query_params.get("comp") == "list":
        return _list(ctx, container, request.query_params)
    headers = {"ETag": '"0x0"', "Last-Modified": http_date(ctx.workspace.identity.created)}
    return Response(status_code=200, headers=headers)


def _read(request: Request, ctx: Ctx, name: str) -> Response:
    container = _container_of(request)
    name = _authorize(ctx, request, container, name, "r")
    try:
        blob = ctx.workspace.blobs.get(container, name)
    except BlobError as error:
        if request.method == "HEAD":  # without a body, the header is all that says why
            return Response(status_code=error.status, headers={"x-ms-error-code": error.code})
        raise
    return send_file(
        ctx.workspace.blobs.path(blob),
        blob.size,
        range_header=request.headers.get("x-ms-range") or request.headers.get("range"),
        headers=_headers(blob),
        media_type=blob.content_type,
        head=request.method == "HEAD",
    )


async def _write(request: Request, name: str) -> Response:
    ctx = context(request)
    container = _container_of(request)
    name = await run_in_threadpool(_authorize, ctx, request, container, name, "w")
    comp = request.query_params.get("comp")
    limit = MAX_APPEND if comp in ("appendblock", "blocklist") else MAX_BODY
    received = 0
    with ctx.workspace.blobs.writer() as writer:
        async for chunk in request.stream():
            received += len(chunk)
            if received > limit:
                raise BlobError(413, "RequestBodyTooLarge", f"The body is larger than {limit} bytes.")
            writer.write(chunk)
        upload = writer.finish()
    _check_md5(request, upload)
    return await run_in_threadpool(_keep, ctx, request, container, name, comp, upload)


def _keep(ctx: Context, request: Request, container: str, name: str, comp: str | None, upload: Upload) -> Response:
    blobs = ctx.workspace.blobs
    headers: dict[str, str] = {}
    if comp == "block":
        block = request.query_params.get("blockid")
        if not block:
            upload.path.unlink(missing_ok=True)
            raise BlobError(400, "InvalidQueryParameterValue", "Put Block needs a blockid.")
        blobs.stage_block(container, name, block, upload)
        return Response(status_code=201)
    if comp == "blocklist":
        ids = BLOCK_ID.findall(upload.path.read_text("utf-8", "replace"))
        upload.path.unlink(missing_ok=True)
        blob = blobs.commit_blocks(container, name, ids, _content_type(request))
    elif comp == "appendblock":
        data = upload.path.read_bytes()
        upload.path.unlink(missing_ok=True)
        offset, blob = blobs.append(container, name, data)
        headers = {
            "x-ms-blob-append-offset": str(offset),
            "x-ms-blob-committed-block-count": str(blob.blocks),
        }
    elif comp is None:
        blob = _put(ctx, request, container, name, upload)
    else:
        upload.path.unlink(missing_ok=True)
        raise BlobError(501, "NotImplemented", f"PUT with comp={comp} is not built in azureml-local.")
    return Response(status_code=201, headers={"ETag": blob.etag, "Last-Modified": http_date(blob.modified), **headers})


def _put(ctx: Context, request: Request, container: str, name: str, upload: Upload) -> Blob:
    kind = request.headers.get("x-ms-blob-type", "BlockBlob")
    if kind not in ("BlockBlob", APPEND_BLOB):
        upload.path.unlink(missing_ok=True)
        raise BlobError(501, "NotImplemented", f"Blobs of the type {kind!r} are not built in azureml-local.")
    return ctx.workspace.blobs.put(
        container,
        name,
        upload,
        kind=kind,
        content_type=_content_type(request),
        only_if_absent=request.headers.get("if-none-match") == "*",
    )


def _delete(request: Request, ctx: Ctx, name: str) -> Response:
    container = _container_of(request)
    name = _authorize(ctx, request, container, name, "d")
    ctx.workspace.blobs.delete(container, name)
    return Response(status_code=202)


def _list(ctx: Context, container: str, query: Any) -> Response:
    """List Blobs: with a delimiter, what lies deeper is summed up as prefixes."""
    prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
    limit = min(int(query.get("maxresults", "5000")) if query.get("maxresults", "5000").isdecimal() else 5000, 5000)
    after = _marker(query.get("marker", ""))
    entries: list[str] = []
    last = ""
    more = False
    prefixes: set[str] = set()
    for blob in ctx.workspace.blobs.list(container, prefix, after=after):
        rest = blob.name[len(prefix) :]
        folder = prefix + rest[: rest.index(delimiter) + len(delimiter)] if delimiter and delimiter in rest else None
        if folder is not None and folder in prefixes:
            last = blob.name
            continue
        if len(entries) >= limit:
            more = True
            break
        if folder is not None:
            prefixes.add(folder)
            entries.append(f"<BlobPrefix><Name>{escape(folder)}</Name></BlobPrefix>")
        else:
            entries.append(_entry(blob))
        last = blob.name
    marker = base64.urlsafe_b64encode(last.encode()).decode() if more else ""
    body = (
        f'<?xml version="1.0" encoding="utf-8"?><EnumerationResults ContainerName="{container}">'
        f"<Prefix>{escape(prefix)}</Prefix><MaxResults>{limit}</MaxResults><Delimiter>{escape(delimiter)}</Delimiter>"
        f"<Blobs>{''.join(entries)}</Blobs><NextMarker>{marker}</NextMarker></EnumerationResults>"
    )
    return Response(body, media_type="application/xml")


def _entry(blob: Blob) -> str:
    return (
        f"<Blob><Name>{escape(blob.name)}</Name><Properties>"
        f"<Creation-Time>{http_date(blob.created)}</Creation-Time><Last-Modified>{http_date(blob.modified)}</Last-Modified>"
        f"<Etag>{escape(blob.etag)}</Etag><Content-Length>{blob.size}</Content-Length>"
        f"<Content-Type>{escape(blob.content_type)}</Content-Type><BlobType>{blob.kind}</BlobType></Properties></Blob>"
    )


def _marker(text: str) -> str:
    try:
        return base64.urlsafe_b64decode(text).decode()
    except (binascii.Error, UnicodeDecodeError, ValueError):
        raise BlobError(400, "InvalidQueryParameterValue", "The marker isn't one of this server's.") from None


def _authorize(ctx: Context, request: Request, container: str, name: str, needed: str) -> str:
    """The name of the blob that a signed URL, or (for the datastore) the account key, gives access to.

    The SDK's uploader takes the name out of our URL as it is written there and encodes it once more, so that
    ``a b`` arrives as ``a%20b``. The signature says which name was meant.

    Raises BlobError 403.
    """
    authorization = request.headers.get("authorization", "")
    if authorization and container == datastores.CONTAINER:
        raw = request.scope["raw_path"].decode("latin-1")
        query = request.scope["query_string"].decode("latin-1")
        headers = {key.lower(): value for key, value in request.headers.items()}
        if sharedkey.matches(authorization, request.method, raw, query, headers, ACCOUNT, ctx.secrets.account_key):
            return name
        raise BlobError(403, "AuthenticationFailed", "The request isn't signed with the key of this datastore.")
    query_params = dict(request.query_params)
    try:
        ctx.urls.check(container, name, needed, query_params)
        return name
    except BlobError:
        if (written := unquote(name)) == name:
            raise
        ctx.urls.check(container, written, needed, query_params)
        return written


def _container_of(request: Request) -> str:
    return unquote(request.url.path).split("/", 2)[1]


def _content_type(request: Request) -> str:
    chosen = request.headers.get("x-ms-blob-content-type") or "application/octet-stream"
    return chosen if len(chosen) < 200 else "application/octet-stream"


def _check_md5(request: Request, upload: Upload) -> None:
    given = request.headers.get("content-md5")
    if given and given != base64.b64encode(upload.md5).decode():
        upload.path.unlink(missing_ok=True)
        raise BlobError(400, "Md5Mismatch", "The body's MD5 is not the one in Content-MD5; it was damaged on its way.")


def _headers(blob: Blob) -> dict[str, str]:
    headers = {
        "ETag": blob.etag,
        "Last-Modified": http_date(blob.modified),
        "x-ms-blob-type": blob.kind,
        "x-ms-creation-time": http_date(blob.created),
        "x-ms-version": "2021-08-06",
        "x-ms-server-encrypted": "false",
        # Whatever a job wrote is data: a browser must neither show it nor run it.
        "Content-Disposition": "attachment",
        "Content-Security-Policy": "sandbox",
    }
    if blob.kind == APPEND_BLOB:
        headers["x-ms-blob-committed-block-count"] = str(blob.blocks)
    return headers


add_routes(router)
