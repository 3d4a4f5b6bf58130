"""A client of the bench's own: the standard library's, on one connection that is kept open.

It takes a tenth of a millisecond for a call, where richer clients take one: what is measured is the server.
"""

from __future__ import annotations

import http.client
import json
import ssl
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode, urlsplit

from azureml_local.client.instance import LocalServer
from azureml_local.names import DEFAULT_NAME
from azureml_local.server.context import WORKSPACE_PATH

NAMED = WORKSPACE_PATH.format(
    subscription_id=DEFAULT_NAME.subscription_id,
    resource_group=DEFAULT_NAME.resource_group,
    workspace_name=DEFAULT_NAME.name,
)


class Connection:
    """One open connection to one host; each call gives the answer's body.

    Raises:
        RuntimeError: the answer is no success: the bench measures what works.
    """

    def __init__(self, address: str, headers: Mapping[str, str], trusted: ssl.SSLContext | None = None) -> None:
        parts = urlsplit(address)
        host, port = str(parts.hostname), parts.port
        self._connection = (
            http.client.HTTPSConnection(host, port, context=trusted, timeout=60)
            if parts.scheme == "https"
            else http.client.HTTPConnection(host, port, timeout=60)
        )
        self._headers = dict(headers)

    def call(self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> bytes:
        fields = {**self._headers, **(headers or {})}
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
            fields["Content-Type"] = "application/json"
        self._connection.request(method, path, body, fields)
        answer = self._connection.getresponse()
        content = answer.read()
        if answer.status >= 300:
            raise RuntimeError(
                f"{method} {path} was answered {answer.status}: {content[:300].decode(errors='replace')}"
            )
        return content

    def json(self, method: str, path: str, body: Any = None) -> Any:
        return json.loads(self.call(method, path, body))

    def milliseconds(self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> float:
        begun = time.perf_counter()
        self.call(method, path, body, headers)
        return (time.perf_counter() - begun) * 1000

    def close(self) -> None:
        self._connection.close()


def sign_in(server: LocalServer) -> tuple[Connection, str, dict[str, str]]:
    """A connection to the sign-in endpoint, and its path and headers for a token."""
    endpoints = server.instance.endpoints
    path = "/msi/token?" + urlencode({"resource": endpoints.api})
    return Connection(endpoints.plain, {}), path, {"secret": server.folder.secrets().sign_in}


def connect(server: LocalServer) -> Connection:
    """A connection to the API, signed in."""
    plain, path, headers = sign_in(server)
    token = json.loads(plain.call("GET", path, headers=headers))["access_token"]
    plain.close()
    return Connection(server.instance.endpoints.api, {"Authorization": f"Bearer {token}"}, trusted(server))


def trusted(server: LocalServer) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(server.folder.tls / "ca.pem"))


def job_log(api: Connection, run_id: str) -> str:
    """What the script of a run has printed."""
    path = f"/artifact/v2.0{NAMED}/artifacts/content/ExperimentRun/dcid.{run_id}/user_logs/std_log.txt"
    return api.call("GET", path).decode("utf-8", "replace")
