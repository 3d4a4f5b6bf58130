"""A job's process, and everything that it starts."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil
import pytest

from azureml_local.processes import identity_of
from azureml_local.runtime.process import JobProcess, describe_end, end_strays, marked
from azureml_local.storage import short_folders
from azureml_local.storage.clock import mark

# A process that has left its parents, its session and its group, and says nothing of its run in its environment.
DAEMON = """
import os, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        stay = "import time; print('daemon', flush=True); time.sleep(600)"
        os.execve(sys.executable, [sys.executable, "-c", stay], {})
    os._exit(0)
os.wait()
while "daemon" not in open("log.txt").read():
    time.sleep(0.02)
"""


def waiting(folder: Path, script: str, held: Sequence[int] = ()) -> JobProcess:
    return JobProcess.spawn(
        [sys.executable, "-c", script],
        cwd=folder,
        environment={"PATH": "/usr/bin:/bin"},
        log=folder / "log.txt",
        status_file=folder / "exit_status",
        held=held,
    )


def spawn(folder: Path, script: str, held: Sequence[int] = ()) -> JobProcess:
    process = waiting(folder, script, held)
    process.begin()
    return process


def end(process: JobProcess) -> int | None:
    deadline = time.monotonic() + 20
    while not process.wait(0.1):
        assert time.monotonic() < deadline
    return process.returncode


def until_said(folder: Path, word: str) -> None:
    deadline = time.monotonic() + 20
    while word not in (folder / "log.txt").read_text():
        assert time.monotonic() < deadline, (folder / "log.txt").read_text()
        time.sleep(0.02)


def living(folder: Path) -> list[psutil.Process]:
    """The processes whose output is this folder's log."""
    found = []
    for process in psutil.process_iter():
        try:
            if (Path("/proc") / str(process.pid) / "fd" / "1").readlink() == folder / "log.txt":
                found.append(process)
        except OSError:
            continue
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "log.txt").touch()
    yield tmp_path
    for process in living(tmp_path):
        process.kill()


@pytest.mark.parametrize(
    ("script", "code", "words"),
    [
        ("print('fine')", 0, "exited with status 0"),
        ("raise SystemExit(3)", 3, "exited with status 3"),
        ("raise SystemExit(200)", 200, "exited with status 200"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", -9, "ended by the signal SIGKILL"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", -11, "ended by the signal SIGSEGV"),
        ("import os, signal; os.kill(os.getppid(), signal.SIGKILL)", -9, "ended by the signal SIGKILL"),
    ],
)
def test_process_end_is_described(folder: Path, script: str, code: int, words: str) -> None:
    assert end(spawn(folder, script)) == code
    assert words in describe_end(code)


def test_process_of_a_missing_program_fails_with_its_name(folder: Path) -> None:
    process = JobProcess.spawn(
        ["no-such-program"], cwd=folder, environment={}, log=folder / "log.txt", status_file=folder / "exit_status"
    )
    process.begin()
    assert end(process) == 127
    assert "no-such-program can't be started: No such file" in (folder / "log.txt").read_text()


def test_an_ended_job_is_known_by_its_signal(folder: Path) -> None:
    process = spawn(folder, "import time; time.sleep(600)")
    process.kill()
    assert end(process) == -9


