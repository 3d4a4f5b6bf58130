"""One run on one node, from its image to its last artifact: the server's part of it."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable

from azureml_local.cluster.assignment import guarded
from azureml_local.cluster.embedded import EmbeddedPart
from azureml_local.cluster.engine import JobPart, Postponed
from azureml_local.cluster.jobspec import LOCAL_TARGET
from azureml_local.cluster.logs import JOB_LOG, NODE_LOG, make_readable
from azureml_local.cluster.outputs import COLLECTED, OutputError, Outputs, regular_files
from azureml_local.cluster.record import Machinery, Record
from azureml_local.cluster.remote import RemotePart
from azureml_local.storage.blobs import BlobError
from azureml_local.storage.tables import Run
from azureml_local.storage.trees import remove_tree
from azureml_local.workspace.artifacts import RUN_ORIGIN


class Execution:
    """Has one job run and says truthfully how it ended.

    ``run`` is a thread's whole work; ``cancel`` may come at any time.
    """

    def __init__(self, machinery: Machinery, run: Run, node: str) -> None:
        self._record = Record(machinery, run, node)
        self._workspace = machinery.workspace
        self._part = _part_of(self._record)
        self._closing = threading.Lock()
        self._closed = False

    @property
    def target(self) -> str:
        return self._record.target

    @property
    def lost(self) -> bool:
        """Whether the node was lost while the job ran."""
        return self._record.lost

    def cancel(self) -> bool:
        """Ask for the end. False when the job has ended by itself already: then it stays as it ended."""
        with self._closing:
            if not self._closed:
                self._record.cancelled.set()
            return not self._closed

    def stop(self) -> None:
        """The server stops: a job that runs is cancelled, one that waits for its node goes on waiting."""
        if not self._part.postpone():
            self.cancel()

    def run(self) -> None:
        """From *Preparing* to a final status. Never raises: what goes wrong is the run's error."""
        self._whole(self._part.run)

    def resume(self) -> None:
        """Go on with a job that an earlier server started."""
        if self._record.run.status == "CancelRequested":
            self.cancel()
        self._whole(self._part.resume)

    def conclude(self) -> None:
        """Bring the end of an earlier server's job to its end."""
        self._record.lost = bool(self._record.known.get("lost"))
        self._conclude(str(self._record.known.get("final", "Canceled")))

    # Steps --------------------------------------------------------------------------------------------------

    def _whole(self, job: Callable[[], bool]) -> None:
        def steps() -> None:
            ended, record = job(), self._record
            if not ended and not record.cancelled.is_set():
                record.fail("The job never began, and its node doesn't say why.", "SystemError")
            if ended and not record.lost:
                self._keep_outputs()

        try:
            guarded(self._record, steps)
        except Postponed:
            return
        except Exception:
            self._finish()
            raise
        self._finish()

    def _keep_outputs(self) -> None:
        record = self._record
        outputs = Outputs(self._workspace, record.run, self._part.outputs())
        try:
            outputs.keep(record.say, well=not record.cancelled.is_set() and not record.failed)
        except OutputError as error:
            record.fail(str(error))
            record.say(str(error))

    def _finish(self) -> None:
        record = self._record
        with self._closing:
            self._closed = True
        final = "Canceled" if record.cancelled.is_set() else "Failed" if record.failed else "Completed"
        # First, so that a server that is started later finds what it comes to.
        record.remember({"final": final, "lost": record.lost})
        self._conclude(final)

    def _conclude(self, final: str) -> None:
        """All of it can be done twice: a server that is killed leaves the rest to the next one.

        Still as *Running*, whatever takes time and whoever is waited for: the SDK takes *Finalizing* for the end.
        """
        record = self._record
        if not record.lost:
            self._collect()
        self._close_job_log()
        record.say(f"The run is {final}.")
        self._workspace.runs.await_follower(record.run.id)
        self._workspace.runs.conclude(record.run.id, final)
        self._workspace.artifacts.close_log(record.container, NODE_LOG)
        remove_tree(record.folder)

    def _close_job_log(self) -> None:
        record, artifacts = self._record, self._workspace.artifacts
        if artifacts.exists(RUN_ORIGIN, record.container, JOB_LOG):
            blob = artifacts.get(RUN_ORIGIN, record.container, JOB_LOG)
            with contextlib.suppress(OSError):
                if blob.live and (strays := make_readable(artifacts.path(blob))):
                    record.say(f"{strays} bytes of {JOB_LOG} were not UTF-8; a question mark is in the place of each.")
            artifacts.close_log(record.container, JOB_LOG)

    def _collect(self) -> None:
        """Keep the files of ``outputs`` and ``logs`` that the job did not upload itself, or changed since."""
        record, artifacts, working = self._record, self._workspace.artifacts, self._part.working
        for folder in COLLECTED:
            for path in sorted(regular_files(working / folder)):
                name = path.relative_to(working).as_posix()
                try:
                    if artifacts.exists(RUN_ORIGIN, record.container, name):
                        known = artifacts.get(RUN_ORIGIN, record.container, name)
                        if known.size == path.stat().st_size:
                            continue
                    artifacts.put_file(RUN_ORIGIN, record.container, name, path)
                except (OSError, BlobError, UnicodeError) as error:
                    # A name that isn't UTF-8, or longer than a blob's can be, for example.
                    record.say(f"{name} could not be kept: {error}")


def _part_of(record: Record) -> JobPart:
    """Where the job happens, or happened. The client's own machine is this one."""
    desk = record.machinery.desk
    if "who" in record.known or (desk.placement is not None and record.target != LOCAL_TARGET and not record.known):
        return RemotePart(record, desk)
    return EmbeddedPart(record)
