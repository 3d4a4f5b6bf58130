"""Blob storage: the containers of artifacts and snapshots, and the one of the default datastore.

An ASGI middleware before the routes: a client that sends a thousand small files waits for what happens around each, and
matching every other service's path first is a large part of that.

Measured with azure-storage-blob (x-ms-version 2021-08-06 and later) and the SDK's Rust engine (2021-04-10).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Mapping
from typing import BinaryIO
from urllib.parse import unquote

from fastapi import Request
from fastapi.responses import Response
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Receive, Scope, Send

from azureml_local.server import errors
from azureml_local.server.blob import listings as blobxml
from azureml_local.server.blob import sharedkey
from azureml_local.server.blob import writes as blobwrites
from azureml_local.server.blob.conditions import condition_of
from azureml_local.server.blob.writes import METADATA, base64_of, in_thread
from azureml_local.server.context import Context
from azureml_local.server.http.ranges import parse_range, send_file
from azureml_local.storage.blobrows import BlobRow
from azureml_local.storage.blobs import APPEND_BLOB, BlobError
from azureml_local.storage.clock import http_date
from azureml_local.workspace import datastores
from azureml_local.workspace.containers import ACCOUNT, is_container

VERSION = "2021-08-06"
# A blob that isn't larger is read where the request is: the way to a thread and back takes longer.
AT_ONCE = 64 * 1024
MAX_MD5_RANGE = 4 * 1024 * 1024
LISTED = frozenset({"metadata", "tags", "versions", "deletedwithversions"})


class BlobService:
    """ASGI middleware: answers what is asked of a container, and whatever an account key has signed."""

    def __init__(self, app: ASGIApp, ctx: Context) -> None:
        self._app = app
        self._ctx = ctx

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not self._is_ours(scope):
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)
        try:
            response = await _answer(self._ctx, request)
        except ClientDisconnect:
            return  # half a body: nobody is left who would read an answer
        except BlobError as error:
            response = _refusal(request, error)
        except Exception as error:
            response = errors.trouble_response(request, error)
        response.headers["x-ms-version"] = VERSION
        if identity := request.headers.get("x-ms-client-request-id"):
            response.headers["x-ms-client-request-id"] = identity[:1024]
        await response(scope, receive, send)

    def _is_ours(self, scope: Scope) -> bool:
        """Whether a request is for the blob service, which checks by itself who asks."""
        container = scope["path"].split("/", 2)[1]
        if is_container(container) or container in self._ctx.workspace.datastores.containers:
            return True
        return any(name == b"authorization" and value[:10].lower() == b"sharedkey " for name, value in scope["headers"])


def _refusal(request: Request, error: BlobError) -> Response:
    if request.method == "HEAD" or error.status == 304:  # without a body, the header is all that says why
        return Response(status_code=error.status, headers={"x-ms-error-code": error.code})
    return errors.blob_error_response(error.status, error.code, str(error))


async def _answer(ctx: Context, request: Request) -> Response:
    _, container, *rest = request.scope["path"].split("/", 2)
    name = rest[0] if rest else ""
    method, comp = request.method, request.query_params.get("comp")
    # A datastore's client names the account beside its signature: two accounts may have containers of one name.
    account = sharedkey.account_of(request.headers.get("authorization", ""))
    if account is not None and (found := ctx.workspace.datastores.physical(account, container)) is not None:
        container = found
    known = is_container(container) or container in ctx.workspace.datastores.containers
    if not known or not name:
        _authorize(ctx, request, container, "", "l")
        return await in_thread(_of_container, ctx, request, container, comp, known)
    needed = {"GET": "r", "HEAD": "r", "PUT": "w", "DELETE": "d"}.get(method)
    if needed is None:
        raise _not_built(request)
    name, fully = _authorize(ctx, request, container, name, needed)
    _refuse_the_rest(request)
    if needed == "r":
        return await _read(ctx, request, container, name, comp)
    if needed == "d":
        return await in_thread(_delete, ctx, request, container, name, comp)
    if comp not in blobwrites.WRITES:
        raise _not_built(request)
    if not fully:
        blobwrites.only_create(request, comp)
    body = await blobwrites.receive(ctx, request, comp)
    return await in_thread(blobwrites.write, ctx, request, container, name, comp, body)


def _not_built(request: Request) -> BlobError:
    asked = "&".join(f"{key}={request.query_params[key]}" for key in ("restype", "comp") if key in request.query_params)
    what = f"{request.method} {request.scope['path'][:200]}{f' with {asked[:100]}' if asked else ''}"
    return BlobError(501, "NotImplemented", f"{what} is not built in azureml-local.")


def _refuse_the_rest(request: Request) -> None:
    """What Azure would do and this server does not: better refused than done in another way."""
    headers, query = request.headers, request.query_params
    if "x-ms-copy-source" in headers:
        raise BlobError(501, "NotImplemented", "Copying blobs is not built in azureml-local: download and upload it.")
    if "x-ms-lease-id" in headers:
        raise BlobError(501, "NotImplemented", "Leases are not built in azureml-local.")
    if "snapshot" in query or "versionid" in query:
        raise BlobError(501, "NotImplemented", "Snapshots and versions of blobs are not built in azureml-local.")
    if "x-ms-content-crc64" in headers:
        raise BlobError(501, "NotImplemented", "CRC64 is not built in azureml-local; Content-MD5 is checked.")


# Containers -------------------------------------------------------------------------------------------------


def _of_container(ctx: Context, request: Request, container: str, comp: str | None, known: bool) -> Response:
    method, query = request.method, request.query_params
    if not container and comp == "list" and method == "GET":
        created = ctx.workspace.identity.created
        names = [datastores.CONTAINER, *sorted(ctx.workspace.datastores.containers)]
        return Response(blobxml.container_list(names, created), media_type="application/xml")
    if query.get("restype") == "container" and comp is None and method in ("PUT", "DELETE"):
        if method == "PUT" and known:
            raise BlobError(409, "ContainerAlreadyExists", f"The container {container!r} exists already.")
        raise BlobError(
            501,
            "NotImplemented",
            f"Containers can't be made or deleted in azureml-local; use a folder in {datastores.CONTAINER!r}.",
        )
    if not container:
        raise _not_built(request)
    if not known:
        raise BlobError(404, "ContainerNotFound", f"There is no container {container[:80]!r}.")
    if method not in ("GET", "HEAD") or comp not in (None, "list", "metadata"):
        raise _not_built(request)
    if comp == "list" and method == "GET":
        return _list(ctx, container, query)
    headers = {"ETag": '"0x0"', "Last-Modified": http_date(ctx.workspace.identity.created)}
    return Response(status_code=200, headers=headers)


def _list(ctx: Context, container: str, query: Mapping[str, str]) -> Response:
    """List Blobs: with a delimiter, what lies deeper is summed up as prefixes."""
    prefix, delimiter, marker = (query.get(key, "") for key in ("prefix", "delimiter", "marker"))
    asked = query.get("maxresults", "5000")
    if not asked.isdecimal() or int(asked[:9]) == 0:
        raise BlobError(400, "OutOfRangeQueryParameterValue", f"maxresults is {asked[:20]!r}; it must be 1 to 5000.")
    include = {word for word in query.get("include", "").lower().split(",") if word}
    if not include <= LISTED | {"copy", "deleted", "snapshots", "uncommittedblobs", "legalhold", "immutabilitypolicy"}:
        raise BlobError(400, "InvalidQueryParameterValue", f"include is {query['include'][:80]!r}.")
    limit = min(int(asked[:9]), 5000)
    entries, after = ctx.workspace.blobs.page(container, prefix, delimiter, _after(marker), limit)
    body = blobxml.blob_list(
        container,
        entries,
        prefix=prefix,
        delimiter=delimiter,
        limit=limit,
        marker=marker,
        next_marker=base64.urlsafe_b64encode(after.encode()).decode() if after is not None else "",
        metadata="metadata" in include,
    )
    return Response(body, media_type="application/xml")


def _after(marker: str) -> str:
    try:
        return base64.urlsafe_b64decode(marker).decode()
    except (binascii.Error, UnicodeDecodeError, ValueError):
        raise BlobError(400, "InvalidQueryParameterValue", "The marker isn't one of this server's.") from None


# Reading ----------------------------------------------------------------------------------------------------


async def _read(ctx: Context, request: Request, container: str, name: str, comp: str | None) -> Response:
    if comp == "blocklist" and request.method == "GET":
        kind = request.query_params.get("blocklisttype", "committed").lower()
        return await in_thread(_block_list, ctx, container, name, kind)
    if comp not in (None, "metadata"):
        raise _not_built(request)
    condition = condition_of(request.headers, reading=True)
    if comp == "metadata":
        blob = ctx.workspace.blobs.get(container, name)
        condition(blob)
        return Response(status_code=200, headers=_headers(blob))
    blob, file = ctx.workspace.blobs.open(container, name)
    try:
        condition(blob)
        if blob.size <= AT_ONCE:
            return _content(request, blob, file)
        return await in_thread(_content, request, blob, file)
    except BaseException:
        file.close()
        raise


def _content(request: Request, blob: BlobRow, file: BinaryIO) -> Response:
    headers, asked = _headers(blob), request.headers.get("x-ms-range") or request.headers.get("range")
    if asked and request.headers.get("x-ms-range-get-content-md5", "").lower() == "true":
        headers["Content-MD5"] = _range_md5(file, asked, blob.size)
    elif blob.md5:
        headers["x-ms-blob-content-md5" if asked else "Content-MD5"] = base64_of(bytes.fromhex(blob.md5))
    head = request.method == "HEAD"
    return send_file(file, blob.size, range_header=asked, headers=headers, media_type=blob.content_type, head=head)


def _range_md5(file: BinaryIO, asked: str, size: int) -> str:
    try:
        start, length = parse_range(asked, size) or (0, size)
    except ValueError:
        raise BlobError(416, "InvalidRange", f"The range {asked[:80]!r} is outside of the {size} bytes.") from None
    if length > MAX_MD5_RANGE:
        raise BlobError(400, "OutOfRangeInput", f"A range with its MD5 has at most {MAX_MD5_RANGE} bytes.")
    file.seek(start)
    return base64_of(hashlib.md5(file.read(length), usedforsecurity=False).digest())


def _block_list(ctx: Context, container: str, name: str, kind: str) -> Response:
    committed, waiting, blob = ctx.workspace.blobs.blocks(container, name)
    body = blobxml.block_list(
        committed if kind in ("committed", "all") else None, waiting if kind in ("uncommitted", "all") else None
    )
    headers = {"ETag": blob.etag, "x-ms-blob-content-length": str(blob.size)} if blob is not None else {}
    return Response(body, headers=headers, media_type="application/xml")


def _headers(blob: BlobRow) -> dict[str, str]:
    extra = blob.extra or {}
    headers = {
        "ETag": blob.etag,
        "Last-Modified": http_date(blob.modified),
        "x-ms-blob-type": blob.kind,
        "x-ms-creation-time": http_date(blob.created),
        "x-ms-server-encrypted": "false",
        **extra.get("headers", {}),
        **{METADATA + key: value for key, value in extra.get("metadata", {}).items()},
        # Whatever a job wrote is data: a browser must neither show it nor run it.
        "Content-Security-Policy": "sandbox",
    }
    if not headers.get("Content-Disposition", "").lower().startswith("attachment"):
        headers["Content-Disposition"] = "attachment"
    if blob.kind == APPEND_BLOB:
        headers["x-ms-blob-committed-block-count"] = str(blob.blocks)
    return headers


def _delete(ctx: Context, request: Request, container: str, name: str, comp: str | None) -> Response:
    if comp is not None:
        raise _not_built(request)
    ctx.workspace.blobs.delete(container, name, condition_of(request.headers))
    return Response(status_code=202)


def _authorize(ctx: Context, request: Request, container: str, name: str, needed: str) -> tuple[str, bool]:
    """The name of the blob that a signed URL, or (for the datastore) the account key, gives access to, and whether that
    is all of what is ``needed``, or only to create a blob that isn't there.

    The SDK's uploader takes the name out of our URL as it is written there and encodes it once more, so that
    ``a b`` arrives as ``a%20b``. The signature says which name was meant.

    Raises BlobError 403.
    """
    authorization = request.headers.get("authorization", "")
    if authorization and (container == datastores.CONTAINER or not is_container(container)):
        account = sharedkey.account_of(authorization)
        raw = request.scope["raw_path"].decode("latin-1")
        query = request.scope["query_string"].decode("latin-1")
        headers = {key.lower(): value for key, value in request.headers.items()}
        mine = account == ACCOUNT or container in ctx.workspace.datastores.containers
        if mine and sharedkey.matches(authorization, request.method, raw, query, headers, ctx.secrets.account_key):
            return name, True
        raise BlobError(403, "AuthenticationFailed", "The request isn't signed with the key of this datastore.")
    query_params = dict(request.query_params)
    try:
        return name, ctx.urls.check(container, name, needed, query_params)
    except BlobError:
        if (written := unquote(name)) == name:
            raise
        return written, ctx.urls.check(container, written, needed, query_params)