@pytest.mark.case("unruly-jobs")
def test_a_child_that_ignores_the_request_is_ended_too(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("azureml_local.runtime.process.TERMINATION_GRACE", 0.5)
    process = spawn(
        folder,
        "import signal, subprocess, sys, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "deaf = 'import signal, time; signal.signal(15, signal.SIG_IGN); print(\"up\", flush=True); time.sleep(600)'\n"
        "subprocess.Popen([sys.executable, '-c', deaf])\n"
        "time.sleep(600)",
    )
    until_said(folder, "up")
    assert len(living(folder)) == 3
    process.terminate()
    assert living(folder) == []
    assert end(process) == -9


def test_a_job_that_is_asked_to_end_may_say_how(folder: Path) -> None:
    handler = "import signal, sys, time; signal.signal(15, lambda *_: sys.exit(4))"
    process = spawn(folder, f"{handler}; print('up', flush=True); time.sleep(600)")
    until_said(folder, "up")
    process.terminate()
    assert end(process) == 4


@pytest.mark.case("unruly-jobs")
@pytest.mark.skipif(sys.platform != "linux", reason="needs PR_SET_CHILD_SUBREAPER")
def test_a_daemon_ends_with_its_job(folder: Path) -> None:
    process = spawn(folder, DAEMON)
    assert end(process) == 0
    assert "daemon" in (folder / "log.txt").read_text()
    assert living(folder) == []


@pytest.mark.skipif(sys.platform != "linux", reason="needs PR_SET_CHILD_SUBREAPER")
def test_a_daemon_is_ended_when_its_job_is_cancelled(folder: Path) -> None:
    process = spawn(folder, DAEMON + "print('both', flush=True); time.sleep(600)")
    until_said(folder, "both")
    JobProcess.attach(process.record(), folder / "exit_status").terminate()
    assert living(folder) == []
    assert end(process) == -15


def test_process_without_supervisor_is_found_by_its_environment(folder: Path) -> None:
    leave = "import os, time; os.setsid() if os.fork() == 0 else None"
    process = spawn(folder, f"{leave}; print('up', flush=True); time.sleep(600)")
    until_said(folder, "up")
    psutil.Process(process.pid).kill()
    assert end(process) == -9
    assert marked(folder / "exit_status")
    process.kill()
    assert living(folder) == []


def test_new_server_ends_processes_that_it_cannot_continue(folder: Path) -> None:
    process = spawn(folder, "import time; print('up', flush=True); time.sleep(600)")
    until_said(folder, "up")
    assert end_strays(folder / "another") == 0
    assert end_strays(folder / "exit_status") >= 1
    assert end(process) == -9
    assert living(folder) == []


@pytest.mark.case("lost-connections")
def test_a_server_that_was_started_in_between_learns_how_it_ended(folder: Path) -> None:
    process = spawn(folder, "import time; time.sleep(0.5); raise SystemExit(5)")
    again = JobProcess.attach(process.record(), folder / "exit_status")
    assert not again.wait(0)
    assert end(process) == 5
    assert end(again) == 5


def test_process_end_unobserved_is_reported_as_unknown(folder: Path) -> None:
    process = spawn(folder, "import time; time.sleep(600)")
    again = JobProcess.attach(process.record(), folder / "exit_status")
    psutil.Process(process.pid).kill()
    end(process)
    assert end(again) is None
    assert "no exit status" in describe_end(None)
    process.kill()


def test_another_process_with_the_same_number_is_left_alone(folder: Path) -> None:
    process = spawn(folder, "import time; time.sleep(600)")
    stranger = JobProcess.attach({**process.record(), "identity": identity_of(os.getpid())}, folder / "another_status")
    stranger.kill()
    assert not process.wait(0.3)
    process.kill()
    assert end(process) == -9


@pytest.mark.case("job-environment")
def test_a_job_gets_no_open_file_of_ours(folder: Path) -> None:
    ours = os.open(folder, os.O_RDONLY)
    os.set_inheritable(ours, True)
    held = os.open(folder, os.O_RDONLY)  # for the supervisor alone
    try:
        script = "import os; print(sorted(map(int, os.listdir('/proc/self/fd'))), os.getsid(0))"
        process = spawn(folder, script, held=[held])
        assert end(process) == 0
    finally:
        os.close(ours)
        os.close(held)
    # Its three, and the one that lists.
    assert (folder / "log.txt").read_text() == f"[0, 1, 2, 3] {process.pid}\n"


@pytest.mark.case("disk-trouble", "unruly-jobs")
def test_a_full_disk_ends_the_job_and_its_end_is_known(folder: Path) -> None:
    if os.geteuid() != 0 or sys.platform != "linux":
        pytest.skip("only root mounts a small disk")
    disk = folder / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", disk], capture_output=True).returncode:
        pytest.skip("no mount is allowed here")
    try:
        process = JobProcess.spawn(
            [sys.executable, "-u", "-c", "print('up')\nwhile True: print('x' * 4096)"],
            cwd=disk,
            environment={},
            log=disk / "log.txt",
            status_file=disk / "exit_status",
        )
        process.begin()
        assert end(process) == 1
        assert (disk / "log.txt").read_bytes().startswith(b"up\nx")
        assert JobProcess.attach({"pid": 1, "identity": "", "started": mark()}, disk / "exit_status").wait(0)
        assert (disk / "exit_status").read_text().strip() == "1"
    finally:
        subprocess.run(["umount", disk], check=True)


def test_a_file_that_grows_too_large_fails_the_job(folder: Path) -> None:
    limit = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, {resource.RLIM_INFINITY}))\n"
    assert end(spawn(folder, limit + "print('x' * 20_000)")) in (1, 120)
    assert (folder / "log.txt").stat().st_size == 10_000


