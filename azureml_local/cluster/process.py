"""A job's process: started in a session of its own, followed, and ended with everything it started."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

# The shell stays beside the job and writes how it ended, so that this is known even to a server that was
# started in between. The trap makes it outlive a SIGTERM to the group, which is meant for the job.
KEEPER = 'trap : TERM INT; "$@"; echo $? >"$0.tmp"; mv "$0.tmp" "$0"'

TERMINATION_GRACE = 10.0


class JobProcess:
    """A running job, ours or one that an earlier server started.

    ``returncode`` is None while it runs; afterwards the exit status, negative for the signal that ended it.
    """

    def __init__(self, pid: int, started: float, status_file: Path, child: subprocess.Popen[bytes] | None) -> None:
        self.pid = pid
        self.started = started
        self.returncode: int | None = None
        self._status_file = status_file
        self._child = child

    @classmethod
    def spawn(
        cls, argv: Sequence[str], *, cwd: Path, environment: Mapping[str, str], log: Path, status_file: Path
    ) -> JobProcess:
        """Raises OSError when it can't be started."""
        with log.open("ab") as output:
            child = subprocess.Popen(
                ["/bin/sh", "-c", KEEPER, str(status_file), *argv],
                cwd=cwd,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                close_fds=True,
            )
        return cls(child.pid, psutil.Process(child.pid).create_time(), status_file, child)

    @classmethod
    def attach(cls, pid: int, started: float, status_file: Path) -> JobProcess:
        """Take up the job of an earlier server; it may have ended meanwhile."""
        return cls(pid, started, status_file, None)

    def wait(self, seconds: float) -> bool:
        """Wait for the end of the job. True when it has ended."""
        deadline = time.monotonic() + seconds
        if self._child is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._child.wait(seconds)
            ended = self._child.returncode is not None
        else:
            while not (ended := not self._alive()) and time.monotonic() < deadline:
                time.sleep(min(0.1, seconds))
        if ended and self.returncode is None:
            self.returncode = self._read_status()
        return ended

    def terminate(self) -> None:
        """Ask the job to end, give it time to clean up, then end the whole process group.

        Returns when nothing of the group is left.
        """
        self._signal_group(signal.SIGTERM)
        deadline = time.monotonic() + TERMINATION_GRACE
        while self._group_exists() and time.monotonic() < deadline:
            self.wait(0.05)
            time.sleep(0.02)
        self.kill_group()

    def kill_group(self) -> None:
        """End whatever of the process group is still there, at once."""
        self._signal_group(signal.SIGKILL)
        deadline = time.monotonic() + TERMINATION_GRACE
        while self._group_exists() and time.monotonic() < deadline:
            self.wait(0.02)
            time.sleep(0.01)

    def _signal_group(self, number: signal.Signals) -> None:
        # Only a group whose leader is (or was) our process: a recycled id has another start time and is left
        # alone.
        if self._child is None and not self._alive():
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)

    def _group_exists(self) -> bool:
        try:
            os.killpg(self.pid, 0)
        except (ProcessLookupError, PermissionError):
            return False
        return any(_group_of(process) == self.pid for process in psutil.process_iter(["pid", "status"]))

    def _alive(self) -> bool:
        try:
            process = psutil.Process(self.pid)
            return abs(process.create_time() - self.started) < 1.0 and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False

    def _read_status(self) -> int:
        try:
            status = int(self._status_file.read_text())
        except (OSError, ValueError):
            # The keeper itself was ended: its own fate is the job's.
            code = self._child.returncode if self._child is not None else -signal.SIGKILL
            return code if code != 0 else -signal.SIGKILL
        return 128 - status if status > 128 else status


def _group_of(process: psutil.Process) -> int | None:
    try:
        return None if process.info["status"] == psutil.STATUS_ZOMBIE else os.getpgid(process.pid)
    except (ProcessLookupError, PermissionError):
        return None


def describe_end(returncode: int) -> str:
    """How a process ended, as a sentence's second half."""
    if returncode >= 0:
        return f"exited with status {returncode}"
    try:
        return f"was ended by the signal {signal.Signals(-returncode).name}"
    except ValueError:
        return f"was ended by the signal {-returncode}"
