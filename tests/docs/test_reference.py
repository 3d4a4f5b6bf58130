"""Every flag, environment variable, route and fixture is documented."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from azureml_local.cli.app import app
from azureml_local.client.environment import client_variables
from azureml_local.endpoints import Endpoints
from azureml_local.names import WorkspaceName
from azureml_local.runtime.variables import job_variables
from azureml_local.trust import Trust
from tests.docs.blocks import ROOT

VARIABLES = (ROOT / "docs" / "reference" / "variables.md").read_text("utf-8")
NAMED = re.compile(r"(?:AZUREML|AZURE|MSI|ARM|HBI|APPSETTING|UV|PIP|PYENV)_[A-Z_]+")
# Made by the SDK or by uv's own rules; we only take them out of what is passed on, or say no word of progress.
# Of uv and of the SDK, where this package sets them.
NOT_OURS = {"UV_NO_PROGRESS": "installer.py", "AZUREML_OUTPUT_DIRECTORY": "job.py"}


@pytest.fixture(scope="module")
def reference() -> Iterator[Any]:
    sys.path.insert(0, str(ROOT / "scripts" / "site"))
    try:
        import reference as made

        yield made
    finally:
        sys.path.remove(str(ROOT / "scripts" / "site"))


def commands(command: Any, name: str) -> Iterator[tuple[str, Any]]:
    yield name, command
    for word, inner in getattr(command, "commands", {}).items():
        yield from commands(inner, f"{name} {word}")


def test_every_command_and_option_says_what_it_does(reference: Any) -> None:
    page = reference.commands()
    silent = []
    for name, command in commands(typer.main.get_command(app), "azureml-local"):
        if command.hidden:
            continue
        silent += [name] if not command.help else []
        silent += [f"{name} {p.opts[-1]}" for p in command.params if not getattr(p, "help", "")]
        assert f"`{name}`" in page or name == "azureml-local"
        assert [p.opts[-1] for p in command.params if p.opts[-1].startswith("-") and p.opts[-1] not in page] == []
    assert silent == []


def test_every_option_and_fixture_of_the_plugin_says_what_it_does(reference: Any) -> None:
    assert {option.names()[0] for option in reference.options()} >= {"--azureml-local"}
    assert all(option.attrs().get("help") for option in reference.options())
    assert set(reference.fixtures()) == {"azureml_local_server"}
    assert all(reference.fixtures().values())


def test_every_route_is_on_the_page_of_routes(reference: Any) -> None:
    page = reference.routes()
    rows = set(re.findall(r"^\| ([A-Z, ]+) \| `([^`]+)` \|", page, re.MULTILINE))
    found = list(reference.all_routes())
    assert len(found) > 100
    for _, route in found:
        path = route.path.replace(reference.WORKSPACE_PATH, "{workspace}")
        assert (", ".join(sorted(route.methods)), path) in rows
    for service in {service for service, _ in found}:
        assert re.search(rf"^## {service}\n\n\w", page, re.MULTILINE), f"{service} says nothing of itself"


def test_every_variable_of_the_code_is_documented() -> None:
    found: dict[str, str] = {}
    for path in sorted((ROOT / "azureml_local").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and NAMED.fullmatch(node.value):
                found[node.value] = path.name
    assert len(found) > 25
    assert {name: where for name, where in found.items() if f"`{name}`" not in VARIABLES} == NOT_OURS


def test_every_variable_that_a_process_gets_is_documented() -> None:
    here = Path("x")
    ends, trust = Endpoints.at(1, 2), Trust(here, here)
    client = client_variables(
        ends,
        trust=trust,
        sign_in_secret="",
        sign_in_key="",
        client_folders=(here, here),
        workspace=WorkspaceName("s", "g", "w"),
        tracking_token="",
        inherited={"HTTP_PROXY": "http://p"},
    )
    job = job_variables(
        ends,
        trust=trust,
        workspace=WorkspaceName("s", "g", "w"),
        workspace_id="",
        experiment=("", ""),
        run_id="",
        token="",
        token_expiry="",
        sign_in_key="",
    )
    sections = re.split(r"^## ", VARIABLES, flags=re.MULTILINE)
    for variables, title in ((client, "What a client gets"), (job, "What a job gets")):
        (section,) = [text for text in sections if text.startswith(title)]
        assert [name for name in variables if f"`{name}`" not in section] == []


def test_no_variable_is_documented_that_nobody_reads() -> None:
    code = "".join(path.read_text("utf-8") for path in sorted((ROOT / "azureml_local").rglob("*.py")))
    code += (ROOT / "notebooks" / "img-classification-part1-training.ipynb").read_text("utf-8")
    named = set(re.findall(r"`([A-Z][A-Z_]+)`", VARIABLES)) | set(re.findall(r"`(no_proxy)`", VARIABLES))
    assert [name for name in sorted(named) if name not in code and name.upper() not in code] == []