def test_job_starts_only_on_request(folder: Path) -> None:
    process = waiting(folder, "raise SystemExit(5)")
    assert not process.wait(0.3)
    process.begin()
    assert JobProcess.attach(process.record(), folder / "exit_status").began()
    assert end(process) == 5


KILLED_BEFORE = """
import json, os, signal, sys
from pathlib import Path
from azureml_local.runtime.process import JobProcess
folder = Path(sys.argv[1])
process = JobProcess.spawn(["touch", "done"], cwd=folder, environment={"PATH": "/usr/bin:/bin"},
                           log=folder / "log.txt", status_file=folder / "exit_status")
print(json.dumps(process.record()), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_job_whose_server_is_killed_before_it_begins_never_does(folder: Path) -> None:
    killed = subprocess.run([sys.executable, "-c", KILLED_BEFORE, str(folder)], stdout=subprocess.PIPE, text=True)
    assert not JobProcess.attach(json.loads(killed.stdout), folder / "exit_status").began()
    assert living(folder) == []
    assert {path.name for path in folder.iterdir()} == {"log.txt"}


ON_A_LEASH = """
import sys, time
from pathlib import Path
from azureml_local.runtime.process import JobProcess
folder = Path(sys.argv[1])
process = JobProcess.spawn([sys.executable, "-c", sys.argv[2]], cwd=folder, environment={"PATH": "/usr/bin:/bin"},
                           log=folder / "log.txt", status_file=folder / "exit_status", lease=float(sys.argv[3]))
process.begin()
print(process.pid, flush=True)
time.sleep(600)
"""


@pytest.mark.case("lost-connections")
@pytest.mark.parametrize("how", ["killed", "stopped"])
def test_leased_job_ends_with_its_holder(folder: Path, how: str) -> None:
    job = DAEMON + "print('both', flush=True); time.sleep(600)"
    seconds = "600" if how == "killed" else "2"
    short = short_folders.make(folder)
    with subprocess.Popen([sys.executable, "-c", ON_A_LEASH, str(folder), job, seconds]) as holder:
        until_said(folder, "both")
        if how == "killed":
            holder.kill()
        else:  # frozen, as a machine can be: it can't end anything itself
            holder.send_signal(signal.SIGSTOP)
        deadline = time.monotonic() + 20
        while living(folder):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert short.exists() is (how == "stopped")  # nobody else removes it where the holder is gone
        holder.kill()
    assert (folder / "exit_status").read_text().strip() == "-9"
    short_folders.remove(folder)


def test_renewed_lease_lets_a_job_go_on(folder: Path) -> None:
    process = JobProcess.spawn(
        [sys.executable, "-c", "import sys, time; print(repr(sys.stdin.read()), flush=True); time.sleep(600)"],
        cwd=folder,
        environment={"PATH": "/usr/bin:/bin"},
        log=folder / "log.txt",
        status_file=folder / "exit_status",
        lease=3,
    )
    process.begin()
    for _ in range(20):
        process.renew()
        assert not process.wait(0.2)
    assert (folder / "log.txt").read_text() == "''\n"
    assert end(process) == -9
    process.close()
