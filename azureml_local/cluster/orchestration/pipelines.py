"""What runs pipelines: it starts each step when those before it have ended well.

All of it can be read from the store: a server that is started after a crash goes on where the last one was.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
import time
from collections.abc import Callable
from pathlib import Path

from azureml_local.cluster.cluster import Cluster
from azureml_local.runtime.patience import passing
from azureml_local.storage.tables import Run
from azureml_local.workspace import Workspace, pipeline_runs
from azureml_local.workspace.errors import WorkspaceError
from azureml_local.workspace.jobs import InputSpec
from azureml_local.workspace.pipelines import Node, PipelineSpec, pipeline_of
from azureml_local.workspace.run_kinds import PIPELINE, is_orchestrated
from azureml_local.workspace.runs import FINAL, data_container, user_error

logger = logging.getLogger("azureml_local.cluster")

LOG = "logs/azureml/executionlogs.txt"
RETRY_SECONDS = 1.0
# What a pipeline is told of: nothing but that it should look again, or that the server ends.
LOOK, STOP = "look", "stop"


class Pipelines:
    """Every pipeline that goes on, each with a thread of its own that waits for its steps."""

    def __init__(self, workspace: Workspace, cluster: Cluster) -> None:
        self._workspace = workspace
        self._cluster = cluster
        self._going_on: dict[str, _Pipeline] = {}
        cluster.orchestrate(PIPELINE, self._cancel)

    def start(self) -> None:
        """Go on with the pipelines of an earlier server."""
        self._workspace.runs.listen(self._run_changed)
        for run in self._workspace.runs.unfinished():
            if is_orchestrated(run) and run.run_type == PIPELINE:
                try:
                    self.submit(run)
                except Exception as error:
                    # A spec that can't be read, for example: no reason for the others not to go on.
                    logger.exception("The pipeline %s of an earlier server can't be gone on with", run.id)
                    _fail(self._workspace, run.id, error)

    def stop(self) -> None:
        """Start no more steps. Those that there are go on, or end with the cluster."""
        for pipeline in list(self._going_on.values()):
            pipeline.tell(STOP)
        for pipeline in list(self._going_on.values()):
            pipeline.thread.join()

    def submit(self, run: Run) -> None:
        pipeline = _Pipeline(self._workspace, self._cluster, run, lambda: self._going_on.pop(run.id, None))
        self._going_on[run.id] = pipeline
        pipeline.thread.start()

    def _cancel(self, run_id: str) -> None:
        """End a pipeline and all its steps. Nothing, for one that is over."""
        self._workspace.runs.advance(run_id, "CancelRequested")
        if (pipeline := self._going_on.get(run_id)) is not None:
            pipeline.tell(LOOK)

    def _run_changed(self, run: Run) -> None:
        if (pipeline := self._going_on.get(run.parent_id or "")) is not None and run.status in FINAL:
            pipeline.tell(LOOK)


class _Pipeline:
    def __init__(self, workspace: Workspace, cluster: Cluster, run: Run, over: Callable[[], object]) -> None:
        self.thread = threading.Thread(target=self._run, name=run.id, daemon=True)
        self._workspace = workspace
        self._cluster = cluster
        self._parent = run
        self._over = over
        self._spec: PipelineSpec = pipeline_of(run)
        self._told: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._log: Path
        # When the last step was made that this server made.
        self._last = 0.0
        # The ids of runs whose end, or whose cancelling, was told of.
        self._said: set[str] = set()
        self._cancelled: set[str] = set()

    def tell(self, what: str) -> None:
        self._told.put(what)

    def _run(self) -> None:
        try:
            while not self._try_to_the_end():
                if self._stopped_within(RETRY_SECONDS):
                    return
        except Exception as error:
            logger.exception("The pipeline %s can't go on", self._parent.id)
            for run in self._workspace.runs.list(parent_id=self._parent.id):
                try:
                    if run.status not in FINAL:
                        self._cluster.cancel(run.id)
                except Exception:
                    logger.exception("The run %s of a pipeline can't be cancelled", run.id)
            _fail(self._workspace, self._parent.id, error)
        finally:
            self._over()

    def _try_to_the_end(self) -> bool:
        """False where the store could not be written, as on a full disk: then it is tried again."""
        try:
            self._log = self._workspace.artifacts.open_log(data_container(self._parent), LOG)
            if self._go_on():
                self._finish()
        except Exception as error:
            trouble = passing(error)
            if trouble is None:
                raise
            logger.warning("The pipeline %s can't be written, and is tried again: %s", self._parent.id, trouble)
            return False
        return True

    def _stopped_within(self, seconds: float) -> bool:
        """Whether the server ends meanwhile. All else that it is told of stands in the store too."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            with contextlib.suppress(queue.Empty):
                if self._told.get(timeout=left) == STOP:
                    return True
        return False

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
            if self._told.get() == STOP:
                return False

    def _steps(self) -> dict[str, Run]:
        """The runs of the steps that there are, by their nodes."""
        made = self._workspace.runs.list(parent_id=self._parent.id)
        return {str(run.properties[pipeline_runs.NODE]): run for run in made if pipeline_runs.NODE in run.properties}

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
        self._workspace.artifacts.close_log(data_container(self._parent), LOG)

    def _say_end(self, node_id: str, run: Run) -> None:
        if run.status in FINAL and run.id not in self._said:
            self._said.add(run.id)
            self._say(f"Completing processing run id {run.id}: step {run.name} ({node_id}) is {run.status}.")

    def _say(self, line: str) -> None:
        # A full disk, for example: the pipeline goes on.
        with contextlib.suppress(OSError), self._log.open("a", encoding="utf-8") as log:
            print(time.strftime("[%Y-%m-%d %H:%M:%SZ]", time.gmtime()), line, file=log)


def _status(runs: dict[str, Run], node: Node) -> str | None:
    return runs[node.id].status if node.id in runs else None


def _reason(run: Run) -> str:
    return str((run.error or {}).get("error", {}).get("message", "no reason is known."))


def _fail(workspace: Workspace, run_id: str, error: Exception) -> None:
    """A pipeline fails for a fault of ours; where that can't be kept either, the next server tries to go on with it."""
    reason = user_error(f"The pipeline can't go on ({type(error).__name__}: {error}).", "ServiceError")
    try:
        workspace.runs.advance(run_id, "Failed", error=reason)
    except Exception:
        logger.exception("The pipeline %s can't be told to have failed", run_id)
