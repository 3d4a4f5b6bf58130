"""What runs pipelines: it starts each step when those before it have ended well.

All of it can be read from the store: a server that is started after a crash goes on where the last one was.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, replace

from azureml_local.cluster.cluster import Cluster
from azureml_local.cluster.orchestration import sweepsteps
from azureml_local.cluster.orchestration.orchestrator import Cancel, Orchestrator, Stop, Work
from azureml_local.cluster.orchestration.sweeps import Sweeps
from azureml_local.cluster.outputs import OutputError, transformed
from azureml_local.runtime.logs import JOB_LOG
from azureml_local.storage.tables import Run
from azureml_local.workspace import Workspace, pipeline_runs, reuse
from azureml_local.workspace.errors import WorkspaceError
from azureml_local.workspace.jobs import NOTHING, InputSpec
from azureml_local.workspace.pipelines import Node, PipelineSpec, pipeline_of
from azureml_local.workspace.run_kinds import PIPELINE, STEP, SWEEP, cut_short
from azureml_local.workspace.runs import FINAL, data_container, user_error

LOG = "logs/azureml/executionlogs.txt"


class Pipelines(Orchestrator["_Pipeline"]):
    """Every pipeline that goes on."""

    kind = "pipeline"
    run_type = PIPELINE

    def __init__(self, workspace: Workspace, cluster: Cluster, sweeps: Sweeps) -> None:
        super().__init__(workspace, cluster)
        self._sweeps = sweeps
        cluster.orchestrate(STEP, self._cancel_step)

    def _begin(self, run: Run, over: Callable[[], object]) -> _Pipeline:
        return _Pipeline(self._workspace, self._cluster, self._sweeps, run, over)

    def _run_changed(self, run: Run) -> None:
        if run.status not in FINAL:
            return
        if run.run_type == SWEEP and run.parent_id is not None:
            # That of a step: whose pipeline ends it.
            run = self._workspace.runs.get(run.parent_id)
        super()._run_changed(run)

    def _cancel_step(self, run_id: str) -> None:
        """Cancel a step that is no job: what runs in its place."""
        run = self._workspace.runs.advance(run_id, "CancelRequested")
        for child in self._workspace.runs.list(parent_id=run_id):
            self._cluster.cancel(child.id)
        if (work := self._going_on.get(run.parent_id or "")) is not None:
            work.tell(Cancel())


class _Pipeline(Work):
    kind = "pipeline"
    log_name = LOG

    def __init__(
        self, workspace: Workspace, cluster: Cluster, sweeps: Sweeps, run: Run, over: Callable[[], object]
    ) -> None:
        super().__init__(workspace, cluster, run, over)
        self._sweeps = sweeps
        self._spec: PipelineSpec = pipeline_of(run)
        # When the last step was made that this server made.
        self._last = 0.0
        # The ids of runs whose end, or whose cancelling, was told of.
        self._said: set[str] = set()
        self._cancelled: set[str] = set()

    def _moment(self) -> str:
        return time.strftime("[%Y-%m-%d %H:%M:%SZ]", time.gmtime())

    def _load(self, why: str) -> None:
        """All that is known of its steps is read when it is needed."""

    def _active(self) -> list[str]:
        runs = self._workspace.runs.list(parent_id=self._parent.id)
        return [run.id for run in runs if run.status not in FINAL]

    def _go_on(self) -> bool:
        """Until all its steps are over. False when the server ends before that."""
        self._workspace.runs.advance(self._parent.id, "Running")
        while True:
            runs = self._steps()
            if self._settle(runs):
                continue
            for node_id, run in runs.items():
                self._note_end(node_id, run, runs)
            if self._ending(runs):
                ready: list[Node] = []
            else:
                ready = [node for node in self._spec.nodes if node.id not in runs and self._is_ready(node, runs)]
            if ready:
                named = ",".join(f"{node.id}:{node.name}" for node in ready[:5])
                self._say(f"Submitting {len(ready)} runs, first five are: {named}")
                for node in ready:
                    self._start(node, runs)
                continue
            if self._tend(runs):
                continue
            if all(run.status in FINAL for run in runs.values()):
                return True
            if isinstance(self._told.get(), Stop):
                return False

    def _steps(self) -> dict[str, Run]:
        """The runs of the steps that there are, by their nodes: the newest one of each.

        One that the end of an earlier server cut short is none: its step is started again.
        """
        made = reversed(self._workspace.runs.list(parent_id=self._parent.id))
        found = {str(run.properties[pipeline_runs.NODE]): run for run in made if pipeline_runs.NODE in run.properties}
        return {node_id: run for node_id, run in found.items() if not cut_short(run)}

    def _ending(self, runs: dict[str, Run]) -> bool:
        """Whether no more steps are to start, because of a cancellation or of one that failed."""
        if self._is_cancelled():
            for run in runs.values():
                if run.status not in FINAL and run.id not in self._cancelled:
                    self._cancelled.add(run.id)
                    self._cluster.cancel(run.id)
            return True
        bad = any(run.status in ("Failed", "Canceled") for run in runs.values())
        return bad and not self._spec.continue_on_failure

    def _is_cancelled(self) -> bool:
        return self._workspace.runs.get(self._parent.id).status == "CancelRequested"

    @staticmethod
    def _is_ready(node: Node, runs: dict[str, Run]) -> bool:
        return all(before in runs and runs[before].status == "Completed" for before in node.before)

    def _start(self, node: Node, runs: dict[str, Run]) -> None:
        self._last = time.monotonic()
        try:
            inputs = tuple(self._inputs(node, runs))
        except OutputError as error:
            run = self._workspace.runs.create(pipeline_runs.step(self._parent, node, ()))
            self._workspace.runs.advance(run.id, "Failed", error=user_error(str(error)))
            return
        if (done := self._done_before(node, runs)) is not None:
            self._workspace.runs.create(pipeline_runs.reused(self._parent, node, inputs, asdict(done)))
            return
        if node.sweep is not None:
            self._workspace.runs.create(pipeline_runs.swept(self._parent, node, inputs))
            return
        run = self._workspace.runs.create(pipeline_runs.step(self._parent, node, inputs))
        try:
            self._workspace.computes.ready(node.job.target)
        except WorkspaceError as error:
            self._workspace.runs.advance(run.id, "Failed", error=user_error(str(error)))
            return
        self._cluster.submit(run)

    def _tend(self, runs: dict[str, Run]) -> bool:
        """Start and end the sweeps of steps. Whether something is different now."""
        changed = False
        for node_id, run in runs.items():
            node = self._spec.node(node_id)
            if node is not None and node.sweep is not None and run.status not in FINAL:
                sweepsteps.tend(self._workspace, self._sweeps, run, node)
                changed = changed or self._workspace.runs.get(run.id).status != run.status
        return changed

    # Reuse --------------------------------------------------------------------------------------------------

    def _parts(self, node: Node, runs: dict[str, Run]) -> dict[str, str] | None:
        """What an earlier run must have in common with a step; None where it is to run in any case."""
        if node.reuse is None:
            return None
        made = {link.input: [reuse.origin(runs[link.node]), link.output] for link in node.links}
        return {**node.reuse, "inputs from other steps": reuse.digest(made)}

    def _done_before(self, node: Node, runs: dict[str, Run]) -> reuse.Done | None:
        """The earlier run that is taken in the place of a step; why there is none is said in the log."""
        if (parts := self._parts(node, runs)) is None:
            return None
        if (done := reuse.find(self._workspace, parts)) is not None:
            self._say(f"The step {node.name!r} ({node.id}) is not run: it reuses {done.run_id} of {done.pipeline_id}.")
            return done
        before = reuse.differing(self._workspace, node, parts, self._parent.experiment_id)
        if before is None:
            why = "no run of it has completed in this experiment."
        elif before[1]:
            why = f"other than in its last completed run, {before[0]}: {', '.join(before[1])}."
        else:
            why = f"what its last completed run, {before[0]}, wrote is there no more."
        self._say(f"The step {node.name!r} ({node.id}) has nothing to reuse: {why}")
        return None

    def _settle(self, runs: dict[str, Run]) -> bool:
        """End the runs of steps that stand for earlier runs. Whether there were any."""
        waits = [run for run in runs.values() if reuse.origin(run) != run.id and run.status not in FINAL]
        for run in waits:
            log = self._workspace.artifacts.open_log(data_container(run), JOB_LOG)
            log.write_text(
                f"The step {run.name!r} was not run: its outputs are those of the run {reuse.origin(run)}, which did "
                "the same with the same inputs. To run it in any case, set allow_reuse=False in the step, or submit "
                "with regenerate_outputs=True.\n"
            )
            self._workspace.artifacts.close_log(data_container(run), JOB_LOG)
            self._workspace.runs.advance(run.id, "Running")
            self._workspace.runs.advance(run.id, "Completed")
        return bool(waits)

    # Data ---------------------------------------------------------------------------------------------------

    def _inputs(self, node: Node, runs: dict[str, Run]) -> list[InputSpec]:
        """The inputs of its job: those that other steps have made are known now."""
        links = {link.input: link for link in node.links}
        found = []
        for given in node.job.inputs:
            if (link := links.get(given.name)) is not None:
                maker = self._spec.node(link.node)
                assert maker is not None  # the edge has looked
                given = pipeline_runs.linked(self._workspace, given, link, maker, reuse.origin(runs[link.node]))
                given = self._transformed(given)
            found.append(given)
        return found

    def _transformed(self, given: InputSpec) -> InputSpec:
        """An input as the table that its step reads it as. Raises OutputError."""
        if not given.transformation or given.kind == NOTHING:
            return given
        datasets = self._workspace.datasets
        flow = datasets.saved(given.dataset_id).dataflow
        kind, flow = transformed(flow, given.transformation, f"The input {given.name!r}")
        return replace(given, dataset_id=datasets.save(kind, flow, {}).id)

    def _finish(self) -> None:
        runs = self._steps()
        failed = [(node, runs[node.id]) for node in self._spec.nodes if _status(runs, node) == "Failed"]
        ended = [node for node in self._spec.nodes if _status(runs, node) == "Canceled"]
        cancelled = self._is_cancelled()
        status = "Canceled" if cancelled else "Failed" if failed or ended else "Completed"
        error = None
        if status == "Failed":
            told = [f"The step {node.name!r} failed (run {run.id}): {_reason(run)}" for node, run in failed]
            told += [f"The step {node.name!r} was cancelled." for node in ended]
            error = user_error(" ".join(told))
        self._say(f"The pipeline is {status}: {len(runs)} of {len(self._spec.nodes)} steps ran, {len(failed)} failed.")
        self._workspace.followers.await_listing(self._parent, self._last)
        self._workspace.runs.advance(self._parent.id, status, error=error)

    def _note_end(self, node_id: str, run: Run, runs: dict[str, Run]) -> None:
        if run.status in FINAL and run.id not in self._said:
            node = self._spec.node(node_id)
            done = run.status == "Completed" and reuse.origin(run) == run.id
            if node is not None and done and (parts := self._parts(node, runs)) is not None:
                reuse.note(self._workspace, node, parts, run)
            self._said.add(run.id)
            self._say(f"Completing processing run id {run.id}: step {run.name} ({node_id}) is {run.status}.")


def _status(runs: dict[str, Run], node: Node) -> str | None:
    return runs[node.id].status if node.id in runs else None


def _reason(run: Run) -> str:
    return str((run.error or {}).get("error", {}).get("message", "no reason is known."))
