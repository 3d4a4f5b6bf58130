"""The kernel "Azure ML (local)", started by Jupyter's own client as a notebook starts it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import KernelManager

from azureml_local.cli import kernel
from azureml_local.client.instance import LocalServer
from azureml_local.storage.folder import StateFolder

pytestmark = pytest.mark.slow  # a kernel takes seconds to start


@dataclass
class Notebook:
    """What a notebook has: its folder and its kernel."""

    folder: Path
    manager: KernelManager
    client: BlockingKernelClient

    def run(self, code: str) -> str:
        """What a cell prints; what it raises is an error here too."""
        said: list[str] = []

        def hear(message: dict[str, Any]) -> None:
            if message["msg_type"] == "stream" and message["content"]["name"] == "stdout":
                said.append(message["content"]["text"])

        reply = self.client.execute_interactive(code, output_hook=hear, timeout=60)
        assert reply["content"]["status"] == "ok", reply["content"]
        return "".join(said)


@dataclass
class House:
    """A state folder, and a Jupyter that has the kernel for it."""

    root: Path
    installed: str

    @property
    def state(self) -> StateFolder:
        return StateFolder(self.root / "state")

    @property
    def server(self) -> LocalServer:
        found = LocalServer.find(self.state)
        assert found is not None
        return found

    def start(self, folder: str, config: str | None = None) -> tuple[KernelManager, Path]:
        place = self.root / folder
        place.mkdir()
        if config is not None:
            (place / "config.json").write_text(config)
        manager = KernelManager(kernel_name=kernel.NAME)
        # As from a shell that knows of no workspace, or of another one than this kernel's.
        manager.start_kernel(cwd=str(place), env={**os.environ, "ARM_CLOUD_METADATA_URL": "https://localhost:9/none"})
        return manager, place

    def open(self, folder: str, config: str | None = None) -> Notebook:
        return self.connect(*self.start(folder, config))

    @staticmethod
    def connect(manager: KernelManager, place: Path) -> Notebook:
        client = manager.client()
        client.start_channels()
        client.wait_for_ready(timeout=60)
        return Notebook(place, manager, client)


def command(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "azureml_local", *words],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=60,
    )


def close(notebook: Notebook) -> None:
    notebook.client.stop_channels()
    notebook.manager.shutdown_kernel(now=True)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    root = tmp_path_factory.mktemp("kernel")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("DATA", "CONFIG", "RUNTIME"):
            patch.setenv(f"JUPYTER_{name}_DIR", str(root / f"jupyter-{name.lower()}"))
        done = command("kernel", "install", "--state", str(root / "state"))
        assert done.returncode == 0, done.stderr
        made = House(root, done.stdout)
        yield made
        command("down", "--state", str(made.state.root))


@pytest.fixture(scope="module")
def notebook(house: House) -> Iterator[Notebook]:
    opened = house.open("notebooks")
    yield opened
    close(opened)


def test_the_kernel_connects_to_the_local_workspace(notebook: Notebook) -> None:
    said = notebook.run("from azureml.core import Workspace; ws = Workspace.from_config(); print(ws.name, ws.location)")
    assert said.split() == ["azureml-local", "local"]


def test_kernel_runs_in_the_python_that_installed_it(notebook: Notebook) -> None:
    assert notebook.run("import sys; print(sys.executable)").strip() == sys.executable


def test_kernel_install_prints_its_path_and_writes_no_secret(house: House, notebook: Notebook) -> None:
    place = Path(KernelSpecManager().get_kernel_spec(kernel.NAME).resource_dir)
    assert str(place) in house.installed
    assert str(house.state.root) in house.installed
    text = (place / "kernel.json").read_text()
    assert json.loads(text)["display_name"] == "Azure ML (local)"
    secrets = json.loads((house.state.root / "secrets.json").read_text())
    assert len(secrets) >= 4
    assert not [name for name, value in secrets.items() if value in text]
    # Nor is it on the command line, which any user of the machine can read.
    words = psutil.Process(notebook.manager.provisioner.pid).cmdline()
    assert "ipykernel_launcher" in words
    assert not [name for name, value in secrets.items() if value in " ".join(words)]


def test_kernel_interrupt_stops_only_the_cell(house: House, notebook: Notebook) -> None:
    before = house.server.instance
    notebook.run("kept = 42")
    asked = notebook.client.execute("print('asleep'); import time; time.sleep(60)")
    while notebook.client.get_iopub_msg(timeout=30)["msg_type"] != "stream":
        pass
    began = time.monotonic()
    notebook.manager.interrupt_kernel()
    reply = notebook.client.get_shell_msg(timeout=30)
    assert reply["parent_header"]["msg_id"] == asked
    assert reply["content"]["ename"] == "KeyboardInterrupt"
    assert time.monotonic() - began < 10
    assert notebook.run("print(kept)").strip() == "42"
    assert house.server.instance == before


def test_kernel_restart_uses_the_same_server(house: House, notebook: Notebook) -> None:
    before = house.server.instance
    notebook.run("gone = True")
    notebook.manager.restart_kernel(now=False)
    notebook.client.wait_for_ready(timeout=60)
    said = notebook.run("import os; print('gone' in globals(), os.environ['MSI_ENDPOINT'])")
    assert said.split() == ["False", f"{before.endpoints.plain}/msi/token"]
    assert house.server.instance == before


def test_kernel_with_a_broken_config_starts_and_the_cell_fails(house: House) -> None:
    opened = house.open("broken", config="{")
    try:
        said = opened.run(
            "from azureml.core import Workspace\ntry: Workspace.from_config()\nexcept Exception as e: print(repr(e))"
        )
        assert "JSON" in said
    finally:
        close(opened)


def test_without_a_server_there_is_no_kernel(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file, not a folder")
    done = command("kernel", "run", "--state", str(tmp_path / "state"), "-f", str(tmp_path / "connection.json"))
    assert done.returncode == 1
    assert "can't be written" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_server_that_kernels_started_outlives_them_until_down(house: House) -> None:
    command("down", "--state", str(house.state.root))
    # At once, as when a browser opens again with two notebooks.
    started = [house.start("first"), house.start("second")]
    opened = [house.connect(*each) for each in started]
    ports = {each.run("import os; print(os.environ['MSI_ENDPOINT'])") for each in opened}
    assert len(ports) == 1
    close(opened[0])
    # While a kernel lives: a server that were its child would stay a zombie until the kernel ends.
    process = psutil.Process(house.server.instance.pid)
    kernels = {each.manager.provisioner.pid for each in opened}
    assert process.ppid() not in kernels
    assert command("down", "--state", str(house.state.root)).returncode == 0
    assert not psutil.pid_exists(process.pid) or process.status() == psutil.STATUS_ZOMBIE
    close(opened[1])


def test_kernel_uninstall_removes_the_kernel(tmp_path: Path) -> None:
    variables = {"JUPYTER_DATA_DIR": str(tmp_path / "data")}
    place = tmp_path / "data" / "kernels" / kernel.NAME
    assert str(place) in command("kernel", "install", "--state", str(tmp_path / "state"), **variables).stdout
    assert (place / "kernel.json").is_file()
    assert str(place) in command("kernel", "uninstall", **variables).stdout
    assert not place.exists()
    assert "not installed" in command("kernel", "uninstall", **variables).stdout
