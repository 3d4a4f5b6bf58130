"""What runs pipelines: it starts each step when those before it have ended well.

All of it can be read from the store: a server that is started after a crash goes on where the last one was.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from azureml_local.cluster.cluster import Cluster
from azureml_local.cluster.orchestration.orchestrator import Orchestrator, Stop, Work
from azureml_local.storage.tables import Run
from azureml_local.workspace import Workspace, pipeline_runs
from azureml_local.workspace.errors import WorkspaceError
from azureml_local.workspace.jobs import InputSpec
from azureml_local.workspace.pipelines import Node, PipelineSpec, pipeline_of
from azureml_local.workspace.run_kinds import PIPELINE, cut_short
from azureml_local.workspace.runs import FINAL, user_error

LOG = "logs/azureml/executionlogs.txt"


class Pipelines(Orchestrator["_Pipeline"]):
    """Every pipeline that goes on."""

    kind = "pipeline"
    run_type = PIPELINE

    def _begin(self, run: Run, over: Callable[[], object]) -> _Pipeline:
        return _Pipeline(self._workspace, self._cluster, run, over)

    def _run_changed(self, run: Run) -> None:
        if run.status in FINAL:
            super()._run_changed(run)


class _Pipeline(Work):
    kind = "pipeline"
    log_name = LOG

    def __init__(self, workspace: Workspace, cluster: Cluster, run: Run, over: Callable[[], object]) -> None:
        super().__init__(workspace, cluster, run, over)
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
            for node_id, run in runs.items():
                self._say_end(node_id, run)
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
        new = pipeline_runs.step(self._parent, node, tuple(self._inputs(node, runs)))
        run = self._workspace.runs.create(new)
        self._last = time.monotonic()
        try:
            self._workspace.computes.ready(node.job.target)
        except WorkspaceError as error:
            self._workspace.runs.advance(run.id, "Failed", error=user_error(str(error)))
            return
        self._cluster.submit(run)

    def _inputs(self, node: Node, runs: dict[str, Run]) -> list[InputSpec]:
        """The inputs of its job: those that other steps have made are known now."""
        links = {link.input: link for link in node.links}
        found = []
        for given in node.job.inputs:
            if (link := links.get(given.name)) is not None:
                maker = self._spec.node(link.node)
                assert maker is not None  # the edge has looked
                given = pipeline_runs.linked(self._workspace, given, link, maker, runs[link.node].id)
            found.append(given)
        return found

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

    def _say_end(self, node_id: str, run: Run) -> None:
        if run.status in FINAL and run.id not in self._said:
            self._said.add(run.id)
            self._say(f"Completing processing run id {run.id}: step {run.name} ({node_id}) is {run.status}.")


def _status(runs: dict[str, Run], node: Node) -> str | None:
    return runs[node.id].status if node.id in runs else None


def _reason(run: Run) -> str:
    return str((run.error or {}).get("error", {}).get("message", "no reason is known."))
