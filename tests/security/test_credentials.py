"""Tokens, signatures, keys and certificates: each is good for what it was made for, and for nothing else."""

from __future__ import annotations

import re
import ssl
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import jwt
import psutil
import pytest

from azureml_local.client.instance import LocalServer, ServerError
from azureml_local.names import DEFAULT_NAME
from azureml_local.server.access.auth import WORKSPACE_CLAIM
from azureml_local.server.access.certificates import Certificates
from azureml_local.server.serve import Settings
from azureml_local.storage.folder import StateFolder

WORKSPACE = f"{DEFAULT_NAME.arm_id}?api-version=2022-05-01"
BLOCK_BLOB = {"x-ms-blob-type": "BlockBlob"}


@pytest.fixture
def api(server: LocalServer) -> Iterator[httpx.Client]:
    with server._client() as client:
        yield client


@pytest.fixture
def anonymous(server: LocalServer) -> Iterator[httpx.Client]:
    trust = ssl.create_default_context(cafile=str(server.folder.tls / "ca.pem"))
    with httpx.Client(base_url=server.instance.endpoints.api, verify=trust, trust_env=False) as client:
        yield client


@pytest.mark.case("tokens")
def test_a_token_must_be_this_stores_and_valid(server: LocalServer, api: httpx.Client) -> None:
    mine = api.headers["Authorization"].removeprefix("Bearer ")
    claims = jwt.decode(mine, options={"verify_signature": False})
    key = server.folder.secrets().signing_key
    head, payload, _ = mine.split(".")
    forged = {
        "unsigned": jwt.encode(claims, None, "none"),
        "without its signature": f"{head}.{payload}.",
        "signed with another key": jwt.encode(claims, "0" * 64, "HS256"),
        "of another algorithm": jwt.encode(claims, key, "HS384"),
        "expired": jwt.encode({**claims, "exp": int(time.time()) - 10}, key, "HS256"),
        "of tomorrow": jwt.encode({**claims, "nbf": int(time.time()) + 86400}, key, "HS256"),
        "for another workspace": jwt.encode({**claims, WORKSPACE_CLAIM: "elsewhere"}, key, "HS256"),
        "for no workspace": jwt.encode({k: v for k, v in claims.items() if k != WORKSPACE_CLAIM}, key, "HS256"),
        "of another issuer": jwt.encode({**claims, "iss": "https://sts.windows.net/x/"}, key, "HS256"),
        "without an end": jwt.encode({k: v for k, v in claims.items() if k != "exp"}, key, "HS256"),
        "of a run that isn't there": jwt.encode({**claims, "run": "nobody"}, key, "HS256"),
        "no token at all": "x.y.z",
    }
    for what, token in forged.items():
        answer = api.get(WORKSPACE, headers={"Authorization": f"Bearer {token}"})
        assert answer.status_code == 401, what
        assert token not in answer.text
    assert api.get(WORKSPACE, headers={"Authorization": f"Bearer {mine}"}).status_code == 200


@pytest.mark.case("not-azure")
def test_tokens_of_ours_and_of_azure_are_not_interchangeable(server: LocalServer, api: httpx.Client) -> None:
    claims = jwt.decode(api.headers["Authorization"].removeprefix("Bearer "), options={"verify_signature": False})
    # A host that can't exist, and a symmetric signature, where Azure's are RS256 by keys that it publishes.
    assert httpx.URL(claims["iss"]).host.endswith(".invalid")
    assert claims[WORKSPACE_CLAIM] == api.get(WORKSPACE).json()["properties"]["workspaceId"]
    addresses = str(api.get("/metadata/endpoints").json())
    assert "azure.com" not in addresses
    assert "windows.net" not in addresses
    assert server.variables({})["MSI_ENDPOINT"].startswith("http://localhost:")


