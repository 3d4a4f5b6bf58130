"""One run, as whoever runs its job sees it: the statuses, logs and errors that are its story in the workspace."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from azureml_local.cluster.dataflows import Fingerprints
from azureml_local.cluster.desk import Desk
from azureml_local.cluster.environments import EnvironmentBuilder
from azureml_local.cluster.inputs import Inputs
from azureml_local.cluster.jobspec import parse
from azureml_local.cluster.kinds import Kind
from azureml_local.cluster.logs import BUILD_LOG, JOB_LOG, NODE_LOG
from azureml_local.cluster.process import JobProcess, status_file
from azureml_local.cluster.simulation import Simulations
from azureml_local.storage.tables import Json, Run
from azureml_local.workspace import Workspace
from azureml_local.workspace.datasets import rust_dataflow
from azureml_local.workspace.runs import FINAL, data_container, user_error


@dataclass(frozen=True)
class Machinery:
    """What every execution needs. ``job_variables`` gives the SDK's variables for a run's process."""

    workspace: Workspace
    builder: EnvironmentBuilder
    inputs: Inputs
    job_variables: Callable[[Run], dict[str, str]]
    simulations: Simulations = field(default_factory=Simulations)
    desk: Desk = field(default_factory=Desk)


class Record:
    """An `engine.Home` in the server itself. Thread-safe."""

    def __init__(self, machinery: Machinery, run: Run, node: str) -> None:
        self.machinery = machinery
        self.workspace = machinery.workspace
        self.run = run
        self.node = node
        self.target = run.target or ""
        self.container = data_container(run)
        self.folder = machinery.workspace.folder.runs / run.id
        self.cancelled = threading.Event()
        # Whether the node was lost while the job ran.
        self.lost = False
        self._node_log: Path | None = None

    def stage(self, status: str) -> None:
        self.workspace.runs.advance(self.run.id, status)

    def say(self, line: str) -> None:
        if self._node_log is None:
            self._node_log = self.workspace.artifacts.open_log(self.container, NODE_LOG)
        # A full disk, for example: the run goes on.
        with (
            contextlib.suppress(OSError),
            self._node_log.open("a", encoding="utf-8", errors="backslashreplace") as log,
        ):
            print(time.strftime("%H:%M:%S"), line, file=log)

    def fail(self, message: str, code: str = "UserError") -> None:
        if self.workspace.runs.get(self.run.id).status not in FINAL:
            self.workspace.runs.note_error(self.run.id, user_error(message, code))

    def flows(self) -> dict[str, str]:
        """The data flows (YAML) of the run's inputs, by the ids of their datasets."""
        datasets = self.workspace.datasets
        ids = {each.dataset_id for each in parse(self.run.definition).inputs}
        return {dataset_id: rust_dataflow(datasets.saved(dataset_id).dataflow) for dataset_id in ids}

    def fingerprints(self) -> dict[str, str]:
        """Of those whose files can be known not to have changed (`dataflows.Fingerprints`)."""
        known = Fingerprints(self.workspace, self.machinery.inputs.mirror)
        return {dataset_id: key for dataset_id, flow in self.flows().items() if (key := known.of(flow)) is not None}

    def meets(self, kind: Kind) -> bool:
        met = self.machinery.simulations.take(kind, self.target) is not None
        if met and kind is Kind.NODE_LOST:
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
        return self.workspace.artifacts.open_log(self.container, BUILD_LOG)

    def build_log_done(self) -> None:
        self.workspace.artifacts.close_log(self.container, BUILD_LOG)

    def job_log(self) -> Path:
        return self.workspace.artifacts.open_log(self.container, JOB_LOG)

    def note(self, process: JobProcess) -> None:
        self.remember({"pid": process.pid, "started": process.started})

    def remember(self, known: Json) -> None:
        """What a server that is started later must know to go on with the run."""
        self.workspace.runs.note_process(self.run.id, known)

    @property
    def known(self) -> Json:
        """What an earlier server remembered."""
        return self.run.process or {}

    @property
    def failed(self) -> bool:
        return self.workspace.runs.get(self.run.id).error is not None

    @property
    def status_file(self) -> Path:
        return status_file(self.folder)
