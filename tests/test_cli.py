"""The command line, as a person uses it: real processes, their words and exit codes."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from azureml_local.client.instance import LocalServer
from azureml_local.storage.folder import StateFolder
from azureml_local.storage.trees import seal


class Shell:
    """Commands in one folder, with a state folder of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.state = folder / ".azureml-local"

    def __call__(self, *words: str, code: int = 0, **variables: str) -> str:
        environment = {k: v for k, v in os.environ.items() if not k.startswith("AZUREML_LOCAL_STATE")} | variables
        done = subprocess.run(
            [sys.executable, "-m", "azureml_local", *words],
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == code, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done.stdout + done.stderr

    @property
    def server(self) -> LocalServer:
        found = LocalServer.find(StateFolder(self.state))
        assert found is not None
        return found


def still_there(family: list[psutil.Process]) -> list[psutil.Process]:
    return [member for member in family if member.is_running() and member.status() != psutil.STATUS_ZOMBIE]


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    (tmp_path / "project").mkdir()
    made = Shell(tmp_path / "project")
    yield made
    made("down")


def test_up_status_env_down(shell: Shell) -> None:
    assert "is up at https://localhost:" in shell("up", "--port", "0")
    assert "up already" in shell("up")
    assert json.loads((shell.folder / "config.json").read_text())["workspace_name"] == "azureml-local"
    assert "MNIST" in shell("status")
    exported = shell("env")
    assert "export MSI_ENDPOINT=http://localhost:" in exported
    shell("down")
    assert "Nothing is running" in shell("status", code=3)
    assert "Nothing is running" in shell("env", code=1)
    assert "Nothing is running" in shell("down")


def test_a_port_that_is_taken_is_replaced_and_the_choice_remembered(shell: Shell) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        shell("up", "--port", str(taken.getsockname()[1]))
        first = shell.server.instance.api_port
        assert first != taken.getsockname()[1]
    shell("down")
    shell("up")
    assert shell.server.instance.api_port == first


@pytest.mark.case("disk-trouble")
def test_a_second_server_on_the_same_folder_is_refused_in_a_sentence(shell: Shell) -> None:
    shell("up", "--port", "0")
    assert "Another server is running on" in shell("serve", code=1)


def test_run_gives_a_command_the_workspace_and_its_exit_code(shell: Shell) -> None:
    script = "import os, sys; print(os.environ['MSI_ENDPOINT']); sys.exit(7)"
    assert "http://localhost:" in shell("run", "--", sys.executable, "-c", script, code=7)
    assert LocalServer.find(StateFolder(shell.state)) is None
    assert "no-such-command" in shell("run", "--", "no-such-command", code=1)


def test_an_ephemeral_workspace_is_gone_afterwards(shell: Shell) -> None:
    script = "import os; print(os.environ['SSL_CERT_FILE'])"
    shown = shell("run", "--ephemeral", "--", sys.executable, "-c", script)
    (trusted,) = [Path(line) for line in shown.splitlines() if line.endswith("trusted.pem")]
    assert not trusted.parent.exists()


def test_reset_deletes_after_a_question(shell: Shell) -> None:
    shell("up", "--port", "0")
    first = shell.server.status()
    shared = StateFolder(shell.state).datasets / "flow-content"
    shared.mkdir(parents=True)
    (shared / "file").touch()
    seal(shared)
    shell("reset", "--yes")
    assert not shell.state.exists()
    assert "nothing to delete" in shell("reset", "--yes")
    shell("up", "--port", "0")
    assert shell.server.status()["studio"] != first["studio"]


def test_a_state_folder_that_cannot_be_made_is_said_in_a_sentence(shell: Shell) -> None:
    (shell.folder / "file").write_text("in the way")
    said = shell("up", "--state", str(shell.folder / "file" / "state"), code=1)
    assert "can't be written" in said
    assert "--state" in said


def test_a_broken_database_is_said_in_a_sentence(shell: Shell) -> None:
    shell.state.mkdir()
    (shell.state / "workspace.sqlite3").write_bytes(b"this is no database, however one looks at it" * 100)
    assert "The database of this workspace is damaged" in shell("up", code=1)


def test_a_config_that_cannot_be_read_is_said_in_a_sentence(shell: Shell) -> None:
    (shell.folder / "config.json").write_text("{")
    assert "no valid JSON" in shell("up", "--port", "0", code=1)
    (shell.folder / "config.json").write_text("{}")
    assert "has no 'subscription_id'" in shell("run", "--", "true", code=1)
    assert LocalServer.find(StateFolder(shell.state)) is None


def test_sigterm_ends_the_command_and_the_server_that_run_started(shell: Shell, wait_for: Callable[..., Any]) -> None:
    shell("up", "--port", "0")
    shell("down")
    command = [sys.executable, "-m", "azureml_local", "run", "--", sys.executable, "-c", "import time; time.sleep(600)"]
    running = subprocess.Popen(command, cwd=shell.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_for(
        lambda: len(psutil.Process(running.pid).children()) >= 2 and LocalServer.find(StateFolder(shell.state)), 60
    )
    family = psutil.Process(running.pid).children(recursive=True)
    running.terminate()
    assert running.wait(60) == 143
    assert still_there(family) == []


def test_ctrl_c_however_often_leaves_nothing_of_an_ephemeral_workspace(
    shell: Shell, tmp_path: Path, wait_for: Callable[..., Any]
) -> None:
    rest = tmp_path / "temporary"
    rest.mkdir()
    command = [sys.executable, "-m", "azureml_local", "run", "--ephemeral", "--", "sleep", "600"]
    with (tmp_path / "said").open("wb") as said:
        running = subprocess.Popen(
            command,
            cwd=shell.folder,
            env={**os.environ, "TMPDIR": str(rest)},
            stdout=said,
            stderr=said,
            start_new_session=True,
        )
    wait_for(lambda: len(psutil.Process(running.pid).children()) >= 2, 60)
    family = psutil.Process(running.pid).children(recursive=True)
    deadline = time.monotonic() + 60
    while running.poll() is None:
        assert time.monotonic() < deadline
        os.killpg(running.pid, signal.SIGINT)  # as a terminal does, to all that run in it
        time.sleep(0.02)
    assert "Traceback" not in (tmp_path / "said").read_text()
    assert list(rest.iterdir()) == []
    assert still_there(family) == []


SUBMIT = """
import sys
from azureml.core import Environment, Experiment, ScriptRunConfig, Workspace
from azureml.core.compute import AmlCompute, ComputeTarget
workspace = Workspace.from_config()
shape = AmlCompute.provisioning_configuration(vm_size="STANDARD_D2_V2", max_nodes=1)
compute = ComputeTarget.create(workspace, "survivor", shape)
here = Environment("here")
here.python.user_managed_dependencies = True
for script in ("long.py", "short.py"):
    run = Experiment(workspace, "survives").submit(
        ScriptRunConfig("source", script, compute_target=compute, environment=here))
print("submitted")
"""

LOOK = """
from azureml.core import Experiment, Workspace
runs = list(Experiment(Workspace.from_config(), "survives").get_runs())
for run in runs:
    run.wait_for_completion(raise_on_error=False)
    print("ended", run.get_status(), run.get_metrics())
"""


@pytest.mark.case("lost-connections")
@pytest.mark.slow
def test_a_job_and_a_queue_outlive_a_server_that_is_killed(shell: Shell) -> None:
    source = shell.folder / "source"
    source.mkdir()
    (source / "long.py").write_text(
        "import time\nfrom azureml.core import Run\nrun = Run.get_context()\n"
        "for step in range(12):\n    run.log('step', step)\n    time.sleep(1)\n"
    )
    (source / "short.py").write_text("print('my turn')")
    shell("up", "--port", "0")
    assert "submitted" in shell("run", "--", sys.executable, "-W", "ignore", "-c", SUBMIT)
    server = shell.server
    first = server.status()["unfinished"][0]["run_id"]
    deadline = time.monotonic() + 60
    while "step" not in server.describe_run(first)["metrics"]:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    killed = psutil.Process(server.instance.pid)
    killed.kill()
    killed.wait(10)
    shell("up")
    assert shell.server.instance.api_port == server.instance.api_port
    ended = shell("run", "--", sys.executable, "-W", "ignore", "-c", LOOK)
    assert "ended Completed {'step': [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]}" in ended
    assert ended.count("ended Completed") == 2


def test_tutorial_says_where_there_is_no_notebook(shell: Shell) -> None:
    assert "There is no notebook" in shell("tutorial", code=1)


def test_version(shell: Shell) -> None:
    import azureml_local

    assert shell("--version").strip() == azureml_local.__version__
