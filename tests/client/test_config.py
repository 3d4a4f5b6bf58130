"""config.json in every form and place that the SDK's Workspace.from_config reads: the SDK is the oracle."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from azureml_local.client import config
from azureml_local.client.instance import LocalServer
from azureml_local.names import WorkspaceName


def portal(name: str) -> str:
    """As the portal gives it."""
    return json.dumps({"subscription_id": f"sub-{name}", "resource_group": f"group-{name}", "workspace_name": name})


def scope(name: str, more: str = "") -> str:
    """As Workspace.write_config writes it."""
    arm_id = WorkspaceName(f"sub-{name}", f"group-{name}", name).arm_id
    return json.dumps({"Id": None, "Scope": arm_id + more})


# The files, what is passed to from_config, and the name of the workspace that it finds from `project/notebooks`.
PLACES = {
    "portal": ({"project/config.json": portal("one")}, {}, "one"),
    "scope": ({"project/config.json": scope("one")}, {}, "one"),
    "scope-and-more": ({"project/config.json": scope("one", "/")}, {}, "one"),
    "both": ({"project/config.json": json.dumps({**json.loads(portal("no")), **json.loads(scope("one"))})}, {}, "one"),
    "empty-scope": ({"project/config.json": json.dumps({**json.loads(portal("one")), "Scope": ""})}, {}, "one"),
    "hidden-folder": ({"project/.azureml/config.json": scope("one"), "project/config.json": portal("no")}, {}, "one"),
    "old-folder": ({"project/aml_config/config.json": portal("one"), "project/config.json": portal("no")}, {}, "one"),
    "old-name": ({"project/aml_config/project.json": scope("one")}, {}, "one"),
    "hidden-above": ({".azureml/config.json": scope("one"), "project/notebooks/config.json": portal("no")}, {}, "one"),
    "path-of-a-file": (
        {"project/config.json": portal("no"), "project/notebooks/settings/test.json": portal("one")},
        {"path": "settings/test.json"},
        "one",
    ),
    "path-of-a-folder": (
        {"project/notebooks/config.json": portal("no"), "project/config.json": portal("one")},
        {"path": ".."},
        "one",
    ),
    "file-name": (
        {"project/notebooks/config.json": portal("no"), "project/notebooks/.azureml/ws_prod.json": scope("one")},
        {"_file_name": "ws_prod.json"},
        "one",
    ),
}


@pytest.fixture
def notebooks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "project" / "notebooks"
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.parametrize("place", PLACES)
def test_the_server_is_the_workspace_that_from_config_finds(
    server: LocalServer, notebooks: Path, tmp_path: Path, place: str
) -> None:
    from azureml.core import Workspace

    files, arguments, found = PLACES[place]
    for path, text in files.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    known = config.names(notebooks)
    server.answer_to(*known)
    workspace = Workspace.from_config(**arguments)
    assert (workspace.subscription_id, workspace.resource_group, workspace.name) == (
        f"sub-{found}",
        f"group-{found}",
        found,
    )
    if not arguments:
        assert known[0] == WorkspaceName(f"sub-{found}", f"group-{found}", found)
        path = config.find(notebooks)
        assert path is not None
        assert config.read(path) == known[0]


@pytest.mark.sdk("Workspace.write_config")
def test_config_written_by_write_config_is_read(workspace: Any, notebooks: Path) -> None:
    workspace.write_config()
    path = config.find(notebooks)
    assert path == notebooks / ".azureml" / "config.json"
    assert "Scope" in json.loads(path.read_text())
    assert config.read(path) == WorkspaceName(workspace.subscription_id, workspace.resource_group, workspace.name)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no valid JSON"),
        ("[" * 100_000, "no valid JSON"),
        ("[]", "no JSON object"),
        ("{}", "has no 'subscription_id'.* or the Scope"),
        ('{"subscription_id": "s", "resource_group": "g"}', "has no 'workspace_name'"),
        ('{"subscription_id": 1, "resource_group": "g", "workspace_name": "w"}', "must be names"),
        ('{"subscription_id": "s", "resource_group": "g", "workspace_name": "a/b"}', "must be names"),
        ('{"subscription_id": "s", "resource_group": "g", "workspace_name": "a\\u001b[2J"}', "must be names"),
        ('{"Scope": "/subscriptions/s"}', "no resource id of a workspace.*write_config"),
        ('{"Scope": ["x"]}', "no resource id of a workspace"),
    ],
)
def test_config_invalid_is_refused_with_a_reason(notebooks: Path, text: str, words: str) -> None:
    path = notebooks / "config.json"
    path.write_text(text)
    with pytest.raises(config.ConfigError, match=words) as refused:
        config.names(notebooks)
    assert str(path) in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1


def test_config_search_ignores_other_json_environments_and_far_folders(notebooks: Path) -> None:
    (notebooks / "config.json").write_text(portal("one"))
    for place, text in {
        "data.json": "[1, 2]",
        "broken.json": "{",
        "large.json": json.dumps({**json.loads(portal("large")), "data": "x" * 10_000}),
        ".git/config.json": portal("git"),
        "venv/share/config.json": portal("venv"),
        "a/b/c/near.json": portal("near"),
        "a/b/c/d/far.json": portal("far"),
    }.items():
        (notebooks / place).parent.mkdir(parents=True, exist_ok=True)
        (notebooks / place).write_text(text)
    (notebooks / "venv" / "pyvenv.cfg").touch()
    (notebooks / "loop").symlink_to(notebooks)
    assert [name.name for name in config.names(notebooks)] == ["one", "near"]
