"""Where the job's part of an execution happens: on this machine, or on another one.

An execution has two parts. The server's part is the run: its status, its error, its logs and files in the workspace
(`execution`). The job's part is a folder and a process: an environment, the snapshot, the inputs, the script, and what
it leaves behind (`assignment`). An engine says where the second part happens.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Protocol

from azureml_local.runtime.faults import FaultKind
from azureml_local.runtime.outputs import OutputFolders
from azureml_local.runtime.process import JobProcess


class Postponed(Exception):
    """The server stops before the job has begun, or before its node has answered: the next one goes on with it."""


class RunReporter(Protocol):
    """What a job's part knows of its run: whom it tells, and who tells it to end."""

    cancelled: threading.Event

    def stage(self, status: str) -> None:
        """The run has come so far."""

    def say(self, line: str) -> None:
        """A line for the node's log."""

    def fail(self, message: str, code: str = "UserError") -> None:
        """Why the run fails; the first reason stays."""

    def meets(self, kind: FaultKind) -> bool:
        """Whether this trouble happens to the job now: the node is lost to its run, for example."""

    def warn(self, message: str) -> None:
        """A warning of the run, which its client sees; the run may be *Completed* all the same."""

    def build_log(self) -> Path:
        """Where the build's log is written; it is whole when `build_log_done` is called."""

    def build_log_done(self) -> None: ...

    def job_log(self) -> Path:
        """Where the job prints to."""

    def note(self, process: JobProcess) -> None:
        """The process waits to begin. Afterwards it is known to whoever must find it again."""


class Executor(Protocol):
    """The job's part of one execution, as the server sees it. What goes wrong is raised, or is the run's error."""

    def run(self) -> bool:
        """From the environment to the end of the process and whatever it started. False when it was cancelled before
        there was a process.
        """

    def resume(self) -> bool:
        """Go on with what an earlier server began."""

    def postpone(self) -> bool:
        """The server stops. True when the job has not begun and now won't: `run` raises Postponed, if it does anything
        still.
        """

    @property
    def working(self) -> Path:
        """The folder with what the job has left (`outputs`, `logs`), on this machine."""

    def outputs(self) -> OutputFolders:
        """Where the files of its output datasets are, on this machine."""
