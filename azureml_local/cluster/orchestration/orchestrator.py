"""Orchestrators: what every kind of run has in common whose work is to start other runs and wait for them.

All state can be read from the store: a server that is started after a crash continues where the last one stopped.
"""

from __future__ import annotations

import abc
import contextlib
import logging
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Generic, TypeVar

from azureml_local.cluster.cluster import Cluster
from azureml_local.runtime.patience import passing
from azureml_local.storage.tables import Run
from azureml_local.workspace import Workspace
from azureml_local.workspace.run_kinds import is_orchestrated
from azureml_local.workspace.runs import data_container, user_error

logger = logging.getLogger("azureml_local.cluster")

RETRY_SECONDS = 1.0


@dataclass(frozen=True)
class Changed:
    """Event: a child has another status, or (without one) has logged something."""

    run_id: str
    status: str | None


class Cancel:
    """Event: cancellation of the run was requested."""


class Stop:
    """Event: the server stops."""


Event = Changed | Cancel | Stop


class Work(abc.ABC):
    """One orchestrated run, with its own thread that waits for its children."""

    # What a user calls it, and the log that clients print.
    kind: ClassVar[str]
    log_name: ClassVar[str]

    def __init__(self, workspace: Workspace, cluster: Cluster, run: Run, over: Callable[[], object]) -> None:
        self.thread = threading.Thread(target=self._run, name=run.id, daemon=True)
        self._workspace = workspace
        self._cluster = cluster
        self._parent = run
        self._over = over
        self._told: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._log: Path

    def tell(self, event: Event) -> None:
        self._told.put(event)

    @abc.abstractmethod
    def _load(self, why: str) -> None:
        """Read from the store what was made of it; ``why`` is for the log."""

    @abc.abstractmethod
    def _go_on(self) -> bool:
        """Until all its children are over. False when the server ends before that."""

    @abc.abstractmethod
    def _finish(self) -> None:
        """Its children are over: determine what it comes to."""

    @abc.abstractmethod
    def _active(self) -> list[str]:
        """The ids of its children that are not over."""

    def _run(self) -> None:
        try:
            why = "A new server takes it up"
            while not self._try_to_the_end(why):
                if self._stopped_within(RETRY_SECONDS):
                    return
                why = "It goes on"
        except Exception as error:
            logger.exception("The %s %s can't go on", self.kind, self._parent.id)
            for run_id in self._active():
                try:
                    self._cluster.cancel(run_id)
                except Exception:
                    logger.exception("The run %s of a %s can't be cancelled", run_id, self.kind)
            fail(self._workspace, self._parent.id, self.kind, error)
        finally:
            self._over()

    def _try_to_the_end(self, why: str) -> bool:
        """False where the store could not be written, as on a full disk: then all is read from it again, as by a server
        that is started anew.
        """
        try:
            self._log = self._workspace.artifacts.open_log(data_container(self._parent), self.log_name)
            self._load(why)
            if self._go_on():
                self._finish()
                self._workspace.artifacts.close_log(data_container(self._parent), self.log_name)
        except Exception as error:
            trouble = passing(error)
            if trouble is None:
                raise
            logger.warning("The %s %s can't be written; retrying: %s", self.kind, self._parent.id, trouble)
            return False
        return True

    def _stopped_within(self, seconds: float) -> bool:
        """Whether the server ends meanwhile. All else that it is told of stands in the store too."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            try:
                if isinstance(self._told.get(timeout=left), Stop):
                    return True
            except queue.Empty:
                break
        return False

    def _say(self, line: str) -> None:
        # A full disk, for example: it goes on.
        with contextlib.suppress(OSError), self._log.open("a", encoding="utf-8") as log:
            print(self._moment(), line, file=log)

    def _moment(self) -> str:
        return time.strftime("%H:%M:%S")


AnyWork = TypeVar("AnyWork", bound=Work)


class Orchestrator(abc.ABC, Generic[AnyWork]):
    """All runs of one type that go on."""

    # What its runs are, in the store and for a user.
    run_type: ClassVar[str]
    kind: ClassVar[str]

    def __init__(self, workspace: Workspace, cluster: Cluster) -> None:
        self._workspace = workspace
        self._cluster = cluster
        self._going_on: dict[str, AnyWork] = {}
        cluster.orchestrate(self.run_type, self._cancel)

    @abc.abstractmethod
    def _begin(self, run: Run, over: Callable[[], object]) -> AnyWork:
        """The work of a run. Raises SpecMissing for one that can't be read."""

    def start(self) -> None:
        """Go on with the runs of an earlier server."""
        self._listen()
        for run in self._workspace.runs.unfinished():
            if is_orchestrated(run) and run.run_type == self.run_type:
                try:
                    self.submit(run)
                except Exception as error:
                    # A spec that can't be read, for example: no reason for the others not to go on.
                    logger.exception("The run %s of an earlier server can't be gone on with", run.id)
                    fail(self._workspace, run.id, self.kind, error)

    def stop(self) -> None:
        """Start no more children. Those that there are go on, or end with the cluster."""
        for work in list(self._going_on.values()):
            work.tell(Stop())
        for work in list(self._going_on.values()):
            work.thread.join()

    def submit(self, run: Run) -> None:
        work = self._begin(run, lambda: self._going_on.pop(run.id, None))
        self._going_on[run.id] = work
        work.thread.start()

    def _listen(self) -> None:
        self._workspace.runs.listen(self._run_changed)

    def _cancel(self, run_id: str) -> None:
        """End a run and all its children. Nothing, for one that is over."""
        self._workspace.runs.advance(run_id, "CancelRequested")
        if (work := self._going_on.get(run_id)) is not None:
            work.tell(Cancel())

    def _run_changed(self, run: Run) -> None:
        if (work := self._going_on.get(run.parent_id or "")) is not None:
            work.tell(Changed(run.id, run.status))


def fail(workspace: Workspace, run_id: str, kind: str, error: Exception) -> None:
    """Fail a run for a fault of ours; where that can't be kept either, the next server tries to go on with it."""
    reason = user_error(f"The {kind} can't go on ({type(error).__name__}: {error}).", "ServiceError")
    try:
        workspace.runs.advance(run_id, "Failed", error=reason)
    except Exception:
        logger.exception("The %s %s can't be told to have failed", kind, run_id)
