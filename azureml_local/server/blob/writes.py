"""Write operations on blobs: Put Blob, Put Block, Put Block List, Append Block, Set Blob Metadata and Properties."""

from __future__ import annotations

import asyncio
import base64
import binascii
import functools
import hashlib
import re
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from fastapi import Request
from fastapi.responses import Response

from azureml_local.server.blob import listings as blobxml
from azureml_local.server.blob.conditions import condition_of
from azureml_local.server.context import Context
from azureml_local.storage.blobrows import BlobRow
from azureml_local.storage.blobs import APPEND_BLOB, BLOCK_BLOB, BlobError, Condition, if_absent
from azureml_local.storage.clock import http_date
from azureml_local.storage.tables import Json
from azureml_local.storage.uploads import PIECE, Upload

MAX_BODY = 5000 * 1024 * 1024  # of one Put Blob, as the service has it
MAX_APPEND = 100 * 1024 * 1024
MAX_BLOCK_LIST = 8 * 1024 * 1024  # 50,000 ids of 64 bytes, in base64 and their tags
IN_MEMORY = 1 << 20
KEPT_HEADERS = ("Cache-Control", "Content-Disposition", "Content-Encoding", "Content-Language")
METADATA = "x-ms-meta-"
METADATA_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
MAX_METADATA = 8 * 1024

Body = bytes | Upload


T = TypeVar("T")
P = ParamSpec("P")


