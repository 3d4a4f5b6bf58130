"""Jobs that don't behave, through the real SDK: each ends truthfully, leaves no process, and its log can be read."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

Start = Callable[..., Any]
WaitFor = Callable[..., Any]

MUCH = 64_000_000
# Sleeps of our own, told from all others by their length, those of another worker's tests too.
NAPS = {name: f"98765.{os.getpid()}{number}" for number, name in enumerate(("forked", "daemon", "deaf", "killed"), 1)}


@pytest.fixture(scope="module")
def four_nodes(workspace: Any) -> Any:
    from azureml.core.compute import AmlCompute, ComputeTarget

    configuration = AmlCompute.provisioning_configuration(vm_size="STANDARD_D2_V2", max_nodes=4)
    return ComputeTarget.create(workspace, "misbehaving", configuration)


@pytest.fixture
def start(experiment: Any, four_nodes: Any, here: Any, tmp_path: Path) -> Iterator[Start]:
    """Submit a command."""
    from azureml.core import ScriptRunConfig

    runs = []

    def submit(command: Any, **parts: Any) -> Any:
        folder = tmp_path / "source"
        folder.mkdir(exist_ok=True)
        parts = {"compute_target": four_nodes, "environment": here, **parts}
        runs.append(experiment.submit(ScriptRunConfig(str(folder), command=command, **parts)))
        return runs[-1]

    yield submit
    for run in runs:
        if run.get_status() not in ("Completed", "Failed", "Canceled"):
            run.cancel()


def end_of(run: Any, wait_for: WaitFor) -> tuple[str, str]:
    """A run's final status, and its error's message."""
    # The details, not the status: who reads those has seen the log, and the end needn't wait for him.
    details = wait_for(lambda: (d := run.get_details())["status"] in ("Completed", "Failed", "Canceled") and d, 90)
    return details["status"], ((details.get("error") or {}).get("error") or {}).get("message", "")


def log_of(run: Any, tmp_path: Path, name: str = "user_logs/std_log.txt") -> bytes:
    run.download_file(name, str(tmp_path / "log"))
    return (tmp_path / "log").read_bytes()


def asleep(*names: str) -> list[psutil.Process]:
    """The processes of these naps."""
    wanted = {NAPS[name] for name in names}
    return [p for p in psutil.process_iter(["cmdline"]) if wanted & set(p.info["cmdline"] or ())]


@pytest.mark.sdk("ScriptRunConfig.command", "Run.download_file", "Run.get_all_logs")
@pytest.mark.slow
def test_misbehaving_job_ends_with_the_right_status_and_leaves_no_process(
    start: Start, wait_for: WaitFor, tmp_path: Path
) -> None:
    deaf = start(f"trap '' TERM; echo deaf; sleep {NAPS['deaf']}")
    runs = {
        "forked": start(f"sleep {NAPS['forked']} & sleep {NAPS['forked']} & echo forked"),
        "daemon": start(f"env -i setsid -f sleep {NAPS['daemon']}; echo started; exit 3"),
        "by signal": start(f"sleep {NAPS['killed']} & kill -SEGV $$"),
    }
    wait_for(lambda: asleep("deaf"))
    deaf.cancel()
    assert end_of(runs["forked"], wait_for) == ("Completed", "")
    assert "exited with status 3" in end_of(runs["daemon"], wait_for)[1]
    assert "SIGSEGV" in end_of(runs["by signal"], wait_for)[1]
    assert not asleep("forked", "daemon", "killed")
    runs = {
        "no newline": start("printf no-newline"),
        "bytes": start(r"printf 'caf\351 \377\n'; printf 'gr\303\274\303\237e'"),
        "full disk": start("ulimit -f 20; yes"),
        "odd names": start(
            r"mkdir -p outputs; echo 1 > outputs/good; echo 2 > $'outputs/b\377d'; echo 3 > $'outputs/a\nb'"
        ),
        "pipe as status": start('rm "$AZUREML_LOCAL_JOB"; mkfifo "$AZUREML_LOCAL_JOB"; exit 3'),
        "no rights": start(
            "mkdir -p outputs/deep; echo 1 > outputs/deep/model; chmod 0 outputs/deep/model outputs/deep outputs"
        ),
        "odd kinds": start(
            "echo 1 > outputs/good; mkfifo outputs/pipe; ln -s /etc outputs/link; rmdir logs; ln -s /etc logs"
        ),
        "no folder": start('rm -rf "$PWD"; echo gone'),
        "too long": start("echo " + "x" * 200_000),
    }
    assert end_of(runs["no newline"], wait_for) == ("Completed", "")
    assert log_of(runs["no newline"], tmp_path) == b"no-newline"
    assert end_of(runs["bytes"], wait_for) == ("Completed", "")
    [path] = [p for p in runs["bytes"].get_all_logs(str(tmp_path)) if p.endswith("std_log.txt")]
    assert Path(path).read_text() == "caf? ?\ngrüße"
    assert b"2 bytes" in log_of(runs["bytes"], tmp_path, "system_logs/local_node.txt")
    assert "SIGXFSZ" in end_of(runs["full disk"], wait_for)[1]
    assert log_of(runs["full disk"], tmp_path).startswith(b"y\ny\n")
    assert end_of(runs["odd names"], wait_for) == ("Completed", "")
    assert "outputs/good" in runs["odd names"].get_file_names()
    # In the run's warnings, which the SDK prints at its end.
    # A worker says of its own names, the server of those that no blob can have.
    warning = "".join(each["message"] for each in runs["odd names"].get_details()["warnings"])
    assert "could not be stored: 'outputs/b\\\\udcffd' (its name is not UTF-8)" in warning
    assert b"could not be stored" in log_of(runs["odd names"], tmp_path, "system_logs/local_node.txt")
    assert "exited with status 3" in end_of(runs["pipe as status"], wait_for)[1]
    assert end_of(runs["no rights"], wait_for) == ("Completed", "")
    assert "outputs/deep/model" in runs["no rights"].get_file_names()
    assert end_of(runs["odd kinds"], wait_for) == ("Completed", "")
    assert [name for name in runs["odd kinds"].get_file_names() if name[:4] in ("outp", "logs")] == ["outputs/good"]
    [warning] = [each["message"] for each in runs["odd kinds"].get_details()["warnings"]]
    assert warning.startswith("3 files of the job could not be stored")
    assert end_of(runs["no folder"], wait_for) == ("Completed", "")
    assert log_of(runs["no folder"], tmp_path) == b"gone\n"
    assert "can't be started: Argument list too long" in end_of(runs["too long"], wait_for)[1]
    assert end_of(deaf, wait_for)[0] == "Canceled"
    assert not asleep("deaf")


def test_log_of_great_length_is_kept_whole_without_being_held_in_memory(
    start: Start, wait_for: WaitFor, tmp_path: Path, server: Any
) -> None:
    run = start(f"yes 0123456789abcde | head -c {MUCH}")
    process = psutil.Process(server.instance.pid)
    before = process.memory_info().rss
    assert end_of(run, wait_for) == ("Completed", "")
    run.download_file("user_logs/std_log.txt", str(tmp_path / "log"))
    assert (tmp_path / "log").stat().st_size == MUCH
    assert process.memory_info().rss - before < MUCH / 2


@pytest.mark.sdk("Run.cancel", "Run.get_status")
@pytest.mark.slow
def test_run_cancelled_in_each_state_is_canceled(
    start: Start, workspace: Any, wait_for: WaitFor, tmp_path: Path
) -> None:
    from azureml.core import Dataset
    from azureml.core.compute import AmlCompute, ComputeTarget

    one = ComputeTarget.create(
        workspace, "cancelling", AmlCompute.provisioning_configuration(vm_size="STANDARD_D2_V2", max_nodes=1)
    )
    with socket.create_server(("127.0.0.1", 0)) as silent:  # it takes calls, and never answers
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        building = start("true", environment=never_built(address), compute_target=one)
        queued = start("true", compute_target=one)
        wait_for(lambda: building.get_status() == "Preparing")
        wait_for(lambda: queued.get_status() == "Queued")
        queued.cancel()
        assert queued.get_status() == "Canceled"
        building.cancel()
        building.cancel()
        assert end_of(building, wait_for)[0] == "Canceled"

        data = Dataset.File.from_files(f"http://{address}/x", validate=False).as_named_input("data").as_download()
        fetching = start(["ls", data], compute_target=one)
        wait_for(lambda: fetching.get_status() == "Starting")
        fetching.cancel()
        assert end_of(fetching, wait_for)[0] == "Canceled"

    running = start(f"sleep {NAPS['killed']}", compute_target=one)
    wait_for(lambda: asleep("killed"))
    running.cancel()
    assert end_of(running, wait_for)[0] == "Canceled"
    assert not asleep("killed")

    completed = start("true", compute_target=one)
    assert end_of(completed, wait_for) == ("Completed", "")
    completed.cancel()
    running.cancel()
    assert (completed.get_status(), running.get_status()) == ("Completed", "Canceled")


def never_built(address: str) -> Any:
    """An Environment whose package index doesn't answer."""
    from azureml.core import Environment
    from azureml.core.conda_dependencies import CondaDependencies

    environment = Environment("never-built")
    packages = CondaDependencies.create(pip_packages=["no-such-package"])
    packages.set_pip_option(f"--index-url http://{address}/simple")
    environment.python.conda_dependencies = packages
    return environment
