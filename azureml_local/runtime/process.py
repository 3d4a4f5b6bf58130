"""A job's process: started in its own session, monitored, and terminated with all its descendants."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil

from azureml_local.processes import find, identity_of
from azureml_local.runtime import supervisor
from azureml_local.runtime.descriptors import limit_of_user
from azureml_local.runtime.distribution import FAILED
from azureml_local.storage.clock import mark, seconds_since_mark
from azureml_local.storage.trees import open_regular

# Set in the environment of every process of a run, to find those whose supervisor is gone; its value is the run's
# status file.
MARKER = "AZUREML_LOCAL_JOB"

TERMINATION_GRACE = 10.0
KILL_PATIENCE = 10.0


class JobProcess:
    """A job's process, started by this server or recovered from an earlier one.

    ``pid`` is its supervisor's, which leads the job's process group; ``identity`` distinguishes that process from
    others with the same PID, and ``started`` (`clock.mark`) is its start time. ``returncode`` is None while it runs;
    afterwards the exit status, negative for the signal that ended it, or still None where it is unknown.
    """

    def __init__(
        self,
        pid: int,
        identity: str,
        started: Mapping[str, Any],
        status_file: Path,
        child: subprocess.Popen[bytes] | None,
        *,
        leased: bool = False,
    ) -> None:
        self.pid = pid
        self.identity = identity
        self.started = started
        self.returncode: int | None = None
        self._status_file = status_file
        self._child = child
        self._leased = leased
        # One thread may renew while another closes, after which the descriptor number can be another file's.
        self._pipe = threading.Lock()

    @classmethod
    def spawn(
        cls,
        argv: Sequence[str],
        *,
        cwd: Path,
        environment: Mapping[str, str],
        log: Path,
        status_file: Path,
        lease: float = 0,
        held: Sequence[int] = (),
    ) -> JobProcess:
        """Start the supervisor, which waits for `begin` before it starts the job. Raises OSError when it can't be
        started.

        With a ``lease`` (seconds) it ends when this process ends, and when `renew` wasn't called for that long. The
        descriptors ``held`` stay open until it ends.
        """
        words = [str(Path(supervisor.__file__)), str(status_file), str(lease), " ".join(map(str, held))]
        words += [str(limit_of_user()), str(os.getpid())]
        with log.open("ab") as output:
            child = subprocess.Popen(
                # Neither PYTHON* variables nor packages that are meant for the job.
                [sys.executable, "-I", "-S", *words, *argv],
                cwd=cwd,
                env={**environment, **marker(status_file)},
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=held,
            )
        # A child keeps its PID until it has been waited for.
        return cls(child.pid, identity_of(child.pid) or "", mark(), status_file, child, leased=bool(lease))

    @classmethod
    def attach(cls, record: Mapping[str, Any], status_file: Path) -> JobProcess:
        """Recover the job of an earlier server from its `record`; it may have ended meanwhile."""
        pid, started = int(record["pid"]), record["started"]
        if "identity" in record:
            return cls(pid, str(record["identity"]), started, status_file, None)
        # Of version 0.2, which kept the process's start in seconds since 1970 only.
        ours = any(process.pid == pid for process in marked(status_file))
        began = {"time": float(started), "boot": None, "elapsed": 0.0}
        return cls(pid, (identity_of(pid) if ours else None) or "", began, status_file, None)

    def record(self) -> dict[str, Any]:
        """The data that `attach` needs, as JSON."""
        return {"pid": self.pid, "identity": self.identity, "started": dict(self.started)}

    def seconds(self) -> float:
        """Seconds since its start, whichever server started it."""
        return seconds_since_mark(self.started)

    def begin(self) -> None:
        """Signal the supervisor to start the job."""
        self.renew()
        if not self._leased:
            self.close()

    def renew(self) -> None:
        """Renew the lease of a job."""
        with self._pipe:
            if self._child is not None and self._child.stdin is not None and not self._child.stdin.closed:
                with contextlib.suppress(BrokenPipeError):  # it was ended meanwhile
                    os.write(self._child.stdin.fileno(), b"\n")

    def close(self) -> None:
        """Close the pipe to the supervisor: a job that has not begun never will, and one with a lease ends."""
        with self._pipe:
            if self._child is not None and self._child.stdin is not None:
                self._child.stdin.close()

    def began(self) -> bool:
        """Whether the job of an earlier server ever began. Blocks until that is certain.

        The status file is no proof, since a job may remove it: while the job runs, its supervisor has a child, and
        rewrites the file at the end.
        """
        while not os.path.lexists(self._status_file):
            supervisor_process = self._supervisor()
            if supervisor_process is None:
                return os.path.lexists(self._status_file)
            with contextlib.suppress(psutil.Error):
                if supervisor_process.children():
                    return True
            time.sleep(0.01)
        return True

    @property
    def failed_around_script(self) -> bool:
        """Whether an ended job failed outside its script: in the launcher's code before or after it."""
        folder = self._status_file.parent
        return bool(self.returncode and self.returncode > 0) and around_script(folder, self.failed_rank).exists()

    @property
    def failed_rank(self) -> int | None:
        """Which process of a distributed job failed first; None for a job of one, or where none has."""
        with contextlib.suppress(OSError, ValueError), open_regular(self._status_file.parent / FAILED) as file:
            return int(file.read(20))
        return None

    def wait(self, seconds: float) -> bool:
        """Wait for the end of the job. True when it has ended."""
        deadline = time.monotonic() + seconds
        if self._child is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._child.wait(seconds)
            ended = self._child.returncode is not None
        else:
            while not (ended := self._supervisor() is None) and time.monotonic() < deadline:
                time.sleep(min(0.1, seconds))
        if ended and self.returncode is None:
            self.returncode = self._read_status()
        return ended

    def terminate(self) -> None:
        """Terminate the job: SIGTERM first, a grace period for cleaning up, then SIGKILL."""
        asked: set[psutil.Process] = set()
        deadline = time.monotonic() + TERMINATION_GRACE
        while time.monotonic() < deadline:
            # Once for each process, including those started meanwhile.
            members = set(self._members())
            _signal(members - asked, signal.SIGTERM)
            asked |= members
            if self.wait(0.2):
                return
        self.kill()

    def kill(self) -> None:
        """Kill all remaining processes of the job. Returns when none is left, or the rest can't be killed."""
        deadline = time.monotonic() + KILL_PATIENCE
        while True:
            members = self._members()
            _signal(members, signal.SIGKILL)
            if not members and self.wait(0.02):
                return
            if time.monotonic() > deadline:
                break
            time.sleep(0.01)
        # A process hangs in the kernel, and so does its supervisor.
        if (alive := self._supervisor()) is not None:
            _signal([alive], signal.SIGKILL)
            self.wait(1.0)

    def _members(self) -> list[psutil.Process]:
        """The job's processes without the supervisor: those of its group, its descendants, and those with its
        marker.
        """
        found = {process.pid: process for process in marked(self._status_file)}
        supervisor_process = self._supervisor()
        if supervisor_process is not None:
            # Only while it is alive: its PID, which is also the group id, may be reused afterwards.
            with contextlib.suppress(psutil.NoSuchProcess):
                found |= {process.pid: process for process in supervisor_process.children(recursive=True)}
            for process in psutil.process_iter():
                with contextlib.suppress(OSError):
                    if os.getpgid(process.pid) == self.pid:
                        found[process.pid] = process
        return [process for pid, process in found.items() if pid != self.pid and not _gone(process)]

    def _supervisor(self) -> psutil.Process | None:
        return find(self.pid, self.identity)

    def _read_status(self) -> int | None:
        with contextlib.suppress(OSError, ValueError), open_regular(self._status_file) as file:
            return int(file.read(100))
        # The supervisor itself was killed: its exit status counts as the job's, if this process is its parent and knows
        # it.
        return self._child.returncode if self._child is not None and self._child.returncode else None


