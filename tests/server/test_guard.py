"""Who is let in, and who is not: requests as an attacker's page, another host name or another token would make them."""

from __future__ import annotations

import socket
import ssl
import time
from typing import Any

import httpx
import jwt
import pytest

from azureml_local.instance import LocalServer
from azureml_local.workspace.identity import DEFAULT_NAME

WORKSPACE = f"{DEFAULT_NAME.arm_id}?api-version=2022-05-01"


@pytest.fixture
def api(server: LocalServer) -> Any:
    with server._client() as client:
        yield client


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("path", [WORKSPACE, "/metadata/endpoints", "/azureml/x", "/opendata/mnist", "/nothing/here"])
def test_another_host_name_gets_nowhere_on_any_route(api: httpx.Client, method: str, path: str) -> None:
    answer = api.request(method, path, headers={"Host": "evil.example"})
    assert answer.status_code == 403
    assert "evil.example" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("localhost:{port}", True),
        ("LOCALHOST:{port}", True),
        ("localhost.:{port}", True),
        ("127.0.0.1:{port}", True),
        ("[::1]:{port}", True),
        ("localhost", False),
        ("localhost:1", False),
        ("localhost.evil.example:{port}", False),
        ("127.0.0.1.evil.example:{port}", False),
        ("evil.example#localhost:{port}", False),
        ("", False),
    ],
)
def test_spellings_of_the_host(server: LocalServer, host: str, allowed: bool) -> None:
    status = raw(
        server, f"GET /metadata/endpoints HTTP/1.1\r\nHost: {host.format(port=server.instance.api_port)}\r\n\r\n"
    )
    assert status == (200 if allowed else 403)


def test_two_host_headers_and_none(server: LocalServer) -> None:
    good = f"localhost:{server.instance.api_port}"
    assert raw(server, f"GET /metadata/endpoints HTTP/1.1\r\nHost: {good}\r\nHost: evil.example\r\n\r\n") in (400, 403)
    assert raw(server, "GET /metadata/endpoints HTTP/1.1\r\n\r\n") in (400, 403)


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "https://localhost.evil.example"},
        {"Origin": "http://localhost:1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"},
    ],
)
def test_pages_of_other_sites_are_refused(api: httpx.Client, method: str, headers: dict[str, str]) -> None:
    answer = api.request(method, WORKSPACE, headers=headers)
    assert answer.status_code == 403
    assert "access-control-allow-origin" not in answer.headers


def test_no_answer_invites_other_sites(api: httpx.Client) -> None:
    answer = api.get(WORKSPACE)
    assert answer.status_code == 200
    assert not [name for name in answer.headers if name.startswith("access-control-")]
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("secret", [None, "", "wrong", "wrong" * 1000])
def test_sign_in_needs_the_secret(server: LocalServer, secret: str | None) -> None:
    headers = {} if secret is None else {"secret": secret}
    answer = httpx.get(f"{server.instance.endpoints.plain}/msi/token", params={"resource": "x"}, headers=headers)
    assert answer.status_code == 401
    assert "access_token" not in answer.text


def test_a_token_must_be_this_stores_and_valid(server: LocalServer, api: httpx.Client) -> None:
    mine = api.headers["Authorization"].removeprefix("Bearer ")
    claims = jwt.decode(mine, options={"verify_signature": False})
    key = server.folder.secrets().signing_key
    forged = {
        "unsigned": jwt.encode(claims, None, "none"),
        "signed with another key": jwt.encode(claims, "0" * 64, "HS256"),
        "expired": jwt.encode({**claims, "exp": int(time.time()) - 10}, key, "HS256"),
        "for another workspace": jwt.encode({**claims, "aud": "elsewhere"}, key, "HS256"),
        "without an end": jwt.encode({k: v for k, v in claims.items() if k != "exp"}, key, "HS256"),
        "no token at all": "x.y.z",
    }
    for what, token in forged.items():
        answer = api.get(WORKSPACE, headers={"Authorization": f"Bearer {token}"})
        assert answer.status_code == 401, what
    assert api.get(WORKSPACE, headers={"Authorization": ""}).status_code == 401
    assert api.get(WORKSPACE, headers={"Authorization": f"Bearer {mine}"}).status_code == 200


def test_every_route_of_the_workspace_needs_a_token(server: LocalServer) -> None:
    from azureml_local.server.app import API

    public = {
        "/metadata/endpoints",
        "/discovery/workspaces/{workspace_id}",
        "/opendata/mnist",
        "/opendata/mnist/{asked}/{file}",
    }
    names = {"subscription_id": "s", "resource_group": "g", "workspace_name": "w"}
    checked = 0
    with httpx.Client(base_url=server.instance.endpoints.api, verify=context(server), trust_env=False) as anonymous:
        for module in API:
            for route in module.router.routes:
                path = route.path
                for name in ("azureml", "snapshots", "azureml-blobstore"):
                    if path.startswith(f"/{name}"):
                        break
                else:
                    if path in public:
                        continue
                    for key in [part.strip("{}").split(":")[0] for part in path.split("/") if part.startswith("{")]:
                        path = path.replace("{" + key + ":path}", "x").replace("{" + key + "}", names.get(key, "x"))
                    for method in route.methods - {"HEAD"}:
                        assert anonymous.request(method, path).status_code == 401, f"{method} {route.path}"
                        checked += 1
    assert checked > 50