@pytest.mark.case("tokens")
def test_blobs_need_a_signature_that_fits(api: httpx.Client, anonymous: httpx.Client) -> None:
    url = f"/artifact/v2.0{DEFAULT_NAME.arm_id}/artifacts/batch/metadata/LocalUpload/guard"
    information = api.post(url, json={"paths": [{"path": "outputs/x.txt"}]}).json()["artifactContentInformation"]
    write = httpx.URL(information["outputs/x.txt"]["contentUri"]).copy_with(userinfo=b"")
    assert anonymous.put(write, content=b"mine", headers=BLOCK_BLOB).status_code == 201
    assert anonymous.get(write).content == b"mine"
    signed = str(write)
    for what in (
        signed.replace("x.txt", "y.txt"),  # of another blob
        signed.replace("x.txt", "x.txt/y"),  # of one whose name goes on
        signed.replace("/azureml/", "/snapshots/"),  # of another container
        signed.replace("se=", "se=9"),  # for longer
        signed.replace("sig=", "sig=A"),
        signed.split("&sig=")[0],
        signed.split("?")[0],
    ):
        answer = anonymous.put(what, content=b"theirs", headers=BLOCK_BLOB)
        assert answer.status_code == 403, what
        assert httpx.URL(signed).params["sig"] not in answer.text
    assert anonymous.delete(write).status_code == 403
    listing = signed.replace("/LocalUpload/guard/outputs/x.txt", "") + "&restype=container&comp=list"
    assert anonymous.get(listing).status_code == 403
    info = f"/artifact/v2.0{DEFAULT_NAME.arm_id}/artifacts/contentinfo/LocalUpload/guard/outputs/x.txt"
    read_only = api.get(info).json()["contentUri"]
    assert anonymous.get(read_only).content == b"mine"
    assert anonymous.put(read_only, content=b"theirs", headers=BLOCK_BLOB).status_code == 403
    assert anonymous.get(read_only.replace("sp=r", "sp=rw")).status_code == 403
    # A token says who asks, not which blob: it opens none.
    assert api.get(signed.split("?")[0]).status_code == 403


@pytest.mark.case("tokens")
def test_the_datastore_needs_its_key(anonymous: httpx.Client) -> None:
    for authorization in ("", "SharedKey localstore:AAAA", "SharedKey other:AAAA", "SharedKey", "Bearer x"):
        headers = {"Authorization": authorization, **BLOCK_BLOB}
        assert anonymous.put("/azureml-blobstore/x", content=b"x", headers=headers).status_code == 403
        assert anonymous.get("/azureml-blobstore?restype=container&comp=list", headers=headers).status_code == 403


@pytest.mark.case("tokens")
def test_discovery_needs_the_address_that_only_callers_with_a_token_are_told(
    server: LocalServer, api: httpx.Client, anonymous: httpx.Client
) -> None:
    properties = api.get(WORKSPACE).json()["properties"]
    told = anonymous.get(properties["discoveryUrl"]).json()
    assert told["studio"] == server.status()["studio"]
    workspace_id = properties["workspaceId"]
    assert anonymous.get(f"/discovery/workspaces/{workspace_id}").status_code == 401
    assert anonymous.get(f"/discovery/x/workspaces/{workspace_id}").status_code == 404


@pytest.mark.case("stored-scripts")
def test_pages_need_the_view_key_and_run_no_scripts_but_their_own(server: LocalServer) -> None:
    page = httpx.get(server.status()["studio"] + "/")
    assert page.status_code == 200
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert page.headers["referrer-policy"] == "same-origin"
    assert httpx.get(f"{server.instance.endpoints.plain}/studio/wrong-key/").status_code == 404


@pytest.mark.case("tokens")
def test_certificate_authority_is_constrained_to_local_names(server: LocalServer) -> None:
    from cryptography import x509

    authority = x509.load_pem_x509_certificate((server.folder.tls / "ca.pem").read_bytes())
    constraints = authority.extensions.get_extension_for_class(x509.NameConstraints)
    assert constraints.critical
    names = [name.value for name in constraints.value.permitted_subtrees or [] if isinstance(name, x509.DNSName)]
    assert names == ["localhost"]
    assert b"PRIVATE KEY" not in (server.folder.tls / "ca.pem").read_bytes()


@pytest.mark.case("secrets-unseen")
def test_the_stores_secrets_are_readable_by_their_owner_only(server: LocalServer) -> None:
    root = server.folder.root
    for path in (root, server.folder.tls / "server.pem", root / "secrets.json", server.folder.instance):
        assert path.stat().st_mode & 0o077 == 0, path


@pytest.mark.case("loopback-only")
def test_only_loopback_listens(server: LocalServer) -> None:
    listening = [
        connection.laddr.ip
        for connection in psutil.Process(server.instance.pid).net_connections()
        if connection.status == psutil.CONN_LISTEN
    ]
    assert set(listening) == {"127.0.0.1"}
    assert len(listening) == 2


