"""Orchestration of sweeps: starts their runs, applies the termination policy, and determines the best run.

All state can be read from the store: a server that is started after a crash continues where the last one stopped.
"""

from __future__ import annotations

import json
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from azureml_local.cluster.cluster import Cluster
from azureml_local.cluster.orchestration.orchestrator import Cancel, Changed, Orchestrator, Stop, Work
from azureml_local.cluster.orchestration.policies import reason_to_end
from azureml_local.cluster.orchestration.sampling import Hyperparameters, Past, Sampler
from azureml_local.storage.clock import mark, now, seconds_since_mark
from azureml_local.storage.tables import Run
from azureml_local.workspace import Workspace, sweep_runs, sweeps
from azureml_local.workspace.errors import NotFound, WorkspaceError
from azureml_local.workspace.metrics import TABLE, MetricBatch, NewValue
from azureml_local.workspace.new_runs import RunChange
from azureml_local.workspace.run_kinds import SWEEP, is_submitted
from azureml_local.workspace.runs import FINAL, user_error
from azureml_local.workspace.sweep_runs import SYSTEM
from azureml_local.workspace.sweeps import SweepSpec

# HyperDriveRun._output_logs_pattern, and the metric that its get_best_run_by_primary_metric reads.
LOG = "azureml-logs/hyperdrive.txt"
BEST = "best_child_by_primary_metric"


@dataclass
class Child:
    """A run of a sweep: ``values`` are those of the primary metric, ``seen`` of them have been before the policy."""

    number: int
    hyperparameters: Hyperparameters
    status: str
    values: list[float] = field(default_factory=list)
    seen: int = 0


class Sweeps(Orchestrator["_Sweep"]):
    """The active sweeps."""

    kind = "sweep"
    run_type = SWEEP

    def _begin(self, run: Run, over: Callable[[], object]) -> _Sweep:
        return _Sweep(self._workspace, self._cluster, run, over)

    def _listen(self) -> None:
        super()._listen()
        self._workspace.metrics.listen(self._logged)

    def _logged(self, run_id: str) -> None:
        for sweep in list(self._going_on.values()):
            if sweep.has(run_id):
                sweep.tell(Changed(run_id, None))


