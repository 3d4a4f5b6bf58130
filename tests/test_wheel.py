"""The wheel: a server that is installed from it has every file that the one in the repository has."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "azureml_local"

# Run in the wheel's own environment.
ASK = """
import httpx, pathlib, sys
import azureml_local
from azureml_local.client.instance import LocalServer
from azureml_local.server.studio import render
from azureml_local.server.studio.static_files import FILES
from azureml_local.storage.folder import StateFolder

assert pathlib.Path(azureml_local.__file__).is_relative_to(sys.prefix), azureml_local.__file__
for name in sys.argv[2:]:
    render.templates().get_template(name)
studio = LocalServer.find(StateFolder(pathlib.Path(sys.argv[1]))).status()["studio"]
pages = ["", *(f"static/{render.assets()}/{name}" for name in FILES)]
for page in pages:
    answer = httpx.get(f"{studio}/{page}", trust_env=False, timeout=60)
    print(answer.status_code, len(answer.content) > 0, page)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("wheel")
    # From a copy: a build leaves folders behind.
    source = tmp_path_factory.mktemp("source")
    listed = subprocess.run(
        ["git", "ls-files", "azureml_local", "pyproject.toml", "README.md", "LICENSE"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in listed.stdout.splitlines():
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    command = [sys.executable, "-m", "uv", "build", "--wheel", "--offline", "--no-build-isolation", "--python"]
    built = subprocess.run(
        [*command, sys.executable, "--out-dir", str(target), str(source)], capture_output=True, text=True
    )
    assert built.returncode == 0, built.stderr
    (made,) = target.glob("*.whl")
    return made


def test_the_wheel_holds_every_file_of_the_package(wheel: Path) -> None:
    listed = subprocess.run(["git", "ls-files", "azureml_local"], cwd=ROOT, capture_output=True, text=True, check=True)
    here = {name for name in listed.stdout.splitlines() if (ROOT / name).is_file()}
    assert len(here) > 200
    with zipfile.ZipFile(wheel) as archive:
        there = {name for name in archive.namelist() if name.startswith("azureml_local/")}
    assert here - there == set()


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a new virtual environment with the wheel; what that needs is this environment's own."""
    folder = tmp_path_factory.mktemp("venv") / "venv"
    uv = [sys.executable, "-m", "uv"]
    subprocess.run([*uv, "venv", "-q", "--python", sys.executable, str(folder)], check=True)
    made = folder / "bin" / "python"
    subprocess.run(
        [*uv, "pip", "install", "-q", "--no-deps", "--offline", "--python", str(made), str(wheel)], check=True
    )
    (packages,) = folder.glob("lib/python*/site-packages")
    # Its own .pth files, of which one is the checkout's, are not read then.
    (packages / "needs.pth").write_text(sysconfig.get_path("purelib"))
    return made


def test_an_installed_wheel_serves_every_static_file_and_template(python: Path, tmp_path: Path) -> None:
    command, state = [str(python), "-m", "azureml_local"], tmp_path / "state"
    subprocess.run([*command, "up", "--port", "0", "--state", str(state)], cwd=tmp_path, check=True)
    templates = [path.name for path in (PACKAGE / "server" / "studio" / "templates").iterdir()]
    try:
        asked = subprocess.run(
            [str(python), "-c", ASK, str(state), *templates], cwd=tmp_path, capture_output=True, text=True, timeout=120
        )
    finally:
        subprocess.run([*command, "down", "--state", str(state)], cwd=tmp_path, check=True)
    assert asked.returncode == 0, asked.stderr
    lines = asked.stdout.splitlines()
    assert len(lines) > len(list((PACKAGE / "server" / "studio" / "static").iterdir()))
    assert [line for line in lines if not line.startswith("200 True ")] == []