async def in_thread(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """What fastapi's run_in_threadpool does, without a limiter and a copied context for each small blob."""
    return await asyncio.get_running_loop().run_in_executor(None, functools.partial(function, *args, **kwargs))


async def receive(ctx: Context, request: Request, comp: str | None) -> Body:
    """The body, in a file if it is large; checked against its length and its MD5.

    Raises BlobError 400, 411, 413; ClientDisconnect when the client stopped in the middle.
    """
    limit = {"appendblock": MAX_APPEND, "blocklist": MAX_BLOCK_LIST}.get(comp or "", MAX_BODY)
    length = request.headers.get("content-length", "")
    if not length.isdecimal():
        raise BlobError(411, "MissingContentLengthHeader", "The request needs a Content-Length.")
    if int(length[:20]) > limit:
        raise BlobError(413, "RequestBodyTooLarge", f"The body is larger than {limit} bytes.")
    stated = request.headers.get("content-md5")
    if int(length) <= IN_MEMORY:
        data = b"".join([chunk async for chunk in request.stream()])
        if stated is not None:
            _check_md5(stated, hashlib.md5(data, usedforsecurity=False).digest())
        return data
    with await in_thread(ctx.workspace.blobs.writer) as writer:
        pieces: list[bytes] = []
        held = 0
        async for chunk in request.stream():
            pieces.append(chunk)
            held += len(chunk)
            if held >= PIECE:
                await in_thread(writer.write, b"".join(pieces))
                pieces, held = [], 0
        await in_thread(writer.write, b"".join(pieces))
        if stated is not None:  # before it is finished: until then its file goes with an error
            _check_md5(stated, writer.md5)
        return writer.finish()


def write(ctx: Context, request: Request, container: str, name: str, comp: str | None, body: Body) -> Response:
    """Do what ``comp`` says with a body. Raises BlobError; the body's file is gone then, or a blob's."""
    try:
        return WRITES[comp](ctx, request, container, name, body)
    except BlobError:
        _drop(body)
        raise


# What may be done with a URL that is for new blobs only.
CREATES = (None, "block", "blocklist")


def only_create(request: Request, comp: str | None) -> None:
    """Let this request write only what isn't there yet. Raises BlobError 403 where it would change a blob."""
    if comp not in CREATES:
        raise BlobError(403, "AuthorizationPermissionMismatch", "The URL's signature is for new blobs only.")
    request.state.only_create = True


def _condition(request: Request) -> Condition:
    """What must be true of the blob that is there, for the request's headers and for what it may do."""
    asked = condition_of(request.headers)
    if not getattr(request.state, "only_create", False):
        return asked

    def check(old: BlobRow | None) -> None:
        if_absent(old)
        asked(old)

    return check


def _check_md5(stated: str, found: bytes) -> None:
    if _md5_of(stated) != found:
        raise BlobError(400, "Md5Mismatch", "The body's MD5 is not the one in Content-MD5; it was damaged on its way.")


def _md5_of(text: str) -> bytes:
    try:
        digest = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        digest = b""
    if len(digest) != 16:
        raise BlobError(400, "InvalidMd5", f"{text[:60]!r} is no MD5 in base64.")
    return digest


def _put(ctx: Context, request: Request, container: str, name: str, body: Body) -> Response:
    kind, blobs = request.headers.get("x-ms-blob-type", BLOCK_BLOB), ctx.workspace.blobs
    content_type, extra, md5 = _content_type(request), _extra(request), _stated_md5(request)
    condition = _condition(request)
    if kind not in (BLOCK_BLOB, APPEND_BLOB):
        raise BlobError(501, "NotImplemented", f"Blobs of the type {kind[:40]!r} are not built in azureml-local.")
    upload = blobs.upload_of(body) if isinstance(body, bytes) else body
    blob = blobs.put(
        container,
        name,
        upload,
        kind=kind,
        content_type=content_type,
        md5=md5,
        extra=extra,
        condition=condition,
    )
    return _written(blob, {"Content-MD5": base64_of(upload.md5)})


def _put_block(ctx: Context, request: Request, container: str, name: str, body: Body) -> Response:
    block = request.query_params.get("blockid", "")
    try:
        valid = 0 < len(base64.b64decode(block, validate=True)) <= 64
    except (binascii.Error, ValueError):
        valid = False
    if not valid:
        raise BlobError(400, "InvalidQueryParameterValue", "Put Block needs a blockid: base64 of at most 64 bytes.")
    upload = ctx.workspace.blobs.upload_of(body) if isinstance(body, bytes) else body
    ctx.workspace.blobs.stage_block(container, name, block, upload, _condition(request))
    return Response(status_code=201, headers={"Content-MD5": base64_of(upload.md5)})


def _put_block_list(ctx: Context, request: Request, container: str, name: str, body: Body) -> Response:
    text = body
    if isinstance(text, Upload):
        text = text.path.read_bytes()
        _drop(body)
    blob = ctx.workspace.blobs.commit_blocks(
        container,
        name,
        blobxml.read_block_list(text),
        content_type=_content_type(request),
        md5=_stated_md5(request),
        extra=_extra(request),
        condition=_condition(request),
    )
    return _written(blob)


def _append(ctx: Context, request: Request, container: str, name: str, body: Body) -> Response:
    size = body.size if isinstance(body, Upload) else len(body)
    try:
        condition, limits = _condition(request), _append_limits(request)

        def check(blob: BlobRow | None) -> None:
            condition(blob)
            position, most = limits
            if blob is not None and position is not None and blob.size != position:
                raise BlobError(412, "AppendPositionConditionNotMet", f"The blob has {blob.size} bytes.")
            if blob is not None and most is not None and blob.size + size > most:
                raise BlobError(412, "MaxBlobSizeConditionNotMet", f"The blob would have more than {most} bytes.")

        offset, blob = ctx.workspace.blobs.append(container, name, body, check)
    finally:
        _drop(body)
    return _written(blob, {"x-ms-blob-append-offset": str(offset), "x-ms-blob-committed-block-count": str(blob.blocks)})


def _append_limits(request: Request) -> list[int | None]:
    found: list[int | None] = []
    for name in ("x-ms-blob-condition-appendpos", "x-ms-blob-condition-maxsize"):
        text = request.headers.get(name)
        if text is not None and not (text.isdecimal() and len(text) < 16):
            raise BlobError(400, "InvalidHeaderValue", f"{name} must be a number.")
        found.append(int(text) if text is not None else None)
    return found


def _set_metadata(ctx: Context, request: Request, container: str, name: str, body: Body) -> Response:
    _drop(body)
    extra = dict(ctx.workspace.blobs.get(container, name).extra or {})
    extra["metadata"] = (_extra(request) or {}).get("metadata", {})
    return _changed(ctx.workspace.blobs.change(container, name, _condition(request), extra=extra))


def _set_properties(ctx: Context, request: Request, container: str, name: str, body: Body) -> Response:
    _drop(body)
    extra = dict(ctx.workspace.blobs.get(container, name).extra or {})
    extra["headers"] = (_extra(request) or {}).get("headers", {})
    changes = {"extra": extra, "content_type": _content_type(request), "md5": _stated_md5(request)}
    return _changed(ctx.workspace.blobs.change(container, name, _condition(request), **changes))


WRITES: dict[str | None, Callable[[Context, Request, str, str, Body], Response]] = {
    None: _put,
    "block": _put_block,
    "blocklist": _put_block_list,
    "appendblock": _append,
    "metadata": _set_metadata,
    "properties": _set_properties,
}


def base64_of(digest: bytes) -> str:
    return base64.b64encode(digest).decode()


def _drop(body: Body) -> None:
    if isinstance(body, Upload):
        body.path.unlink(missing_ok=True)


def _content_type(request: Request) -> str:
    chosen = request.headers.get("x-ms-blob-content-type") or request.headers.get("content-type")
    return chosen if chosen and len(chosen) < 200 else "application/octet-stream"


def _stated_md5(request: Request) -> str | None:
    text = request.headers.get("x-ms-blob-content-md5")
    return _md5_of(text).hex() if text else None


def _extra(request: Request) -> Json | None:
    """The metadata and the headers that go with a blob. Raises BlobError 400."""
    metadata = {key[len(METADATA) :]: value for key, value in request.headers.items() if key.startswith(METADATA)}
    if any(not METADATA_NAME.fullmatch(key) for key in metadata):
        raise BlobError(400, "InvalidMetadata", "A name of metadata has letters, digits and _, and no digit first.")
    if sum(len(key) + len(value) for key, value in metadata.items()) > MAX_METADATA:
        raise BlobError(400, "MetadataTooLarge", f"A blob's metadata have at most {MAX_METADATA} bytes.")
    headers = {
        name: value for name in KEPT_HEADERS if (value := request.headers.get(f"x-ms-blob-{name.lower()}")) is not None
    }
    return {"metadata": metadata, "headers": headers} if metadata or headers else None


def _written(blob: BlobRow, headers: dict[str, str] | None = None) -> Response:
    return Response(status_code=201, headers={**_changed_headers(blob), **(headers or {})})


def _changed(blob: BlobRow) -> Response:
    return Response(status_code=200, headers=_changed_headers(blob))


def _changed_headers(blob: BlobRow) -> dict[str, str]:
    return {"ETag": blob.etag, "Last-Modified": http_date(blob.modified), "x-ms-request-server-encrypted": "false"}
