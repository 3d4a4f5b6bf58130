"""Rejection of requests from other sites in a browser, and of unknown host names (DNS rebinding).

A local server is reachable from every page that its user opens. What keeps those out is checked before
anything else, on every route: the Host header (against DNS rebinding) and where the browser says the request
comes from. Never the User-Agent, which pages can choose.
"""

from __future__ import annotations

import functools
import re
import time
from email.utils import formatdate

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from azureml_local.server.errors import error_response
from azureml_local.server.http.protocol import MAX_HEAD

LOOPBACK = r"localhost|127\.0\.0\.1|\[::1\]"
SECURITY_HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
    (b"referrer-policy", b"no-referrer"),
]


@functools.lru_cache(maxsize=1)
def _date(second: int) -> bytes:
    return formatdate(second, usegmt=True).encode()


class Guard:
    """ASGI middleware. ``pages`` are paths below which a person may arrive by a link from elsewhere; ``host`` is a name
    or an address that this server answers to, beside those of loopback.
    """

    def __init__(self, app: ASGIApp, port: int, pages: tuple[str, ...] = (), host: str = "localhost") -> None:
        self._app = app
        self._host = re.compile(rf"(?:{LOOPBACK}|{re.escape(host)})\.?(?::(\d{{1,5}}))?", re.IGNORECASE)
        self._names = ", ".join(dict.fromkeys([host, "localhost", "127.0.0.1"]))
        self._port = port
        self._pages = pages

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = list(message.get("headers", []))
                present = {name.lower() for name, _ in headers}
                ours = [*SECURITY_HEADERS, (b"date", _date(int(time.time())))]
                message["headers"] = headers + [pair for pair in ours if pair[0] not in present]
            await send(message)

        refusal = self._too_large(scope) or self._foreign(scope)
        await (refusal or self._app)(scope, receive, with_headers)

    @staticmethod
    def _too_large(scope: Scope) -> ASGIApp | None:
        head = sum(len(name) + len(value) for name, value in scope["headers"])
        if head + len(scope["raw_path"]) + len(scope["query_string"]) > MAX_HEAD:
            return error_response(431, "HeadersTooLarge", f"The request's head is larger than {MAX_HEAD} bytes.")
        return None

    def _foreign(self, scope: Scope) -> ASGIApp | None:
        reason = self._refusal(scope)
        return None if reason is None else error_response(403, "Forbidden", reason)

    def _refusal(self, scope: Scope) -> str | None:
        headers: dict[bytes, list[bytes]] = {}
        for name, value in scope["headers"]:
            headers.setdefault(name.lower(), []).append(value)
        hosts = headers.get(b"host", [])
        if len(hosts) != 1 or not self._is_us(hosts[0].decode("latin-1")):
            seen = ", ".join(repr(host.decode("latin-1")) for host in hosts) or "none"
            return f"The Host header is {seen}; this server answers to {self._names} only, at port {self._port}."
        for origin in headers.get(b"origin", []):
            text = origin.decode("latin-1")
            if not re.fullmatch(r"https?://.+", text) or not self._is_us(text.split("//", 1)[1]):
                return f"The request comes from the page {text!r}; pages of other sites may not use this server."
        site = b"".join(headers.get(b"sec-fetch-site", [])).decode("latin-1")
        if site in ("cross-site", "same-site") and not self._arrives_by_link(scope, headers):
            return "The request comes from a page of another site (Sec-Fetch-Site); those may not use this server."
        return None

    def _is_us(self, host: str) -> bool:
        match = self._host.fullmatch(host)
        return bool(match) and int(match[1] or 0) == self._port if match else False

    def _arrives_by_link(self, scope: Scope, headers: dict[bytes, list[bytes]]) -> bool:
        return (
            scope["method"] == "GET"
            and headers.get(b"sec-fetch-mode") == [b"navigate"]
            and any(scope["path"].startswith(page) for page in self._pages)
        )