@pytest.mark.case("loopback-only")
def test_other_machines_are_admitted_only_with_both_options(tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from azureml_local.cli.app import app
    from azureml_local.server.http.addresses import SettingsError, address_of

    assert Settings(tmp_path, tmp_path).host == "localhost"
    for host in ("localhost", "127.0.0.1", "127.0.0.2"):
        assert address_of(host, exposed=False).startswith("127.")
    for host, exposed, words in (
        ("192.0.2.1", False, "Add --expose if you want that"),
        ("0.0.0.0", True, "no address of one interface"),
        ("224.0.0.1", True, "no address of one interface"),
        ("::1", True, "IPv6"),
        ("no such name", True, "neither an address nor a name"),
        ("name.invalid", True, "has no address here"),
    ):
        with pytest.raises(SettingsError, match=words):
            address_of(host, exposed=exposed)
    # Refused before a server is started, and by the server itself.
    for command in (["up", "--host", "192.0.2.1"], ["serve", "--host", "192.0.2.1"]):
        asked = CliRunner().invoke(app, [*command, "--state", str(tmp_path / "state")])
        assert isinstance(asked.exception, SettingsError), asked.output
    for options, words in (
        (["--host", "192.0.2.1", "--expose"], "192.0.2.1 is no address of this machine"),
        (["--scheduler", "tcp://127.0.0.1:1"], "No Dask scheduler answers at tcp://127.0.0.1:1"),
        (["--scheduler", "nonsense"], "'nonsense' is no address of a Dask scheduler"),
    ):
        with pytest.raises(ServerError, match=re.escape(words)):
            LocalServer.start(StateFolder(tmp_path / "state"), "--port", "0", *options)


@pytest.mark.case("loopback-only", "foreign-host")
def test_a_named_host_is_in_the_certificate_and_the_only_other_one_that_is_answered(tmp_path: Path) -> None:
    import ipaddress

    from cryptography import x509

    from azureml_local.server.access.guard import Guard

    first = Certificates(tmp_path).ensure().bundle.read_bytes()
    assert Certificates(tmp_path, host="10.1.2.3").ensure().bundle.read_bytes() != first
    assert Certificates(tmp_path).are_good()  # one that vouches for more is good for less
    leaf = x509.load_pem_x509_certificate((tmp_path / "server.pem").read_bytes())
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert ipaddress.ip_address("10.1.2.3") in names.get_values_for_type(x509.IPAddress)
    ca = x509.load_pem_x509_certificate((tmp_path / "ca.pem").read_bytes())
    permitted = ca.extensions.get_extension_for_class(x509.NameConstraints).value.permitted_subtrees or []
    assert [str(each.value) for each in permitted if "10." in str(each.value)] == ["10.1.2.3/32"]

    guard = Guard(None, 8843, host="10.1.2.3")  # type: ignore[arg-type]
    assert guard._is_us("10.1.2.3:8843")
    assert guard._is_us("localhost:8843")
    for host in ("10.1.2.4:8843", "10x1.2.3:8843", "10.1.2.3:1", "10.1.2.3", "110.1.2.3:8843", "evil.example:8843"):
        assert not guard._is_us(host)


@pytest.mark.case("tokens")
def test_a_containers_signature_is_for_that_container_and_its_rights_only(
    api: httpx.Client, anonymous: httpx.Client
) -> None:
    stores = f"{DEFAULT_NAME.arm_id}/datastores"
    query = "?api-version=2024-10-01-preview"
    sas = {
        name: api.post(f"{stores}/{name}/listSecrets{query}", json={"expirableSecret": True}).json()["sasToken"]
        for name in ("workspaceblobstore", "workspaceartifactstore")
    }
    blob = "/azureml-blobstore/door/signed.txt?"
    assert anonymous.put(blob + sas["workspaceblobstore"], content=b"x", headers=BLOCK_BLOB).status_code == 201
    assert anonymous.get(blob + sas["workspaceblobstore"]).content == b"x"
    assert anonymous.get(blob + sas["workspaceartifactstore"]).status_code == 403  # of another container
    assert anonymous.get(blob + sas["workspaceblobstore"].replace("se=", "se=9")).status_code == 403  # for longer
    run = "/azureml/ExperimentRun/dcid.x/a.txt?"
    # Of the files of runs it reads only.
    assert anonymous.put(run + sas["workspaceartifactstore"], content=b"x", headers=BLOCK_BLOB).status_code == 403
    assert anonymous.get(run + sas["workspaceartifactstore"]).status_code == 404
    refused = api.post(f"{stores}/workspaceblobstore/listSecrets{query}", json={"expireAfterHours": 1000})
    assert refused.status_code == 400
