"""The workspace, its key vault and its experiments, through the real SDK."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path
from secrets import token_hex
from typing import Any

import jwt
import pytest

from azureml_local.client.instance import LocalServer
from azureml_local.names import WorkspaceName


@pytest.mark.sdk("Workspace.from_config", "Workspace.get_details", "Workspace.write_config")
def test_from_config_finds_the_workspace_that_the_file_names(
    server: LocalServer, workspace: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from azureml.core import Workspace

    server.answer_to(WorkspaceName("11111111-1111-1111-1111-111111111111", "my-group", "my-workspace"))
    body = {
        "subscription_id": "11111111-1111-1111-1111-111111111111",
        "resource_group": "my-group",
        "workspace_name": "my-workspace",
    }
    (tmp_path / "config.json").write_text(json.dumps(body))
    (tmp_path / "notebooks").mkdir()
    monkeypatch.chdir(tmp_path / "notebooks")
    found = Workspace.from_config()
    assert (found.name, found.resource_group, found.location) == ("my-workspace", "my-group", "local")
    assert found.get_details()["workspaceid"] == workspace.get_details()["workspaceid"]
    (tmp_path / "written").mkdir()
    found.write_config(path=str(tmp_path / "written"), file_name="ws.json")
    again = Workspace.from_config(path=str(tmp_path / "written" / ".azureml" / "ws.json"))
    assert (again.subscription_id, again.name) == (found.subscription_id, found.name)


@pytest.mark.sdk("Workspace", "Workspace.get", "Workspace.list", "Workspace.create")
def test_a_workspace_that_is_there_is_found_listed_and_created_only_with_exist_ok(workspace: Any) -> None:
    from azureml.core import Workspace
    from azureml.exceptions import WorkspaceException

    where = {"subscription_id": workspace.subscription_id, "resource_group": workspace.resource_group}
    assert Workspace.get(workspace.name.upper(), **where).get_details()["name"] == workspace.name
    with pytest.raises(Exception, match="Workspace not found"):
        Workspace.get("elsewhere", subscription_id=workspace.subscription_id, resource_group="other")
    assert workspace.name in Workspace.list(workspace.subscription_id)
    assert workspace.name in Workspace.list(**where)
    assert Workspace.list(workspace.subscription_id, resource_group="other") == {}

    existing = Workspace.create(workspace.name, **where, location="eastus2", exist_ok=True)
    assert existing.get_details()["id"] == workspace.get_details()["id"]
    with pytest.raises(WorkspaceException, match="already exists"):
        Workspace.create(workspace.name, **where, location="eastus2")


TENANT = "11111111-1111-1111-1111-111111111111"


def test_every_way_of_ci_to_sign_in_reaches_the_workspace(workspace: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """None of them asks Microsoft, and what is given as a password makes no difference."""
    from azure.identity import ClientSecretCredential, DefaultAzureCredential, EnvironmentCredential
    from azureml.core import Workspace
    from azureml.core.authentication import (
        InteractiveLoginAuthentication,
        MsiAuthentication,
        ServicePrincipalAuthentication,
    )

    names = workspace.subscription_id, workspace.resource_group, workspace.name
    for auth in (
        MsiAuthentication(),
        InteractiveLoginAuthentication(force=True),
        InteractiveLoginAuthentication(tenant_id=TENANT),
        ServicePrincipalAuthentication(TENANT, "principal", "password"),
        ServicePrincipalAuthentication("contoso.onmicrosoft.com", "principal", "another"),
    ):
        assert Workspace(*names, auth=auth).get_details()["name"] == workspace.name
    for name in ("TENANT_ID", "CLIENT_ID", "CLIENT_SECRET"):
        monkeypatch.setenv(f"AZURE_{name}", TENANT)
    scope = "https://management.azure.com/.default"
    for credential in (
        DefaultAzureCredential(),
        EnvironmentCredential(),
        ClientSecretCredential(TENANT, "principal", "password"),
    ):
        claims = jwt.decode(credential.get_token(scope).token, options={"verify_signature": False})
        assert claims["aud"] == "https://management.azure.com"


def test_sign_in_that_a_local_workspace_does_not_have_is_refused_in_words(workspace: Any) -> None:
    from azure.identity import DeviceCodeCredential

    with pytest.raises(Exception, match=r"nobody signs in with a browser"):
        DeviceCodeCredential("client", tenant_id=TENANT).get_token("https://x/.default")


CREATE = """
    from azureml.core import Workspace

    where = {"subscription_id": "00000000-0000-0000-0000-000000000000", "location": "eastus2"}

    def refused(name, **more):
        try:
            Workspace.create(name, **where, **more)
        except Exception as error:
            return str(error)

    created = Workspace.create("fresh", resource_group="new-group", create_resource_group=True, **where)
    assert created.get_details()["location"] == "local" and created.experiments == {}
    created.get_default_keyvault().set_secret("something", "in it")
    for more in ({"resource_group": "new-group"}, {"resource_group": "another-group", "create_resource_group": True}):
        text = refused("another", show_output=False, **more)
        assert "there are things in it already" in text and "azureml-local up --state FOLDER" in text, text
    assert "already exists" in refused("fresh", resource_group="new-group")
    assert Workspace.create("fresh", resource_group="new-group", exist_ok=True, **where).name == "fresh"
    where["location"] = "atlantis"
    assert "Location not available" in refused("another", resource_group="new-group")