class _Sweep(Work):
    kind = "sweep"
    log_name = LOG

    def __init__(self, workspace: Workspace, cluster: Cluster, run: Run, over: Callable[[], object]) -> None:
        super().__init__(workspace, cluster, run, over)
        self._spec: SweepSpec = sweeps.of_run(run)
        self._forget()

    def _forget(self) -> None:
        """Know nothing of its runs: they are read from the store."""
        self._sampler = Sampler(self._spec, self._spec.seed)
        self._children: dict[str, Child] = {}
        self._inherited: list[Past] = []
        self._best: tuple[str, float] | None = None
        # Why no more runs are started, once that is so; and why it failed, if it did.
        self._ending: str | None = None
        self._cancelled = False
        self._error: str | None = None

    def has(self, run_id: str) -> bool:
        """Whether the run is one of its children."""
        return run_id in self._children

    def _go_on(self) -> bool:
        """Until all its runs are over. False when the server ends before that."""
        parent = self._workspace.runs.advance(self._parent.id, "Running")
        began = (parent.process or {}).get("began")
        if began is None:
            self._workspace.runs.note_process(parent.id, {"began": (began := mark())})
        deadline = time.monotonic() + self._spec.max_minutes * 60 - seconds_since_mark(began)
        if parent.status == "CancelRequested":
            self._end("It was cancelled.", cancelled=True)
        while True:
            self._start_runs()
            if not self._active() and (self._ending or self._complete()):
                return True
            try:
                told = self._told.get(timeout=min(max(0.0, deadline - time.monotonic()), threading.TIMEOUT_MAX))
            except queue.Empty:
                self._end(f"It took longer than its {self._spec.max_minutes} minutes.", cancelled=True)
                deadline += threading.TIMEOUT_MAX
                continue
            if isinstance(told, Stop):
                return False
            if isinstance(told, Cancel):
                self._end("It was cancelled.", cancelled=True)
            elif (child := self._children.get(told.run_id)) is not None:
                child.status = told.status or child.status
                if told.status is None:
                    self._read(told.run_id, child)
                elif told.status in FINAL:
                    self._say(f"Run {child.number} is {told.status}.")

    def _load(self, why: str) -> None:
        """What an earlier server made of it, or this one before the store could not be written."""
        self._forget()
        for run in reversed(self._workspace.runs.list(parent_id=self._parent.id)):
            if (made := sweep_runs.hyperparameters_of(run)) is not None and is_submitted(run):
                child = Child(len(self._children), made, run.status)
                self._children[run.id] = child
                child.values = self._logged(run.id)
                child.seen = len(child.values)
                self._note_best(run.id, child, known=True)
        for parent_id in self._spec.resume_from:
            for run in self._workspace.runs.list(parent_id=parent_id):
                if (made := sweep_runs.hyperparameters_of(run)) is not None:
                    self._inherited.append(Past(made, self._best_of(self._logged(run.id))))
        if self._children:
            self._say(f"{why}, with {len(self._children)} runs.")

    # Its runs -----------------------------------------------------------------------------------------------

    def _active(self) -> list[str]:
        return [run_id for run_id, child in self._children.items() if child.status not in FINAL]

    def _complete(self) -> bool:
        return len(self._children) >= self._spec.size

    def _start_runs(self) -> None:
        while not self._ending and not self._complete() and len(self._active()) < self._spec.max_concurrent:
            number = len(self._children)
            hyperparameters = self._sampler.take(number, self._past)
            assert hyperparameters is not None  # there are as many as its size says
            try:
                self._start_run(number, hyperparameters)
            except WorkspaceError as error:
                # Its compute was deleted, for example.
                self._error = f"No more runs can be started: {error}"
                self._end(self._error)
            if self._complete():
                self._tag(all_jobs_generated="true")
                self._say("All runs are started.")

    def _start_run(self, number: int, hyperparameters: Hyperparameters) -> None:
        run_id, text = f"{self._parent.id}_{number}", json.dumps(hyperparameters)
        assert self._parent.target is not None
        self._workspace.computes.ready(self._parent.target)
        # First, so that no run is ever without (HyperDriveRun.get_hyperparameters reads them from the parent).
        self._tag(**{run_id: text})
        self._children[run_id] = Child(number, hyperparameters, "NotStarted")
        run = self._workspace.runs.create(sweep_runs.child(self._parent, self._spec, run_id, hyperparameters))
        self._workspace.runs.followed(run)  # the SDK streams the sweep's log, not those of its runs
        self._say(f"Run {number} is started with {text}.")
        self._cluster.submit(run)

    def _past(self) -> list[Past]:
        now_or_then = [
            Past(child.hyperparameters, self._best_of(child.values), running=child.status not in FINAL)
            for child in self._children.values()
        ]
        return self._inherited + now_or_then

    # Their metric -------------------------------------------------------------------------------------------

    def _read(self, run_id: str, child: Child) -> None:
        """Look at what a run has logged since; give it up where the policy says so."""
        child.values = self._logged(run_id)
        self._note_best(run_id, child)
        values = {name: each.values for name, each in self._children.items()}
        for interval in range(child.seen + 1, len(child.values) + 1):
            child.seen = interval
            reason = reason_to_end(self._spec.policy, values, run_id, interval, maximize=self._spec.maximize)
            if reason is not None and child.status not in FINAL and child.status != "Finalizing":
                self._say(f"Run {child.number} is cancelled by the policy at interval {interval}: {reason}.")
                self._cluster.cancel(run_id)
                return

    def _logged(self, run_id: str) -> list[float]:
        """The values of the primary metric, in order; what is no number is left out."""
        try:
            series = self._workspace.metrics.get(run_id, self._spec.metric)
        except NotFound:
            return []
        numbers = []
        for value in series.values:
            for cell in value.data.values():
                # NaN and the infinities travel as texts, and are nothing to compare with.
                if isinstance(cell, (int, float)) and not isinstance(cell, bool):
                    numbers.append(float(cell))
        return numbers

    def _best_of(self, values: list[float]) -> float | None:
        return (max if self._spec.maximize else min)(values, default=None)

    def _note_best(self, run_id: str, child: Child, *, known: bool = False) -> None:
        value = self._best_of(child.values)
        if value is None or (self._best is not None and self._best_of([value, self._best[1]]) == self._best[1]):
            return
        self._best = run_id, value
        if not known:
            self._log_best(final=False)

    def _log_best(self, *, final: bool) -> None:
        if self._best is None:
            return
        run_id, value = self._best
        texts = {"metric_name": self._spec.metric, "timestamp": now(), "run_id": run_id}
        columns = {**dict.fromkeys(texts, "string"), "metric_value": "double", "final": "bool"}
        # The same row twice, of a server before and after a crash, is one.
        row = NewValue({**texts, "metric_value": value, "final": final}, client_id=f"{run_id} {value!r} {final}")
        self._workspace.metrics.append(self._parent.id, [MetricBatch(BEST, TABLE, columns, [row])])

    # The end ------------------------------------------------------------------------------------------------

    def _end(self, why: str, *, cancelled: bool = False) -> None:
        """Start no more runs; where it is cancelled, end those that there are."""
        self._ending = self._ending or why
        self._say(why)
        if cancelled and not self._cancelled:
            self._cancelled = True
            self._tag(cancellation_requested="true")
            self._workspace.runs.advance(self._parent.id, "CancelRequested")
            for run_id in self._active():
                self._cluster.cancel(run_id)

    def _finish(self) -> None:
        for run_id, child in self._children.items():
            child.values = self._logged(run_id)
            self._note_best(run_id, child)
        self._log_best(final=True)
        if self._best is not None:
            self._workspace.runs.modify(
                self._parent.id,
                RunChange(properties={"best_child_run_id": self._best[0], "score": repr(self._best[1])}),
            )
        failed = [run_id for run_id, child in self._children.items() if child.status == "Failed"]
        if self._children and len(failed) == len(self._children) and not self._cancelled and self._error is None:
            why = (self._workspace.runs.get(failed[0]).error or {}).get("error", {}).get("message", "")
            self._error = f"All {len(failed)} runs of the sweep failed. The first one, {failed[0]}: {why}"
        status = "Canceled" if self._cancelled else "Failed" if self._error else "Completed"
        best = f" The best run is {self._best[0]}: {self._spec.metric} {self._best[1]:g}." if self._best else ""
        self._say(f"The sweep is {status}: {len(self._children)} runs, {len(failed)} failed.{best}")
        self._workspace.runs.await_follower(self._parent.id)
        error = user_error(self._error) if status == "Failed" and self._error else None
        self._workspace.runs.advance(self._parent.id, status, error=error)

    def _tag(self, **tags: str) -> None:
        change = RunChange(tags={f"{SYSTEM}{key}": text for key, text in tags.items()})
        self._workspace.runs.modify(self._parent.id, change)