def test_blobs_need_a_signature_that_fits(server: LocalServer, api: httpx.Client) -> None:
    body = {"paths": [{"path": "outputs/x.txt"}]}
    url = f"/artifact/v2.0{DEFAULT_NAME.arm_id}/artifacts/batch/metadata/LocalUpload/guard"
    write = httpx.URL(
        api.post(url, json=body).json()["artifactContentInformation"]["outputs/x.txt"]["contentUri"]
    ).copy_with(userinfo=b"")
    with httpx.Client(verify=context(server), trust_env=False) as plain:
        headers = {"x-ms-blob-type": "BlockBlob"}
        assert plain.put(write, content=b"mine", headers=headers).status_code == 201
        assert plain.get(write).content == b"mine"
        other = str(write).replace("x.txt", "y.txt")
        assert plain.put(other, content=b"theirs", headers=headers).status_code == 403
        assert plain.put(str(write).split("?")[0], content=b"theirs", headers=headers).status_code == 403
        assert plain.delete(write).status_code == 403
        info = f"/artifact/v2.0{DEFAULT_NAME.arm_id}/artifacts/contentinfo/LocalUpload/guard/outputs/x.txt"
        read_only = api.get(info).json()["contentUri"]
        assert plain.get(read_only).content == b"mine"
        assert plain.put(read_only, content=b"theirs", headers=headers).status_code == 403
        assert plain.get(read_only.replace("sp=r", "sp=rw")).status_code == 403
        shown = plain.get(read_only)
        assert shown.headers["content-disposition"] == "attachment"
        assert "sandbox" in shown.headers["content-security-policy"]


def test_the_datastore_needs_its_key(server: LocalServer) -> None:
    with httpx.Client(base_url=server.instance.endpoints.api, verify=context(server), trust_env=False) as client:
        for authorization in ("", "SharedKey localstore:AAAA", "SharedKey other:AAAA", "Bearer x"):
            headers = {"Authorization": authorization, "x-ms-blob-type": "BlockBlob"}
            assert client.put("/azureml-blobstore/x", content=b"x", headers=headers).status_code == 403
            assert client.get("/azureml-blobstore?restype=container&comp=list", headers=headers).status_code == 403


@pytest.mark.parametrize("path", ["%2e%2e/%2e%2e/x", "a/..%2f..%2fx", "a%00b", "a%5c..%5cx"])
def test_artifact_paths_stay_in_the_store(server: LocalServer, api: httpx.Client, path: str) -> None:
    base = f"/artifact/v2.0{DEFAULT_NAME.arm_id}/artifacts"
    for kind in ("content", "contentinfo", "metadata"):
        answer = api.get(f"{base}/{kind}/LocalUpload/guard/{path}")
        assert 400 <= answer.status_code < 502
        assert answer.status_code != 500
        assert "root:" not in answer.text


def test_pages_need_the_view_key_and_run_no_scripts(server: LocalServer) -> None:
    status = server.status()
    page = httpx.get(status["studio"] + "/")
    assert page.status_code == 200
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert httpx.get(f"{server.instance.endpoints.plain}/studio/wrong-key/").status_code == 404


def test_the_certificate_authority_can_vouch_for_nobody_else(server: LocalServer) -> None:
    from cryptography import x509

    authority = x509.load_pem_x509_certificate((server.folder.tls / "ca.pem").read_bytes())
    constraints = authority.extensions.get_extension_for_class(x509.NameConstraints)
    assert constraints.critical
    assert [name.value for name in constraints.value.permitted_subtrees or [] if isinstance(name, x509.DNSName)] == [
        "localhost"
    ]
    assert b"PRIVATE KEY" not in (server.folder.tls / "ca.pem").read_bytes()
    assert (server.folder.tls / "server.pem").stat().st_mode & 0o077 == 0
    assert (server.folder.root / "secrets.json").stat().st_mode & 0o077 == 0


def test_only_loopback_listens(server: LocalServer) -> None:
    import psutil

    listening = [
        connection.laddr.ip
        for connection in psutil.Process(server.instance.pid).net_connections()
        if connection.status == psutil.CONN_LISTEN
    ]
    assert set(listening) == {"127.0.0.1"}
    assert len(listening) == 2


def context(server: LocalServer) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(server.folder.tls / "ca.pem"))


def raw(server: LocalServer, request: str) -> int:
    """The status of an answer to bytes that no client would send."""
    with (
        socket.create_connection(("localhost", server.instance.api_port), timeout=10) as plain,
        context(server).wrap_socket(plain, server_hostname="localhost") as secure,
    ):
        secure.sendall(request.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n").encode())
        return int(secure.recv(4096).split()[1])