def status_file(folder: Path) -> Path:
    """The file to which the supervisor of a run with this folder writes the job's exit status."""
    return folder / "exit_status"


def around_script(folder: Path, rank: int | None = None) -> Path:
    """The file that exists while a job is before its script's start or after its end: created before the job's process,
    removed and created again by the launcher (job.py). Each rank of a distributed job has its own.
    """
    return folder / ("around_script" if rank is None else f"around_script_{rank}")


def marker(status_file: Path) -> dict[str, str]:
    """The environment variable that marks the processes of this run."""
    return {MARKER: str(status_file)}


def marked(status_file: Path) -> list[psutil.Process]:
    """The processes that belong to a run, in whatever group or session."""
    return marked_of_all().get(str(status_file), [])


def marked_of_all() -> dict[str, list[psutil.Process]]:
    """The marked processes of all runs, by the path of the run's status file."""
    found: dict[str, list[psutil.Process]] = {}
    for process in psutil.process_iter():
        # Other users' environments aren't readable.
        with contextlib.suppress(psutil.Error, OSError):
            if (path := process.environ().get(MARKER)) is not None and not _gone(process):
                found.setdefault(path, []).append(process)
    return found


def end_strays(status_file: Path) -> int:
    """Kill the remaining processes of a run that can't be recovered. Returns their number."""
    deadline = time.monotonic() + KILL_PATIENCE
    seen: set[int] = set()
    while (members := marked(status_file)) and time.monotonic() < deadline:
        seen |= {process.pid for process in members}
        _signal(members, signal.SIGKILL)
        time.sleep(0.01)
    return len(seen)


def describe_end(returncode: int | None) -> str:
    """Describe how a process ended, as the second half of a sentence."""
    if returncode is None:
        return "is gone and left no exit status (did the machine restart?)"
    if returncode >= 0:
        return f"exited with status {returncode}"
    try:
        return f"was ended by the signal {signal.Signals(-returncode).name}"
    except ValueError:
        return f"was ended by the signal {-returncode}"


def _signal(processes: Iterable[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        # psutil compares start times: a PID that was reused meanwhile is not signalled.
        with contextlib.suppress(psutil.Error):
            process.send_signal(number)


def _gone(process: psutil.Process) -> bool:
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
