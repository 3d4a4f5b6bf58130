"""The table of attacks that are one request: what is sent, and what must be answered.

``{port}`` is the listener's port, ``{token}`` a client's token, ``{ws}`` the workspace's path, ``{key}`` the key of the
run pages. The bytes go out as they stand here; no HTTP library has a say.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")
BEARER = "Authorization: Bearer {token}"
JSON = "Content-Type: application/json"
WS = "{ws}?api-version=2022-05-01"
EXPERIMENT = "/history/v1.0{ws}/experiments/attacked"
METADATA = "/metadata/endpoints"


@dataclass(frozen=True)
class Attack:
    """``status``: those that are right. ``host``: None sends the right one, "" an empty one, "none" none at all."""

    case: str
    request: str
    status: tuple[int, ...]
    headers: tuple[str, ...] = ()
    body: bytes = b""
    host: str | None = None
    plain: bool = False


def attacks() -> Iterator[Attack]:
    for method in METHODS:
        for path in (WS, METADATA, "/azureml/x", "/opendata/mnist", "/local/status", "/nothing/here", "/"):
            yield Attack("foreign-host", f"{method} {path}", (403,), (BEARER,), host="evil.example")
        yield Attack("foreign-host", f"{method} /msi/token", (403,), host="evil.example:{port}", plain=True)
        yield Attack("foreign-host", f"{method} /studio/{{key}}/", (403,), host="evil.example:{port}", plain=True)

    right = ("localhost:{port}", "LOCALHOST:{port}", "localhost.:{port}", "127.0.0.1:{port}", "[::1]:{port}")
    wrong = (
        "localhost",
        "localhost:1",
        "localhost:{port}0",
        "localhost:{port}, evil.example",
        "localhost:0{port}:1",
        "user@localhost:{port}",
        "localhost.evil.example:{port}",
        "127.0.0.1.evil.example:{port}",
        "127.1:{port}",
        "0.0.0.0:{port}",
        "[::ffff:127.0.0.1]:{port}",
        "evil.example#localhost:{port}",
        "evil.example\\@localhost:{port}",
        "",
        "none",
    )
    for host in right:
        yield Attack("host-spellings", f"GET {METADATA}", (200,), host=host)
    for host in wrong:
        yield Attack("host-spellings", f"GET {METADATA}", (400, 403), host=host)
    for second in ("evil.example", "localhost:{port}"):
        yield Attack("host-spellings", f"GET {METADATA}", (400, 403), (f"Host: {second}",))
    for target in ("http://evil.example/metadata/endpoints", "https://localhost:{port}/metadata/endpoints", "*"):
        yield Attack("host-spellings", f"GET {target}", (400,))
    yield Attack("host-spellings", "CONNECT evil.example:443", (400,))

    pages = (
        ("Origin: https://evil.example",),
        ("Origin: null",),
        ("Sec-Fetch-Site: cross-site",),
        ("Sec-Fetch-Site: same-site",),
        ("Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document"),
    )
    for method in METHODS:
        for page in pages:
            yield Attack("cross-site-methods", f"{method} {EXPERIMENT}", (403,), (BEARER, *page))
    for page in pages[:3]:
        yield Attack("cross-site-methods", "GET /msi/token", (403,), page, plain=True)
        yield Attack("cross-site-methods", "GET /studio/{key}/", (403,), page, plain=True)
    # A link to a run in somebody's mail is no attack.
    yield Attack("cross-site-methods", "GET /studio/{key}/", (200,), pages[4], plain=True)
    yield Attack("cross-site-methods", "GET /msi/token", (403,), pages[4], plain=True)

    for agent in ("curl/8.0", "python-requests/2.32", "azureml-sdk-core/1.61"):
        yield Attack(
            "user-agent", f"POST {EXPERIMENT}", (403,), (BEARER, f"User-Agent: {agent}", "Sec-Fetch-Site: cross-site")
        )

    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "json", ""):
        headers = (BEARER, f"Content-Type: {kind}") if kind else (BEARER,)
        for path in (EXPERIMENT + "/runs:query", "/metric/v2.0{ws}/runs/x/batch", "/local/names"):
            yield Attack("simple-requests", f"POST {path}", (415,), headers, b"{}")
    for kind in ("application/json", "application/json-patch+json; charset=utf-8", "APPLICATION/JSON"):
        yield Attack(
            "simple-requests",
            "POST /history/v1.0{ws}/experiments:query",
            (200,),
            (BEARER, f"Content-Type: {kind}"),
            b"{}",
        )

    asks = ("Access-Control-Request-Method: POST", "Access-Control-Request-Private-Network: true")
    for origin in ("https://evil.example", "https://localhost:{port}"):
        status = (403,) if "evil" in origin else (401, 405, 501)
        yield Attack("no-cors", f"OPTIONS {EXPERIMENT}", status, (f"Origin: {origin}", *asks))
        yield Attack("no-cors", "OPTIONS /msi/token", (403, 405, 501), (f"Origin: {origin}", *asks), plain=True)

    for origin in (
        "https://localhost.evil.example",
        "https://localhost:{port}.evil.example",
        "https://evil.example/https://localhost:{port}",
        "https://evil.example#localhost:{port}",
        "https://evil-localhost:{port}",
        "https://localhost:{port}@evil.example",
        "http://localhost:1",
        "file://localhost:{port}",
        "https://localhost:{port} https://evil.example",
    ):
        yield Attack("origin-anchored", f"GET {WS}", (403,), (BEARER, f"Origin: {origin}"))
    yield Attack("origin-anchored", f"GET {WS}", (200,), (BEARER, "Origin: https://localhost:{port}"))

    for given in ("", "Bearer", "Bearer ", "Basic {token}", "{token}", "Bearer {token}x", "Bearer {token} {token}"):
        yield Attack("tokens", f"GET {WS}", (401,), (f"Authorization: {given}",))
    yield Attack("tokens", f"GET {WS}&access_token={{token}}", (401,))
    yield Attack("tokens", f"GET {WS}", (401,), ("Cookie: token={token}",))
    yield Attack("tokens", f"GET {WS}", (401,), (BEARER, BEARER))
    for method in METHODS:
        yield Attack("tokens", f"{method} /nothing/here", (401,))
        yield Attack("tokens", f"{method} {EXPERIMENT}", (401,))
    for header in ("", "secret: ", "secret: wrong", "secret: " + "w" * 5000, "X-IDENTITY-HEADER: wrong"):
        yield Attack("tokens", "GET /msi/token?resource=x", (401,), (header,) if header else (), plain=True)
    yield Attack("tokens", "GET /studio/wrong-key/", (404,), plain=True)
    yield Attack("tokens", "GET /discovery/wrong-key/workspaces/x", (404,))

    form = ("Content-Type: application/x-www-form-urlencoded",)
    grant = b"grant_type=client_credentials&client_id=x&client_secret=x&scope=x"
    for guess in (
        "",
        "wrong-key",
        "{key}",
        "{token}",
        "%00",
        "%2e%2e",
        "k" * 40,
        "start-the-client-through-azureml-local",
    ):
        yield Attack("sign-in-address", f"GET /adfs/{guess}/t/.well-known/openid-configuration", (401,))
        yield Attack("sign-in-address", f"POST /adfs/{guess}/t/oauth2/token", (401,), form, grant)
        yield Attack("sign-in-address", f"POST /adfs/{guess}/t/oauth2/v2.0/token", (401,), form, grant)
        yield Attack("sign-in-address", f"GET /adfs/{guess}/t/oauth2/authorize?client_id=x", (401,))

    for path in (
        "//evil.example",
        "//evil.example/",
        "/\\evil.example",
        "/%2f%2fevil.example",
        "/https://evil.example",
        "/%0d%0aLocation:%20x",
    ):
        yield Attack("open-redirect", f"GET {path}", (401,))
        yield Attack("open-redirect", f"GET {path}", (404, 501), plain=True)
        yield Attack("open-redirect", f"GET /studio/{{key}}{path}", (404, 501), plain=True)
    yield Attack("open-redirect", "GET /studio/{key}?next=//evil.example", (200,), plain=True)

    big = b'"' + b"x" * (33 * 1024 * 1024) + b'"'
    deep = b"[" * 101 + b"]" * 101
    question = "POST /history/v1.0{ws}/experiments:query"
    yield Attack("slow-and-huge", f"GET {METADATA}", (400, 431), ("X-Huge: " + "x" * 70_000,))
    yield Attack("slow-and-huge", f"GET {METADATA}", (400, 431), tuple(f"X-{n}: {'x' * 70}" for n in range(1000)))
    yield Attack("slow-and-huge", "GET /" + "x" * 70_000, (400, 431))
    yield Attack("slow-and-huge", question, (413,), (BEARER, JSON, f"Content-Length: {len(big)}"))
    yield Attack("slow-and-huge", question, (413,), (BEARER, JSON), big)
    yield Attack("slow-and-huge", question, (401,), (JSON,), big[:100_000])
    yield Attack(
        "slow-and-huge",
        "POST /msi/token",
        (413,),
        ("Content-Type: application/x-www-form-urlencoded",),
        b"x" * 70_000,
        plain=True,
    )
    for body in (deep, b'{"a":' + deep + b"}", b"[" * 100_000, b'{"x":' * 100_000):
        yield Attack("slow-and-huge", question, (400,), (BEARER, JSON), body)

    artifacts = "/artifact/v2.0{ws}/artifacts"
    for path in (
        "../../../../etc/passwd",
        "%2e%2e/%2e%2e/etc/passwd",
        "%252e%252e/etc/passwd",
        "a/..%2f..%2f..%2fetc%2fpasswd",
        "a%5c..%5c..%5cetc",
        "/etc/passwd",
        "//proc/self/root/etc/passwd",
        "a%00b",
        "C:%5cWindows",
        "....//....//etc/passwd",
        "CON",
    ):
        for kind in ("content", "contentinfo", "metadata"):
            yield Attack("path-traversal", f"GET {artifacts}/{kind}/LocalUpload/x/{path}", (400, 404), (BEARER,))
        yield Attack("path-traversal", f"GET /azureml/{path}", (400, 403))
        yield Attack("path-traversal", f"GET /opendata/mnist/original/{path}", (400, 401, 404))
        yield Attack("path-traversal", f"GET /studio/{{key}}/runs/x/files/{path}", (404,), plain=True)
    yield Attack("path-traversal", f"GET {artifacts}/prefix/contentinfo/../../x/", (200, 400, 401, 404, 501), (BEARER,))

    for name in ("azureml-blobstore2/x", "azureml2/x", "azuremlx", "snapshots-of-others/x", "local2/status"):
        yield Attack("sibling-prefix", f"GET /{name}", (401,))
    yield Attack("sibling-prefix", "GET /studio2/{key}/", (404, 501), plain=True)

    for request, body in (
        (question, b"{"),
        (question, b"[1]"),
        (question, b'"text"'),
        (question, b"nonsense"),
        (question, b'{"viewType":' + b"9" * 5000 + b"}"),
        (question, b"\xff\xfe{\x00}\x00"),
        (question, b'{"a":"\\ud800"}'),
        (question, b'{"a":"\xed\xa0\x80"}'),
        (question, b'{"a":\x00}'),
    ):
        yield Attack("malformed-requests", request, (400,), (BEARER, JSON), body)
    for method in ("BREW", "GETX", "get", "PROPFIND", "OPTIONS", "TRACE", "HEAD"):
        yield Attack("malformed-requests", f"{method} {EXPERIMENT}", (400, 501), (BEARER,))
    yield Attack("malformed-requests", "GET " + WS.replace("2022-05-01", "1999-99-99"), (200, 400), (BEARER,))
    yield Attack("malformed-requests", "GET /modelmanagement/v1.0{ws}/models?count=0", (400,), (BEARER,))
    yield Attack(
        "malformed-requests", f"GET /modelmanagement/v1.0{{ws}}/models?version={'9' * 30}", (200, 400), (BEARER,)
    )
    yield Attack("malformed-requests", f"GET /history/v1.0{{ws}}/experiments/{'x' * 260}", (404,), (BEARER,))
    yield Attack("malformed-requests", "GET /history/v1.0{ws}/experiments/%F0%9F%A6%8A%FF", (404,), (BEARER,))
    yield Attack("malformed-requests", f"POST /history/v1.0{{ws}}/experiments/{'x' * 260}", (400,), (BEARER,))


ATTACKS = tuple(attacks())
