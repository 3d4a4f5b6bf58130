"""The pages of the reference that are made from code: commands, pytest's options and fixtures, routes.

What has no description there fails tests/docs/test_reference.py, and not a reader.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from types import ModuleType

import pytest
import typer
from fastapi.routing import APIRoute
from typer.cli import get_docs_for_click

from azureml_local import pytest_plugin
from azureml_local.cli.app import app
from azureml_local.server.app import API, PLAIN
from azureml_local.server.blob import blobs
from azureml_local.server.context import WORKSPACE_PATH

PLUGIN = """# pytest

The plugin comes with azureml-local; nothing has to be switched on.
[Test my Azure ML code](../howto/test-my-code.md) shows its use.

## Options
"""
ROUTES = """# Routes

What the server answers, by the services that Azure names. `{workspace}` is the workspace's path: subscription,
resource group and name. Every other path answers 501, with its method and path;
[Operations of the SDK](../coverage.md) says what uses them. The blob service, `/{container}/{blob}`,
is Azure Storage's own protocol.
"""


def pages() -> dict[str, str]:
    return {
        "reference/commands.md": commands(),
        "reference/pytest.md": plugin(),
        "reference/routes.md": routes(),
    }


def commands() -> str:
    """Every command with its arguments and options, as `--help` has them."""
    command = typer.main.get_command(app)
    text = get_docs_for_click(obj=command, ctx=typer.Context(command), name="azureml-local", title="Commands")
    text = re.sub(r"\*\*Commands\*\*:\n\n(\*.*\n)+", "", text)  # its words are cut; the page's contents list them
    return text.replace("**Usage**:\n\n", "").replace("```console\n$ ", "```text\n")


def options() -> list[pytest.Argument]:
    """The options that the plugin adds to pytest."""
    parser = pytest.Parser(_ispytest=True)
    pytest_plugin.pytest_addoption(parser)
    return parser.getgroup("azureml-local").options


def fixtures() -> dict[str, str]:
    """The plugin's fixtures, and what each says of itself."""
    found = {}
    for name, value in vars(pytest_plugin).items():
        if type(value).__name__ == "FixtureFunctionDefinition":
            found[name] = inspect.cleandoc(value._get_wrapped_function().__doc__ or "")
    return found


def plugin() -> str:
    lines = [PLUGIN]
    for option in options():
        attributes = option.attrs()
        choices = f", one of {', '.join(attributes['choices'])}" if attributes.get("choices") else ""
        lines.append(f"* `{option.names()[0]}`{choices}: {attributes.get('help', '')}")
    lines += ["", "## Fixtures", ""]
    lines += [f"* `{name}`: {' '.join(said.split())}" for name, said in fixtures().items()]
    return "\n".join(lines) + "\n"


def all_routes() -> Iterator[tuple[str, APIRoute]]:
    """Every route that is part of the API document, with the name of its service."""
    for module in (*API, *PLAIN):
        for route in module.router.routes:
            if isinstance(route, APIRoute) and route.include_in_schema:
                yield module.__name__.rpartition(".")[2], route


def routes() -> str:
    lines, last = [ROUTES], ""
    for service, route in all_routes():
        if service != last:
            module = inspect.getmodule(route.endpoint)
            first = said_of(module)
            lines += ["", f"## {service}", "", first, "", "| method | path | operation |", "| --- | --- | --- |"]
            last = service
        path = route.path.replace(WORKSPACE_PATH, "{workspace}")
        lines.append(f"| {', '.join(sorted(route.methods))} | `{path}` | {route.summary or words(route.name)} |")
    lines += ["", "## blobs", "", said_of(blobs)]
    return "\n".join(lines) + "\n"


def said_of(module: ModuleType | None) -> str:
    """The first paragraph of a module's docstring, on one line."""
    return " ".join((inspect.getdoc(module) or "").split("\n\n")[0].replace("``", "`").split())


def words(name: str) -> str:
    return name.replace("_", " ").capitalize()
