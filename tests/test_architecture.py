"""The house's own rules: who may import whom, how large a module may be, and that no key is in the repository."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "azureml_local"
MODULES = sorted(PACKAGE.rglob("*.py"))

# Each may import what stands to its right of it here, and itself; `descriptors`, `names`, `opendata` and `trust` know
# nobody.
ALLOWED = {
    "server": {
        *("server", "cluster", "workspace", "storage"),
        *("opendata", "environment", "config", "names", "trust", "descriptors", "processes"),
    },
    "cluster": {"cluster", "workspace", "storage", "names", "trust", "descriptors", "processes"},
    "workspace": {"workspace", "storage", "names"},
    "storage": {"storage"},
    "opendata": {"opendata"},
    "environment": {"names", "trust"},
    "descriptors": set(),
    "processes": {"storage"},
    "trust": set(),
    "names": set(),
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
    allowed = ALLOWED.get(part_of(path))
    if allowed is not None:
        assert imports(path) <= allowed


def test_the_rule_sees_what_it_forbids() -> None:
    assert "cluster" in imports(PACKAGE / "server" / "serve.py")
    assert "trust" in imports(PACKAGE / "server" / "tls.py")


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_modules_are_small(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 400


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