"""


@pytest.mark.slow
@pytest.mark.sdk("Workspace.create")
@pytest.mark.sdk_refused("Workspace.create")
def test_a_new_workspace_is_created_as_long_as_the_store_is_empty(tmp_path: Path) -> None:
    """In a process of its own: the SDK remembers the first cloud that it met."""
    (tmp_path / "create.py").write_text(textwrap.dedent(CREATE))
    command = [sys.executable, "-m", "azureml_local", "run", "--ephemeral", "--", sys.executable, "create.py"]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr


@pytest.mark.sdk_refused(
    "Workspace.delete",
    "Workspace.update",
    "Workspace.list_keys",
    "Workspace.sync_keys",
    "Workspace.diagnose_workspace",
    "Workspace.set_connection",
    "Workspace.get_connection",
    "Workspace.list_connections",
    "Workspace.delete_connection",
    "Workspace.linked_services",
    "Workspace.update_dependencies",
    "Workspace.add_private_endpoint",
    "Workspace.delete_private_endpoint_connection",
    "Workspace.get_mlflow_tracking_uri",
)
def test_workspace_operations_not_supported_are_refused_with_a_reason(workspace: Any) -> None:
    from azureml.core import PrivateEndPointConfig, Workspace

    with pytest.raises(Exception, match="`azureml-local reset` deletes it"):
        workspace.delete(delete_dependent_resources=True)
    with pytest.raises(Exception, match=r"Workspace\.update is not built"):
        workspace.update(description="another")
    for operation in (workspace.list_keys, workspace.sync_keys, lambda: workspace.diagnose_workspace({})):
        with pytest.raises(Exception, match="are not built in azureml-local: its storage"):
            operation()
    for operation in (
        lambda: workspace.set_connection("feed", "PythonFeed", "https://feed.invalid", "PAT", "secret"),
        lambda: workspace.get_connection("feed"),
        lambda: workspace.delete_connection("feed"),
        workspace.list_connections,
    ):
        with pytest.raises(Exception, match=r"Connections of a workspace are not built.*set_secret"):
            operation()
    with pytest.raises(Exception, match=r"Linked services of a workspace .* are not built"):
        _ = workspace.linked_services
    with pytest.raises(Exception, match=r"Workspace\.update is not built"):
        workspace.update_dependencies(container_registry="/any", force=True)
    with pytest.raises(Exception, match=r"Private endpoints .*virtualNetworks/net is not built"):
        workspace.add_private_endpoint(PrivateEndPointConfig("endpoint", "net"))
    with pytest.raises(Exception, match=r"privateEndpointConnections/any is not built"):
        workspace.delete_private_endpoint_connection("any")
    with pytest.raises(Exception, match="azureml-mlflow"):
        workspace.get_mlflow_tracking_uri()
    found = Workspace.get(
        workspace.name, subscription_id=workspace.subscription_id, resource_group=workspace.resource_group
    )
    assert found.get_details()["workspaceid"] == workspace.get_details()["workspaceid"]


@pytest.mark.sdk(
    "Workspace.experiments",
    "Workspace.compute_targets",
    "Workspace.datasets",
    "Workspace.datastores",
    "Workspace.get_default_datastore",
    "Workspace.private_endpoints",
    "Workspace.sku",
    "Workspace.tags",
    "Workspace.discovery_url",
    "Workspace.location",
    "Workspace.name",
    "Workspace.resource_group",
    "Workspace.subscription_id",
    "Workspace.get_default_compute_target",
)
def test_workspace_lists_its_contents(workspace: Any, compute: Any) -> None:
    from azureml.core import Dataset, Experiment

    first, second = Experiment(workspace, "made-once"), Experiment(workspace, "made-once")
    assert first.id == second.id
    assert "made-once" in workspace.experiments
    assert workspace.compute_targets[compute.name].get_status() is not None
    assert workspace.get_default_datastore().name in workspace.datastores
    data = Dataset.File.from_files(workspace.get_default_datastore().path("no/such/*.csv"), validate=False)
    data.register(workspace, "shown")
    assert "shown" in workspace.datasets
    assert (workspace.private_endpoints, workspace.sku, workspace.tags) == ({}, "Basic", {})
    assert workspace.location == "local"
    assert workspace.get_default_compute_target("CPU") is None
    path = f"/subscriptions/{workspace.subscription_id}/resourceGroups/{workspace.resource_group}/"
    assert workspace.get_details()["id"].startswith(path)
    assert workspace.discovery_url.startswith("https://localhost:")


@pytest.mark.sdk(
    "Workspace.get_default_keyvault",
    "Keyvault.set_secret",
    "Keyvault.set_secrets",
    "Keyvault.get_secret",
    "Keyvault.get_secrets",
    "Keyvault.get_secret_content_type",
    "Keyvault.list_secrets",
    "Keyvault.delete_secret",
    "Keyvault.delete_secrets",
)
def test_keyvault_secrets_round_trip_and_are_encrypted_in_the_database(
    workspace: Any, server: LocalServer, capsys: pytest.CaptureFixture[str]
) -> None:
    keyvault = workspace.get_default_keyvault()
    needle = token_hex(16)  # not a literal: a run's snapshot may hold this very file
    value = needle + " & ünusual \N{KEY}\n" + "long" * 5000
    keyvault.set_secret("One-1", "first")
    keyvault.set_secret("one-1", value)  # as in Azure, the same name
    keyvault.set_secrets({"two": "zwei", "three": ""})
    assert keyvault.get_secret("ONE-1") == value
    assert keyvault.get_secrets(["one-1", "two", "three", "four"]) == {
        "one-1": value,
        "two": "zwei",
        "three": "",
        "four": None,
    }
    assert {"name": "two"} in keyvault.list_secrets()
    assert keyvault.get_secret_content_type("two") is None
    assert value not in str(keyvault.list_secrets())

    at_rest = b"".join(path.read_bytes() for path in server.folder.root.rglob("*") if path.is_file())
    assert needle.encode() not in at_rest  # neither in the database nor in a log
    assert (server.folder.root / "secrets.json").stat().st_mode & 0o077 == 0  # the key's file

    keyvault.delete_secret("two")
    keyvault.delete_secrets(["one-1", "three"])
    for name in ("one-1", "two", "three"):
        with pytest.raises(Exception, match="There is no secret"):
            keyvault.get_secret(name)
    with pytest.raises(Exception, match="There is no secret"):
        keyvault.delete_secret("two")


@pytest.mark.sdk_refused("Keyvault.set_secret", "Keyvault.set_secrets")
def test_keyvault_secrets_invalid_in_azure_are_refused_and_not_echoed(workspace: Any) -> None:
    keyvault = workspace.get_default_keyvault()
    for name in ("under_score", "with space", "ü", "", "n" * 128):
        with pytest.raises(Exception, match="is no name for a secret") as refused:
            keyvault.set_secrets({"fine": "hidden-value", name: "hidden-value"})
        assert "hidden-value" not in str(refused.value)
    assert {"name": "fine"} not in keyvault.list_secrets()  # all of them, or none
    with pytest.raises(Exception, match="more than 25,000 bytes"):
        keyvault.set_secret("large", "x" * 25_001)


def test_route_not_implemented_is_answered_with_501(server: LocalServer) -> None:
    with server._client() as client:
        answer = client.put("/some/service/v1.0/thing")
    assert answer.status_code == 501
    assert answer.json()["error"]["code"] == "NotImplemented"
    assert "PUT /some/service/v1.0/thing" in answer.json()["error"]["message"]


def test_route_not_implemented_is_named_in_the_status_line_without_header_injection(server: LocalServer) -> None:
    with server._client() as client:
        answer = client.put("/some/thing%0d%0aX-Header:%20y/%C3%BC" + "x" * 1000)
        assert answer.status_code == 501
        assert "X-Header" not in answer.headers
        assert answer.reason_phrase.startswith("PUT /some/thingX-Header: y/ xxx")
        assert len(answer.reason_phrase) == 300
        assert client.get("/local/status").reason_phrase == "OK"  # on the same connection
