"""Interfaces between the server's part of an execution and the job's part, which runs on this machine or a remote one.

The server's part is the run: its status, error, logs and files in the workspace (`cluster.execution`). The job's part
is a folder and a process: environment, snapshot, inputs, script and output files (`jobrunner`). An executor decides on
which machine the second part happens.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Protocol

from azureml_local.runtime.faults import FaultKind
from azureml_local.runtime.outputs import OutputFolders
from azureml_local.runtime.process import JobProcess


class Postponed(Exception):
    """The server stops before the job has begun, or before its node has answered; the next server continues."""


class RunReporter(Protocol):
    """Channel between a job and its run: reports progress, errors and logs, and signals cancellation."""

    cancelled: threading.Event

    def stage(self, status: str) -> None:
        """Set the stage that the run has reached."""

    def say(self, line: str) -> None:
        """Write a line to the node's log."""

    def fail(self, message: str, code: str = "UserError") -> None:
        """Set the run's error; the first one is kept."""

    def meets(self, kind: FaultKind) -> bool:
        """Whether this injected fault applies to the job now, a lost node for example."""

    def warn(self, message: str) -> None:
        """Add a warning to the run, which its client sees; the run can still be *Completed*."""

    def build_log(self) -> Path:
        """The file of the environment build's log; it is complete when `build_log_done` is called."""

    def build_log_done(self) -> None: ...

    def job_log(self, name: str) -> Path:
        """The file that receives the output of the job, or of one of its processes (`logs.job_logs`)."""

    def note(self, process: JobProcess) -> None:
        """Checkpoint a started process that waits to begin, so that a later server can recover it."""


class Executor(Protocol):
    """Interface to the job's part of one execution. Failures are raised, or set as the run's error."""

    def run(self) -> bool:
        """Run the job, from the environment to the end of its process and all descendants. False when it was cancelled
        before there was a process.
        """

    def resume(self) -> bool:
        """Continue a job that an earlier server began."""

    def postpone(self) -> bool:
        """Postpone the job for a server shutdown. True when it has not begun and won't: `run`, if it is active, raises
        Postponed.
        """

    @property
    def working(self) -> Path:
        """The folder with the job's files (`outputs`, `logs`), on this machine."""

    def outputs(self) -> OutputFolders:
        """The folders of the job's output datasets, on this machine."""
