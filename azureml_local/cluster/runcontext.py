"""Run context: the status, logs and errors that an execution writes to its run in the workspace."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from azureml_local.cluster.faultinjection import FaultInjector
from azureml_local.cluster.remote.registry import WorkerRegistry
from azureml_local.runtime.dataflows import Fingerprints
from azureml_local.runtime.environments import EnvironmentBuilder
from azureml_local.runtime.faults import FaultKind
from azureml_local.runtime.inputs import Inputs
from azureml_local.runtime.logs import BUILD_LOG, NODE_LOG
from azureml_local.runtime.patience import Patience, passing
from azureml_local.runtime.process import JobProcess, status_file
from azureml_local.storage.tables import Json, Run
from azureml_local.workspace import Workspace
from azureml_local.workspace.datasets import rust_dataflow
from azureml_local.workspace.jobs import spec_of
from azureml_local.workspace.runs import FINAL, data_container, user_error

T = TypeVar("T")

# Where a warning of ours comes from.
SOURCE = "azureml_local"


@dataclass(frozen=True)
class ClusterServices:
    """What every execution needs. ``job_variables`` gives the SDK's variables for a run's process."""

    workspace: Workspace
    builder: EnvironmentBuilder
    inputs: Inputs
    job_variables: Callable[[Run], dict[str, str]]
    faults: FaultInjector = field(default_factory=FaultInjector)
    registry: WorkerRegistry = field(default_factory=WorkerRegistry)


class RunContext:
    """A `reporter.RunReporter` in the server itself. Thread-safe.

    The run's own thread waits where the store can't be written; who reports over the network is told, and tries again.
    """

    def __init__(self, services: ClusterServices, run: Run, node: str) -> None:
        self.services = services
        self.workspace = services.workspace
        self.run = run
        self.node = node
        self.target = run.target or ""
        self.container = data_container(run)
        self.folder = services.workspace.folder.runs / run.id
        self.cancelled = threading.Event()
        # Whether the node was lost while the job ran.
        self.lost = False
        # Whether files of the job lie in the run's folder that the store had no room for.
        self.left = False
        # Whether the end of the server cancelled it.
        self.stopped = False
        self.patience = Patience()
        # What is done while something of the run has to be tried again.
        self.waits: Callable[[], None] = lambda: None
        self._owner: int | None = None
        self._failure: Json | None = None
        self._node_log: Path | None = None

    def owned(self) -> None:
        """Make the calling thread the run's own."""
        self._owner = threading.get_ident()

    def write(self, change: Callable[[], T]) -> T:
        """Write a change of the run to the store, with retries. Raises Postponed when the server stops first."""
        return self.patience.keep(change, self.waits) if threading.get_ident() == self._owner else change()

    def stage(self, status: str) -> None:
        self.write(lambda: self.workspace.runs.advance(self.run.id, status))

    def say(self, line: str) -> None:
        try:
            if self._node_log is None:
                self._node_log = self.workspace.artifacts.open_log(self.container, NODE_LOG)
            with self._node_log.open("a", encoding="utf-8", errors="backslashreplace") as log:
                print(time.strftime("%H:%M:%S"), line, file=log)
        except Exception as error:
            # A full disk, for example: the run goes on.
            if passing(error) is None and not isinstance(error, OSError):
                raise

    def fail(self, message: str, code: str = "UserError") -> None:
        """Doesn't wait where that can't be written: `settle` does."""
        self._failure = self._failure or user_error(message, code)
        self._write_failure()

    def try_to_fail(self, message: str) -> bool:
        """As `fail` for a fault of the system's; False, and nothing is said, when it can't be written now."""
        try:
            self.workspace.runs.note_error(self.run.id, user_error(message, "ServiceError"))
        except Exception as error:
            if passing(error) is None:
                raise
            return False
        return True

    def settle(self) -> None:
        """Wait until the run's error, if any, is written."""
        if self._failure is not None:
            self.write(self._note_failure)

    def _write_failure(self) -> None:
        try:
            self._note_failure()
        except Exception as error:
            if passing(error) is None or threading.get_ident() != self._owner:
                raise

    def _note_failure(self) -> None:
        if self._failure is not None and self.workspace.runs.get(self.run.id).status not in FINAL:
            self.workspace.runs.note_error(self.run.id, self._failure)

    def warn(self, message: str) -> None:
        # A new server that does it again says it once.
        if message not in (known.get("message") for known in self.workspace.runs.get(self.run.id).warnings):
            self.write(lambda: self.workspace.runs.note_warning(self.run.id, SOURCE, message))
        self.say(message)

    def flows(self) -> dict[str, str]:
        """The data flows (YAML) of the run's inputs, by the ids of their datasets."""
        datasets = self.workspace.datasets
        ids = {each.dataset_id for each in spec_of(self.run).inputs}
        return {dataset_id: rust_dataflow(datasets.saved(dataset_id).dataflow) for dataset_id in ids}

    def fingerprints(self) -> dict[str, str]:
        """Of those whose files can be known not to have changed (`dataflows.Fingerprints`)."""
        known = Fingerprints(self.workspace, self.services.inputs.mirror)
        return {dataset_id: key for dataset_id, flow in self.flows().items() if (key := known.of(flow)) is not None}

    def meets(self, kind: FaultKind) -> bool:
        met = self.services.faults.take(kind, self.target) is not None
        if met and kind is FaultKind.NODE_LOST:
            self.lose(f"the node {self.node}", " (a simulation)")
        return met

    def lose(self, node: str, why: str) -> None:
        """The node is lost, and what the job had not uploaded with it: the run fails, as on a dedicated AmlCompute."""
        self.lost = True
        self.fail(
            f"AzureMLCompute job failed. NodeLost: {node} of {self.target} was lost while the job ran, and what it "
            f"had not uploaded with it{why}.",
            "ServiceError",
        )

    def build_log(self) -> Path:
        return self.write(lambda: self.workspace.artifacts.open_log(self.container, BUILD_LOG))

    def build_log_done(self) -> None:
        self.write(lambda: self.workspace.artifacts.close_log(self.container, BUILD_LOG))

    def job_log(self, name: str) -> Path:
        return self.write(lambda: self.workspace.artifacts.open_log(self.container, name))

    def note(self, process: JobProcess) -> None:
        self.checkpoint(process.record())

    def checkpoint(self, known: Json) -> None:
        """Checkpoint the state from which a later server recovers the run."""
        self.write(lambda: self.workspace.runs.note_process(self.run.id, known))

    @property
    def known(self) -> Json:
        """The checkpoint of an earlier server."""
        return self.run.process or {}

    @property
    def failed(self) -> bool:
        return self._failure is not None or self.workspace.runs.get(self.run.id).error is not None

    @property
    def status_file(self) -> Path:
        return status_file(self.folder)
