"""Validation of request bodies: media type, size, and for JSON that its text can be stored.

This stands before all routes, so that a new one has it too. A page of another site can send text/plain or a
form without asking first; JSON it can't, so a JSON route takes nothing else. JSON that Python would read but
that could not be stored or sent again (nesting without end, half a surrogate pair) is refused here, once.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable
from dataclasses import dataclass

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from azureml_local.server.errors import answer

MAX_JSON = 32 * 1024 * 1024
MAX_FORM = 64 * 1024
MAX_PIECE = 8 * 1024 * 1024
MAX_DEPTH = 100
SMALL = 256 * 1024
BODY_SECONDS = 60.0  # for a whole body that is read before the route is called

# What the SDK sends as JSON (azureml._restclient.operations: application/json and application/json-patch+json,
# with and without a charset).
JSON = re.compile(r"application/(?:[a-z0-9.+-]*\+)?json", re.IGNORECASE)
MULTIPART = re.compile(r"multipart/form-data", re.IGNORECASE)
OCTETS = re.compile(r"application/octet-stream", re.IGNORECASE)
FORM = re.compile(r"application/x-www-form-urlencoded", re.IGNORECASE)

STRING = re.compile(rb'"[^"]*"?')  # without escapes in it, which are taken out before; one without an end goes on to it
BRACKETS = bytes.maketrans(b"[{]}", b"(())")
NEITHER_BRACKETS_NOR_QUOTES = bytes(byte for byte in range(256) if byte not in b'[]{}"')
HIGH, LOW = rb"\\u[dD][89abAB][0-9a-fA-F]{2}", rb"\\u[dD][c-fC-F][0-9a-fA-F]{2}"
SURROGATE = re.compile(rb"\\\\|" + HIGH + LOW + rb"|(?P<alone>" + HIGH + rb"|" + LOW + rb")")


@dataclass(frozen=True)
class Body:
    """Which bodies the paths that match take: media types as a pattern, and at most so many bytes."""

    path: re.Pattern[str]
    types: re.Pattern[str]
    limit: int


ANY_PATH = re.compile(r".*", re.DOTALL)
# A local submission: the client's configuration folder with the run's definition (azureml._execution._commands).
LOCAL_RUN = Body(re.compile(r"/execution/.*/localrun"), MULTIPART, MAX_JSON)
# A sweep: its config.json (azureml.train.hyperdrive._search).
SWEEP = Body(re.compile(r"/hyperdrive/.*/(?:hd)?runs(?:/[^/]*)?"), MULTIPART, MAX_JSON)
# What a node sends of logs and files.
NODE_BYTES = Body(re.compile(r"/node/.*/bytes"), OCTETS, MAX_PIECE)
# Sign-in (access.identity).
SIGN_IN = Body(re.compile(r"/(?:msi|adfs)/.*"), FORM, MAX_FORM)
JSON_ONLY = Body(ANY_PATH, JSON, MAX_JSON)
FORM_ONLY = Body(ANY_PATH, FORM, MAX_FORM)


class Refusal(Exception):
    """A body that isn't taken."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code = status, code


class Bodies:
    """ASGI middleware: the first of ``kinds`` that a request's path matches says what its body may be."""

    def __init__(self, app: ASGIApp, kinds: Iterable[Body]) -> None:
        self._app = app
        self._kinds = tuple(kinds)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        kind = next(kind for kind in self._kinds if kind.path.fullmatch(scope["path"]))
        headers = {name.lower(): value.decode("latin-1") for name, value in scope["headers"]}
        try:
            body = await _read(receive, headers.get(b"content-length"), kind.limit)
            if body is None:  # the client is gone
                return
            if len(body) > SMALL:  # looking through it takes a while; others go on meanwhile
                await run_in_threadpool(_check, body, headers.get(b"content-type", ""), kind)
            elif body:
                _check(body, headers.get(b"content-type", ""), kind)
        except Refusal as refusal:
            await answer(Request(scope), refusal.status, refusal.code, str(refusal))(scope, receive, send)
            return
        whole: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def replay() -> Message:
            return whole.pop() if whole else await receive()

        await self._app(scope, replay, send)


async def _read(receive: Receive, announced: str | None, limit: int) -> bytes | None:
    """The whole body, None when the client went away. Raises Refusal when it is too large or too slow."""
    too_large = Refusal(413, "RequestBodyTooLarge", f"The body is larger than {limit} bytes.")
    if announced is not None and announced.isdecimal() and int(announced) > limit:
        raise too_large
    pieces: list[bytes] = []

    async def collect() -> bool:
        size = 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return False
            pieces.append(message.get("body", b""))
            size += len(pieces[-1])
            if size > limit:
                raise too_large
            if not message.get("more_body", False):
                return True

    try:
        arrived = await asyncio.wait_for(collect(), BODY_SECONDS)
    except asyncio.TimeoutError:
        raise Refusal(408, "RequestTimeout", f"The body did not arrive within {BODY_SECONDS:g} s.") from None
    return b"".join(pieces) if arrived else None


def _check(body: bytes, content_type: str, kind: Body) -> None:
    media_type = content_type.partition(";")[0].strip()
    if not kind.types.fullmatch(media_type):
        raise Refusal(
            415,
            "UnsupportedMediaType",
            f"A body of the type {media_type[:100] or 'unknown'!r} isn't taken here; the SDK sends "
            f"{'application/json' if kind.types is JSON else 'a form'} there.",
        )
    if kind.types is JSON:
        check_json(body)


def check_json(body: bytes) -> None:
    """Raises Refusal 400 for JSON that isn't UTF-8, is nested too deep, or has text that no encoding can write."""
    try:
        body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Refusal(400, "InvalidJson", f"The body isn't UTF-8 ({error.reason}, byte {error.start}).") from None
    if b"\0" in body:  # UTF-16, which Python's reader would recognise, or no JSON at all
        raise Refusal(400, "InvalidJson", "The body has a NUL byte: it isn't JSON in UTF-8.")
    if any(match["alone"] for match in SURROGATE.finditer(body)):
        raise Refusal(
            400, "InvalidJson", "The body has half of a surrogate pair (\\ud800 to \\udfff), which is no text."
        )
    if body.count(b"[") + body.count(b"{") > MAX_DEPTH and _deeper_than(body, MAX_DEPTH):
        raise Refusal(400, "InvalidJson", f"The body is nested deeper than {MAX_DEPTH} levels.")


def _deeper_than(body: bytes, levels: int) -> bool:
    """Whether brackets outside strings are nested deeper. Each round takes the innermost pairs away."""
    unescaped = body.replace(b"\\\\", b"").replace(b'\\"', b"").translate(BRACKETS, NEITHER_BRACKETS_NOR_QUOTES)
    # Two quotes side by side change nothing: a string without brackets, or the end of one and the beginning of another.
    brackets = STRING.sub(b"", unescaped.replace(b'""', b""))
    for _ in range(levels):
        left = brackets.replace(b"()", b"")
        if len(left) == len(brackets):
            break
        brackets = left
    # What is left over pairs is deeper; without any pair it isn't JSON, and its reader says so.
    return b"()" in brackets
