"""The rules of the house: who may import whom, how large a module may be, and that no key is in the repository."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "azureml_local"
MODULES = sorted(PACKAGE.rglob("*.py"))

# Each part may import what stands to its right here, and itself. Every module belongs to a part.
ALLOWED = {
    "cli": {
        "client",
        "server",
        "cluster",
        "runtime",
        "workspace",
        "storage",
        "names",
        "trust",
        "endpoints",
        "processes",
    },
    "pytest_plugin": {"client"},
    "client": {"server", "storage", "names", "trust", "endpoints", "processes"},
    "server": {
        "cluster",
        "serving",
        "runtime",
        "workspace",
        "storage",
        "opendata",
        "names",
        "trust",
        "endpoints",
        "processes",
    },
    "cluster": {"runtime", "workspace", "storage", "names", "trust", "processes"},
    "serving": {"runtime", "workspace", "storage", "names", "trust", "processes"},
    "runtime": {"workspace", "storage", "names", "trust", "endpoints", "processes"},
    "workspace": {"storage", "names"},
    "processes": {"storage"},
    "storage": set(),
    "opendata": set(),
    "endpoints": {"names", "trust"},
    "trust": set(),
    "names": set(),
    "__init__": set(),
    "__main__": {"cli"},
}


# What all APIs use: no API itself.
SHARED = {"http", "access"}
# Of SDK v1's run configuration and description of a sweep, and found in no other thing.
WIRE_KEYS = {
    *("maxRunDurationSeconds", "dataReferences", "outputData", "nodeCount", "communicator", "Configuration"),
    *("dataLocation", "outputLocation", "additionalOptions", "pathOnCompute", "useDocker"),
    *("generator_config", "policy_config", "primary_metric_config", "platform_config", "parameter_space"),
}


def part_of(path: Path) -> str:
    relative = path.relative_to(PACKAGE)
    return relative.parts[0] if len(relative.parts) > 1 else relative.stem


def imports(path: Path) -> set[str]:
    """The parts of the package that a module imports."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = ["azureml_local", *path.relative_to(PACKAGE).parts[:-1]] if node.level else []
            base = base[: len(base) - node.level + 1] if node.level else base
            module = ".".join([*base, *([node.module] if node.module else [])])
            names = [f"{module}.{alias.name}" for alias in node.names] if module == "azureml_local" else [module]
        found |= {name.split(".")[1] for name in names if name.startswith("azureml_local.")}
    return found - {"__version__"}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_one_way(path: Path) -> None:
    part = part_of(path)
    assert imports(path) <= ALLOWED[part] | {part}


def test_import_rule_reports_forbidden_imports() -> None:
    assert "cluster" in imports(PACKAGE / "server" / "serve.py")
    assert "trust" in imports(PACKAGE / "server" / "access" / "certificates.py")


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_modules_are_small(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 400


@pytest.mark.parametrize(
    "path", sorted((PACKAGE / "server").rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE))
)
def test_no_api_imports_another(path: Path) -> None:
    own = path.relative_to(PACKAGE / "server").parts[0]
    if own in SHARED or own.endswith(".py"):
        return
    folders = {each.name for each in (PACKAGE / "server").iterdir() if each.is_dir()} - SHARED
    assert {api for api in folders - {own} if f"azureml_local.server.{api}" in path.read_text()} == set()


def test_the_edge_has_no_loose_modules() -> None:
    loose = {path.name for path in (PACKAGE / "server").glob("*.py")}
    assert loose <= {"__init__.py", "app.py", "serve.py", "context.py", "errors.py"}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_run_configuration_is_read_below_the_edge(path: Path) -> None:
    """Wire shapes end at the edge: what was submitted is read from its spec (workspace/jobs.py)."""
    if part_of(path) in ("cluster", "runtime", "workspace") or "studio" in path.parts:
        words = {
            node.value
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
        }
        assert not words & WIRE_KEYS


def test_the_workspace_knows_no_http_and_no_processes() -> None:
    forbidden = {"fastapi", "starlette", "uvicorn", "httpx", "subprocess", "psutil"}
    for path in MODULES:
        if part_of(path) in ("workspace", "storage"):
            tree = ast.parse(path.read_text())
            names = {
                alias.name.split(".")[0]
                for node in ast.walk(tree)
                if isinstance(node, ast.Import)
                for alias in node.names
            }
            names |= {(node.module or "").split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
            assert not names & forbidden, path


def test_no_private_key_is_in_the_repository() -> None:
    marker = "PRIVATE" + " KEY-----"
    for path in Path(__file__).parents[1].rglob("*"):
        inside = path.relative_to(Path(__file__).parents[1]).parts
        if (
            path.is_file()
            and not any(part.startswith((".", "__pycache__")) for part in inside)
            and path.stat().st_size < 1_000_000
        ):
            assert marker not in path.read_text("utf-8", "ignore"), path
