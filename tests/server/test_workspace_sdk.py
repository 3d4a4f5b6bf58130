"""The workspace and its experiments, through the real SDK."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from azureml_local.instance import LocalServer
from azureml_local.workspace.identity import WorkspaceName


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


def test_a_workspace_that_this_is_not_is_not_found(workspace: Any) -> None:
    from azureml.core import Workspace

    with pytest.raises(Exception, match="Workspace not found"):
        Workspace.get("elsewhere", subscription_id=workspace.subscription_id, resource_group="other")


def test_workspaces_of_the_subscription_are_listed(workspace: Any) -> None:
    from azureml.core import Workspace

    assert workspace.name in Workspace.list(workspace.subscription_id)


def test_an_experiment_is_made_once(workspace: Any) -> None:
    from azureml.core import Experiment

    first, second = Experiment(workspace, "made-once"), Experiment(workspace, "made-once")
    assert first.id == second.id
    assert "made-once" in workspace.experiments


def test_what_is_not_built_says_so(server: LocalServer) -> None:
    with server._client() as client:
        answer = client.put("/some/service/v1.0/thing")
    assert answer.status_code == 501
    assert answer.json()["error"]["code"] == "NotImplemented"
    assert "PUT /some/service/v1.0/thing" in answer.json()["error"]["message"]
