"""The command line, as a person uses it: real processes, their words and exit codes."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
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
            errors="surrogateescape",
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


def test_commands_up_status_env_and_down(shell: Shell) -> None:
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


def free_below() -> socket.socket:
    """A socket that listens on a port, the one below it being free."""
    while True:
        taken = socket.create_server(("127.0.0.1", 0))
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", taken.getsockname()[1] - 1)):
            return taken
        taken.close()


def test_a_port_that_was_asked_for_and_is_taken_is_refused(shell: Shell) -> None:
    with free_below() as taken:
        port = taken.getsockname()[1]
        said = shell("up", "--port", str(port), code=1)
        assert f"azureml-local: Port {port} is used by another program." in said
        assert said.count("azureml-local:") == 1
        assert "sign-in and pages" in shell("up", "--port", str(port - 1), code=1)
    assert LocalServer.find(StateFolder(shell.state)) is None


def test_a_port_of_last_time_that_is_taken_is_replaced_with_a_notice(shell: Shell) -> None:
    shell("up", "--port", "0")
    first = shell.server.instance.api_port
    assert "for another --port" in shell("up", "--port", str(first + 2), code=1)
    shell("down")
    with socket.create_server(("127.0.0.1", first)):
        assert f"Another program uses port {first}" in shell("up")
        second = shell.server.instance.api_port
        assert second != first
    shell("down")
    shell("up")
    assert shell.server.instance.api_port == second


@pytest.mark.parametrize(
    "name",
    ["ä" * 60, "a b", "100%", "what?", "#1", "'\"\\", os.fsdecode(b"\xff\xfe")],
    ids=["umlauts", "blank", "percent", "question", "hash", "quotes", "no-utf-8"],
)
def test_a_workspace_works_in_a_folder_of_any_name(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name / "project"
    folder.mkdir(parents=True)
    shell = Shell(folder)
    ask = (
        "from azureml.core import Experiment, Workspace\n"
        "run = Experiment(Workspace.from_config(), 'e').start_logging(snapshot_directory=None)\n"
        "run.log('x', 1)\nrun.complete()\nprint(run.get_metrics())"
    )
    shell("up", "--port", "0")
    try:
        assert "{'x': 1}" in shell("run", "--", sys.executable, "-W", "ignore", "-c", ask)
        shell("status")
        shell("doctor")
        shell("backup", "backup.tar.gz")
    finally:
        shell("down")
    shell("restore", "backup.tar.gz", "--state", "other")


@pytest.mark.case("disk-trouble")
def test_a_second_server_on_the_same_folder_is_refused_in_a_sentence(shell: Shell) -> None:
    shell("up", "--port", "0")
    assert "Another server is running on" in shell("serve", code=1)


def test_run_gives_a_command_the_workspace_and_its_exit_code(shell: Shell) -> None:
    script = "import os, sys; print(os.environ['MSI_ENDPOINT']); sys.exit(7)"
    assert "http://localhost:" in shell("run", "--", sys.executable, "-c", script, code=7)
    assert LocalServer.find(StateFolder(shell.state)) is None
    assert "no-such-command" in shell("run", "--", "no-such-command", code=1)


def test_run_finds_the_python_that_has_the_sdk(shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ask = ("run", "--", "python", "-c", "import sys; print(sys.executable)")
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.delenv("VIRTUAL_ENV", raising=False)
    assert sys.executable in shell(*ask)
    other = tmp_path / "other"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(other)], check=True)
    monkeypatch.setenv("VIRTUAL_ENV", str(other))
    monkeypatch.setenv("PATH", f"{other}/bin:/usr/bin:/bin")
    assert f"{other}/bin/python" in shell(*ask)


def begin_run(shell: Shell, *words: str) -> subprocess.Popen[str]:
    """`azureml-local run`, whose command prints a line and waits for another."""
    script = "print('begun', flush=True); input()"
    begun = subprocess.Popen(
        [sys.executable, "-m", "azureml_local", "run", *words, "--", sys.executable, "-c", script],
        cwd=shell.folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert begun.stdout is not None
    assert begun.stdout.readline() == "begun\n"
    return begun


def end_run(run: subprocess.Popen[str]) -> None:
    run.communicate("\n", timeout=60)
    assert run.returncode == 0


@pytest.mark.parametrize("killed", [False, True])
def test_a_server_lasts_until_the_last_run_that_uses_it_has_ended(
    shell: Shell, wait_for: Callable[..., Any], killed: bool
) -> None:
    first = begin_run(shell)
    pid = shell.server.instance.pid
    served = psutil.Process(pid)
    second = begin_run(shell)
    if killed:
        first.kill()
        first.communicate(timeout=60)
    else:
        end_run(first)
    assert shell.server.instance.pid == pid
    shell("status")
    end_run(second)
    assert LocalServer.find(StateFolder(shell.state)) is None
    assert still_there([served]) == []


def test_up_keeps_a_server_that_a_run_has_started(shell: Shell) -> None:
    begun = begin_run(shell)
    assert "up already" in shell("up")
    end_run(begun)
    shell("status")


def test_of_several_up_at_once_one_starts_the_server(shell: Shell) -> None:
    (shell.folder / "config.json").write_text(
        json.dumps({"subscription_id": "0", "resource_group": "g", "workspace_name": "w"})
    )
    command = [sys.executable, "-m", "azureml_local", "up", "--port", "0"]
    ups = [subprocess.Popen(command, cwd=shell.folder, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    said = [up.communicate(timeout=120)[0] for up in ups]
    assert [up.returncode for up in ups] == [0] * 4
    assert sum("It is up already" in text for text in said) == 3
    address = shell.server.instance.endpoints.api
    assert all(address in text for text in said)


def test_up_while_a_server_ends_starts_the_next_one(shell: Shell, wait_for: Callable[..., Any]) -> None:
    shell("up", "--port", "0")
    first = shell.server.instance.pid
    down = subprocess.Popen([sys.executable, "-m", "azureml_local", "down"], cwd=shell.folder)
    wait_for(lambda: (found := LocalServer.find(StateFolder(shell.state))) is None or found.instance.ending)
    shell("up")
    assert down.wait(60) == 0
    assert shell.server.instance.pid != first
    shell("status")


def test_a_server_whose_state_folder_is_removed_ends(shell: Shell, wait_for: Callable[..., Any]) -> None:
    shell("up", "--port", "0")
    served = psutil.Process(shell.server.instance.pid)
    shutil.rmtree(shell.state)
    wait_for(lambda: not still_there([served]), 60)
    shell("up", "--port", "0")


def test_process_with_a_killed_servers_id_is_not_taken_for_a_server(shell: Shell, wait_for: Callable[..., Any]) -> None:
    shell("up", "--port", "0")
    killed = psutil.Process(shell.server.instance.pid)
    record = StateFolder(shell.state).instance.read_text()
    killed.kill()
    wait_for(lambda: not still_there([killed]))
    other = subprocess.Popen([sys.executable, "-c", "input()", "azureml_local"], stdin=subprocess.PIPE)
    try:
        StateFolder(shell.state).instance.write_text(json.dumps(json.loads(record) | {"pid": other.pid}))
        assert "Nothing is running" in shell("down")
        assert other.poll() is None
    finally:
        other.communicate(b"\n")


def test_an_ephemeral_workspace_is_gone_afterwards(shell: Shell) -> None:
    script = "import os; print(os.environ['SSL_CERT_FILE'])"
    shown = shell("run", "--ephemeral", "--", sys.executable, "-c", script)
    (trusted,) = [Path(line) for line in shown.splitlines() if line.endswith("trusted.pem")]
    assert not trusted.parent.exists()


def test_reset_deletes_after_confirmation(shell: Shell) -> None:
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


def test_reset_refuses_a_folder_that_is_no_workspace(shell: Shell) -> None:
    (shell.state / "tls").mkdir(parents=True)
    (shell.state / "tls" / "own.pem").write_text("not ours")
    assert "holds no workspace" in shell("reset", "--yes", code=1)
    assert (shell.state / "tls" / "own.pem").exists()


def test_reset_leaves_other_files_and_what_a_link_points_at(shell: Shell, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    shell.state.mkdir()
    (shell.state / "blobs").symlink_to(disk)
    shell("up", "--port", "0")
    shell("down")
    (disk / "own").write_text("")
    (shell.state / "notes.txt").write_text("mine")
    said = shell("reset", "--yes")
    assert "notes.txt" in said
    assert str(disk) in said
    assert [path.name for path in shell.state.iterdir()] == ["notes.txt"]
    assert (disk / "own").exists()


def without_rights(*words: str) -> list[str]:
    """A command whose root is bound by modes, as every other user is."""
    dropped = "-dac_override,-dac_read_search,-fowner"
    root = ["setpriv", f"--bounding-set={dropped}", f"--inh-caps={dropped}"] if os.geteuid() == 0 else []
    return [*root, sys.executable, "-m", "azureml_local", *words]


def refused(folder: Path, *words: str, **variables: str) -> str:
    environment = {**os.environ, **variables}
    done = subprocess.run(
        without_rights(*words), cwd=folder, env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr


@pytest.mark.case("disk-trouble")
def test_file_unreadable_or_unwritable_is_named_in_the_error(shell: Shell, tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)
    said = refused(closed, "up", "--state", str(shell.state))
    assert f"{closed / 'config.json'} can't be written" in said
    shell("up", "--port", "0", AZUREML_LOCAL_CACHE=str(tmp_path / "cache"))
    shell("down")
    said = refused(shell.folder, "doctor", AZUREML_LOCAL_CACHE=str(closed))
    assert "caches" in said
    shell.state.chmod(0o500)
    for path in (shell.state / "workspace.sqlite3", shell.state / "server.log"):
        path.chmod(0o400)
    try:
        assert f"{shell.state / 'server.log'} can't be read or written" in refused(shell.folder, "up")
        examined = refused(shell.folder, "doctor")
        assert "damaged" not in examined
        assert "sound" in examined
        shell.state.chmod(0o000)
        for command in ("up", "status", "down", "env", "logs", "doctor"):
            assert str(shell.state) in refused(shell.folder, command).replace("\n", "").replace(" ", "")
    finally:
        shell.state.chmod(0o700)
        for path in (shell.state / "workspace.sqlite3", shell.state / "server.log"):
            path.chmod(0o600)


def test_state_folder_that_cannot_be_created_is_a_one_line_error(shell: Shell) -> None:
    (shell.folder / "file").write_text("in the way")
    said = shell("up", "--state", str(shell.folder / "file" / "state"), code=1)
    assert "can't be written" in said
    assert "--state" in said


def test_database_broken_is_a_one_line_error(shell: Shell) -> None:
    shell.state.mkdir()
    (shell.state / "workspace.sqlite3").write_bytes(b"this is no database, however one looks at it" * 100)
    assert "The database of this workspace is damaged" in shell("up", code=1)


def test_config_unreadable_is_a_one_line_error(shell: Shell) -> None:
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


def test_tutorial_without_a_notebook_is_a_one_line_error(shell: Shell) -> None:
    assert "There is no notebook" in shell("tutorial", code=1)


@pytest.mark.parametrize("text", ["{", "", "\udcff"])
def test_tutorial_of_a_file_that_is_no_notebook_is_a_one_line_error(shell: Shell, text: str) -> None:
    (shell.folder / "a.ipynb").write_bytes(os.fsencode(text))
    assert "is no notebook" in shell("tutorial", "a.ipynb", "--environments", "host", code=1)


def test_file_that_cannot_be_created_is_a_one_line_error(shell: Shell) -> None:
    shell("up", "--port", "0")
    assert "No such file or directory" in shell("backup", "no/such/folder/file", code=1)


def test_version_option_prints_the_version(shell: Shell) -> None:
    import azureml_local

    assert shell("--version").strip() == azureml_local.__version__
