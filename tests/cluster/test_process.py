"""A job's process, and everything that it starts."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import psutil
import pytest

from azureml_local.cluster.process import JobProcess, describe_end


def spawn(folder: Path, script: str) -> JobProcess:
    return JobProcess.spawn(
        [sys.executable, "-c", script],
        cwd=folder,
        environment={"PATH": "/usr/bin:/bin"},
        log=folder / "log.txt",
        status_file=folder / "exit_status",
    )


def end(process: JobProcess) -> int:
    deadline = time.monotonic() + 20
    while not process.wait(0.1):
        assert time.monotonic() < deadline
    assert process.returncode is not None
    return process.returncode


@pytest.mark.parametrize(
    ("script", "code", "words"),
    [
        ("print('fine')", 0, "exited with status 0"),
        ("raise SystemExit(3)", 3, "exited with status 3"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", -9, "ended by the signal SIGKILL"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", -11, "ended by the signal SIGSEGV"),
    ],
)
def test_how_it_ended(tmp_path: Path, script: str, code: int, words: str) -> None:
    assert end(spawn(tmp_path, script)) == code
    assert words in describe_end(code)


def test_an_ended_group_is_known_by_its_signal(tmp_path: Path) -> None:
    process = spawn(tmp_path, "import time; time.sleep(600)")
    process.kill_group()
    assert end(process) == -9


def test_a_child_that_ignores_the_request_is_ended_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("azureml_local.cluster.process.TERMINATION_GRACE", 0.5)
    process = spawn(
        tmp_path,
        "import signal, subprocess, sys, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "deaf = 'import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(600)'\n"
        "subprocess.Popen([sys.executable, '-c', deaf])\n"
        "print('up', flush=True)\n"
        "time.sleep(600)",
    )
    while "up" not in (tmp_path / "log.txt").read_text():
        time.sleep(0.05)
    family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    process.terminate()
    assert not [member for member in family if member.is_running() and member.status() != psutil.STATUS_ZOMBIE]
    assert end(process) == -9


def test_a_server_that_was_started_in_between_learns_how_it_ended(tmp_path: Path) -> None:
    process = spawn(tmp_path, "import time; time.sleep(0.5); raise SystemExit(5)")
    again = JobProcess.attach(process.pid, process.started, tmp_path / "exit_status")
    assert not again.wait(0)
    assert end(process) == 5
    assert end(again) == 5


def test_another_process_with_the_same_number_is_left_alone(tmp_path: Path) -> None:
    process = spawn(tmp_path, "import time; time.sleep(600)")
    stranger = JobProcess.attach(process.pid, process.started - 100, tmp_path / "exit_status")
    stranger.kill_group()
    assert not process.wait(0.3)
    process.kill_group()
    assert end(process) == -9
