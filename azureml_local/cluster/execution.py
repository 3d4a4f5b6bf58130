"""The server's part of one run's execution, from the image build to the last artifact."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable
from typing import BinaryIO

from azureml_local.cluster.keeping import OutputCollector
from azureml_local.cluster.localexecutor import LocalExecutor
from azureml_local.cluster.outputs import OutputError, Outputs
from azureml_local.cluster.remote.executor import RemoteExecutor
from azureml_local.cluster.runcontext import ClusterServices, RunContext
from azureml_local.runtime.jobrunner import guarded
from azureml_local.runtime.left import Left, left_in, open_up
from azureml_local.runtime.logs import NODE_LOG, job_logs, make_readable
from azureml_local.runtime.outputs import COLLECTED
from azureml_local.runtime.reporter import Executor, Postponed
from azureml_local.storage import short_folders
from azureml_local.storage.tables import Run
from azureml_local.storage.trees import remove_tree
from azureml_local.workspace.artifacts import RUN_ORIGIN
from azureml_local.workspace.jobs import LOCAL_TARGET, Distribution, SpecMissing, spec_of
from azureml_local.workspace.run_kinds import STEP, STOPPED

# In what a run remembers: that an earlier server has begun to copy its output datasets.
OUTPUTS_BEGUN = "outputs"
# Removed in any case, even where a run's folder stays for files that could not be stored.
SCRATCH = ("inputs",)


class Execution:
    """Executes one run's job and records its outcome.

    ``run`` is a thread's whole work; ``cancel`` may come at any time. ``give_back`` is called, perhaps more than once,
    where the job is over and the run's end has to wait: the node is free then.
    """

    def __init__(self, services: ClusterServices, run: Run, node: str, give_back: Callable[[], None]) -> None:
        self._give_back = give_back
        self._record = RunContext(services, run, node)
        self._workspace = services.workspace
        self._executor = _executor_for(self._record)
        self._closing = threading.Lock()
        self._closed = False

    @property
    def target(self) -> str:
        return self._record.target

    @property
    def lost(self) -> bool:
        """Whether the node was lost while the job ran."""
        return self._record.lost

    def cancel(self, *, stopping: bool = False) -> bool:
        """Request cancellation. False when the job has ended by itself already: then its outcome stands.

        ``stopping``: only because the server ends.
        """
        with self._closing:
            if not self._closed:
                self._record.stopped = stopping and not self._record.cancelled.is_set()
                self._record.cancelled.set()
            return not self._closed

    def stop(self) -> None:
        """The server stops: a job that runs is cancelled, one that waits for its node goes on waiting."""
        if not self._executor.postpone():
            self.cancel(stopping=True)
        self._record.patience.stop()

    def run(self) -> None:
        """From *Preparing* to a final status. Never raises: what goes wrong is the run's error."""
        self._whole(self._executor.run)

    def resume(self) -> None:
        """Go on with a job that an earlier server started."""
        if self._record.run.status == "CancelRequested":
            self.cancel()
        self._whole(self._executor.resume)

    def conclude(self) -> None:
        """Conclude a run whose job ended under an earlier server."""
        record = self._record
        record.owned()
        record.lost, record.left = bool(record.known.get("lost")), bool(record.known.get("left"))
        record.stopped = bool(record.known.get(STOPPED))
        with self._closing:
            self._closed = True
        self._end_may_wait()
        try:
            self._conclude(str(record.known.get("final", "Canceled")))
        except Postponed:
            record.say("The server stops; the next one brings the run to its end.")

    # Steps --------------------------------------------------------------------------------------------------

    def _whole(self, job: Callable[[], bool]) -> None:
        def steps() -> None:
            ended, record = job(), self._record
            if not ended and not record.cancelled.is_set():
                record.fail("The job never began, and its node doesn't say why.", "ServiceError")
            if ended and not record.lost:
                self._keep_outputs()

        self._record.owned()
        try:
            try:
                guarded(self._record, steps)
            except Postponed:
                return
            except Exception:
                self._finish()
                raise
            self._finish()
        except Postponed:
            self._record.say("The server stops; the next one brings the run to its end.")

    def _keep_outputs(self) -> None:
        record = self._record
        self._end_may_wait()
        outputs = Outputs(self._workspace, record.run, self._executor.outputs())
        begun = (self._workspace.runs.get(record.run.id).process or {}).get(OUTPUTS_BEGUN, False)
        if outputs.folders.specs and not begun:
            known = self._workspace.runs.get(record.run.id).process or {}
            record.checkpoint({**known, OUTPUTS_BEGUN: True})
        try:
            well = not record.cancelled.is_set() and not record.failed
            outputs.keep(OutputCollector(record, record.waits), record, well=well, begun=begun)
        except OutputError as error:
            record.fail(str(error))
            record.say(str(error))

    def _end_may_wait(self) -> None:
        """From now on nothing runs: what has to wait for room doesn't keep the node from others."""
        self._record.waits = self._give_back

    def _finish(self) -> None:
        record = self._record
        with self._closing:
            self._closed = True
        self._end_may_wait()
        record.settle()
        final = "Canceled" if record.cancelled.is_set() else "Failed" if record.failed else "Completed"
        # First, so that a server that is started later finds what it comes to.
        record.checkpoint({"final": final, "lost": record.lost, "left": record.left, STOPPED: record.stopped})
        self._conclude(final)

    def _conclude(self, final: str) -> None:
        """All of it can be done twice: a server that is killed leaves the rest to the next one.

        Still as *Running*, whatever takes time and whoever is waited for: the SDK takes *Finalizing* for the end.
        """
        record = self._record
        if not record.lost and not self._collect() and final == "Completed":
            final = "Failed"
        record.write(self._close_job_logs)
        record.say(f"The run is {final}.")
        self._await_reader()
        record.write(
            lambda: self._workspace.runs.conclude(record.run.id, final, left=record.left, stopped=record.stopped)
        )
        record.write(lambda: self._workspace.artifacts.close_log(record.container, NODE_LOG))
        short_folders.remove(record.folder)
        if record.left:
            for name in SCRATCH:
                remove_tree(record.folder / name)
        else:
            remove_tree(record.folder)

    def _await_reader(self) -> None:
        """Until whoever prints the log has all of it, for a little while. The node is free for others meanwhile."""
        self._give_back()
        run = self._record.run
        if run.run_type == STEP:
            self._workspace.followers.await_reading(run)
        else:
            self._workspace.runs.await_follower(run.id)

    def _close_job_logs(self) -> None:
        record, artifacts = self._record, self._workspace.artifacts
        for name in job_logs(self._distribution()):
            if artifacts.exists(RUN_ORIGIN, record.container, name):
                blob = artifacts.get(RUN_ORIGIN, record.container, name)
                with contextlib.suppress(OSError):
                    if blob.live and (strays := make_readable(artifacts.path(blob))):
                        record.say(f"{strays} bytes of {name} were not UTF-8; a question mark is in the place of each.")
                artifacts.close_log(record.container, name)

    def _distribution(self) -> Distribution | None:
        with contextlib.suppress(SpecMissing):  # of an earlier version, whose jobs were one process
            return spec_of(self._record.run).distribution
        return None

    def _collect(self) -> bool:
        """Keep the files of ``outputs`` and ``logs`` that the job did not upload itself, or changed since. False when
        there was no room for all of them.
        """
        record, artifacts = self._record, self._workspace.artifacts
        open_up(record.folder)
        found = Left()
        for folder in COLLECTED:
            found.add("", left_in(self._executor.working, folder))

        def put(name: str, source: BinaryIO) -> None:
            if artifacts.exists(RUN_ORIGIN, record.container, name):
                known = artifacts.get(RUN_ORIGIN, record.container, name)
                if known.size == os.fstat(source.fileno()).st_size:
                    return
            artifacts.put_file(RUN_ORIGIN, record.container, name, source)

        return OutputCollector(record, record.waits).keep(found.files, put, found.odd)


def _executor_for(record: RunContext) -> Executor:
    """Where the job happens, or happened. The client's own machine is this one."""
    registry = record.services.registry
    if "who" in record.known or (registry.placement is not None and record.target != LOCAL_TARGET and not record.known):
        return RemoteExecutor(record, registry)
    return LocalExecutor(record)
