"""The remote executor: placement of a job on a worker, its reports, and the detection of a lost node.

A scheduler only finds a worker. All else goes over the server's own TLS, with the run's token: the worker claims the
run, is told what to do, and says how it goes, once a second at least. What it says is numbered, and what it sends has
its place in a file, so that both can be sent again when an answer was lost; and since the worker remembers until it has
an answer, a server that was killed and started again hears all of it.

Nobody else can claim a run that is claimed. So a scheduler that starts a task anew, its worker being gone, starts
nothing: the run fails, as one does on a dedicated AmlCompute whose node is lost.
"""

from __future__ import annotations

import errno
import os
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path

from azureml_local.cluster.remote.registry import Placed, WorkerNode, WorkerRegistry
from azureml_local.cluster.runcontext import RunContext
from azureml_local.runtime.faults import FaultKind
from azureml_local.runtime.inputs import InputError
from azureml_local.runtime.logs import JOB_LOG
from azureml_local.runtime.outputs import COLLECTED, OutputFolders
from azureml_local.runtime.reporter import Postponed
from azureml_local.storage.tables import Json
from azureml_local.workspace.artifacts import RUN_ORIGIN
from azureml_local.workspace.errors import Conflict, Invalid, NotBuilt
from azureml_local.workspace.jobs import spec_of
from azureml_local.workspace.snapshots import safe_path

POLL_SECONDS = 0.5
# A worker that can't reach the server for so long ends its job; if the worker itself can't, the supervisor does.
CUT_OFF_SECONDS = 30.0
# After that, and the time that killing may take, no process of the job is left: then the node counts as lost.
SILENCE_SECONDS = CUT_OFF_SECONDS + 15.0
RETRY_SECONDS = 5.0
# How long a server that stops waits for a node to end its job; it hears of it again when it starts again, or not.
STOP_SECONDS = 20.0

STAGES = ("Preparing", "Starting", "Running")
MAX_WARNING = 10_000
LOGS = ("build", "job")
# Below the run's folder; what is brought goes nowhere else.
WORKING, OUTPUT_DATA = "wd", "output-data"
BROUGHT = (*((WORKING, name) for name in COLLECTED), (OUTPUT_DATA,))
SEVERAL = (
    "A job of several processes runs on the server's own machine only, where its processes find one another: start the "
    "server without --scheduler, or leave distributed_job_config out."
)
# A name that this file system can't have.
BAD_NAME = (errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.EINVAL, errno.EILSEQ)


class RemoteExecutor:
    """A `reporter.Executor` on another machine, and what its node finds at the `registry`."""

    def __init__(self, record: RunContext, registry: WorkerRegistry) -> None:
        self._record = record
        self._registry = registry
        self._changed = threading.Condition()
        known = record.known
        self._attempt = str(known.get("attempt") or uuid.uuid4().hex)
        self._who: str | None = known.get("who")
        self._worker = str(known.get("worker") or "")
        self._ran: bool | None = known.get("ran")  # known once it has ended
        self._number: int | None = None  # of the next thing that it says
        self._heard = time.monotonic()
        self._running = record.run.status == "Running"
        self._losing = False
        self._closed = False
        self._placed: Placed | None = None
        self._stop_by: float | None = None

    # The run's own thread -----------------------------------------------------------------------------------

    def run(self) -> bool:
        if spec_of(self._record.run).distribution is not None:
            raise NotBuilt(SEVERAL)
        try:
            return self._expecting(lambda: self._await_claim() and self._await_end())
        finally:
            # Not before: the scheduler would take a worker for free whose task nobody waits for.
            if self._placed is not None:
                self._placed.withdraw()

    def resume(self) -> bool:
        if self._ran is None:
            self._record.say(f"A new server waits to hear of {self._worker}.")
        return self._expecting(self._await_end)

    def postpone(self) -> bool:
        with self._changed:
            self._stop_by = time.monotonic() + STOP_SECONDS
            if self._who is None:
                self._closed = True
                self._changed.notify_all()
            return self._closed

    @property
    def working(self) -> Path:
        return self._record.folder / WORKING

    def outputs(self) -> OutputFolders:
        specs = spec_of(self._record.run).outputs
        return OutputFolders(tuple(spec.brought() for spec in specs), self._record.folder, self.working)

    def _expecting(self, wait: Callable[[], bool]) -> bool:
        self._registry.expect(self._record.run.id, self)
        try:
            return wait()
        finally:
            self._registry.forget(self._record.run.id)

    def _await_claim(self) -> bool:
        """Whether a worker has taken it. Raises InputError when none can, Postponed when the server stops before."""
        record = self._record
        while True:
            if self._placed is None:
                self._placed = self._place()
            seconds = POLL_SECONDS if self._placed is not None else RETRY_SECONDS
            with self._changed:
                self._changed.wait_for(lambda: self._who or self._closed, seconds)
                if self._who:
                    return True
                if record.cancelled.is_set():
                    self._closed = True
                    return False
                if self._closed:
                    raise Postponed
            state = self._placed.state() if self._placed is not None else "gone"
            if state == "gone":
                self._placed = None
            elif state != "waiting":
                raise InputError(f"No worker could take the run: {state}")

    def _place(self) -> Placed | None:
        assert self._registry.placement is not None
        record = self._record
        order = {"run": record.run.id, "attempt": self._attempt, **self._registry.order}
        order["workspace"] = record.workspace.identity.of_run(record.run).arm_id
        order["token"] = record.services.job_variables(record.run)["AZUREML_RUN_TOKEN"]
        try:
            return self._registry.placement.place(record.run.id, order)
        except OSError as error:
            self._record.say(f"{error} The next try is in {RETRY_SECONDS:g} s.")
            return None

    def _await_end(self) -> bool:
        record = self._record
        while True:
            with self._changed:
                if self._ran is not None:
                    break
                self._changed.wait(POLL_SECONDS)
                silent, running = time.monotonic() - self._heard, self._running
            if self._stop_by is not None and time.monotonic() > self._stop_by:
                raise Postponed
            if running and not self._losing and record.meets(FaultKind.NODE_LOST):
                self._losing = True
            if silent > SILENCE_SECONDS and self._ran is None:
                record.lose(
                    f"the node {record.node}, {self._worker},",
                    f": it was not heard of for {silent:.0f} s. A worker that can't reach its server for "
                    f"{CUT_OFF_SECONDS:g} s ends its job",
                )
                record.say(f"Nothing was heard of {self._worker} for {silent:.0f} s.")
                return True
        return self._ran

    # What the node asks and says ----------------------------------------------------------------------------

    def claim(self, node: WorkerNode, worker: str) -> Json:
        record = self._record
        with self._changed:
            first = self._who is None
            if self._closed or node.attempt != self._attempt or self._who not in (None, node.who):
                raise Conflict(f"The run {record.run.id} is another node's.")
            if first:
                record.checkpoint({"attempt": self._attempt, "who": node.who, "worker": worker})
                self._who, self._worker = node.who, worker
            self._heard = time.monotonic()
            self._changed.notify_all()
        if first:
            record.say(f"Node {record.node} is {worker}; it prepares the run {record.run.id}.")
        return {
            "spec": spec_of(record.run).to_json(),
            "variables": record.services.job_variables(record.run),
            "flows": record.flows(),
            "snapshot": record.run.snapshot_id,
            "host": record.services.builder.host,
            "build_fails": record.meets(FaultKind.BUILD_FAILED),
            "cut_off": CUT_OFF_SECONDS,
        }

    def report(self, node: WorkerNode, first: int, events: list[Json]) -> dict[str, bool]:
        with self._changed:
            self._check(node)
            # A new server begins where its node does.
            self._heard = time.monotonic()
            expected = first if self._number is None else self._number
            for event in events[max(0, expected - first) :]:
                self._take(event)
            self._number = max(expected, first + len(events))
            self._changed.notify_all()
            return {"cancel": self._record.cancelled.is_set(), "lose": self._losing}

    def _take(self, event: Json) -> None:
        record = self._record
        match event:
            case {"say": str(line)}:
                record.say(line)
            case {"stage": str(stage)} if stage in STAGES:
                record.stage(stage)
                self._running = stage == "Running"
            case {"warn": str(message)}:
                record.warn(message[:MAX_WARNING])
            case {"built": True}:
                record.build_log_done()
            case {"fail": str(message), "code": str(code)}:
                record.fail(message, code)
            case {"ran": bool(ran)}:
                # Before the answer: the node forgets then, and the next server must know.
                record.checkpoint({"attempt": self._attempt, "who": self._who, "worker": self._worker, "ran": ran})
                self._ran = ran
            case _:
                raise Invalid("A node says nothing of this kind.")

    def fingerprints(self, node: WorkerNode) -> dict[str, str]:
        """Of the run's inputs as they are now."""
        with self._changed:
            self._check(node)
            self._heard = time.monotonic()
        return self._record.fingerprints()

    def wanted(self, node: WorkerNode, files: Mapping[str, int]) -> list[str]:
        """Those that the job has not uploaded itself, or changed since."""
        with self._changed:
            self._check(node)
        artifacts, container = self._record.workspace.artifacts, self._record.container
        found = []
        for path, size in files.items():
            parts = _place(path).parts
            name = "/".join(parts[1:])
            there = parts[0] == WORKING and artifacts.exists(RUN_ORIGIN, container, name)
            if not there or artifacts.get(RUN_ORIGIN, container, name).size != size:
                found.append(path)
        return found

    def write(self, node: WorkerNode, log: str | None, path: str, offset: int, data: bytes) -> int:
        """Bytes of a log, or of a file that the job has left. Returns how large it is now.

        Raises Invalid for a place outside the run's, and for a gap.
        """
        with self._changed:
            self._check(node)
            self._heard = time.monotonic()
            if log is None:
                target = self._record.folder / _place(path)
            elif log in LOGS:
                target = self._record.job_log(JOB_LOG) if log == "job" else self._record.build_log()
            else:
                raise Invalid(f"A node has the logs {' and '.join(LOGS)}, not {log[:80]!r}.")
            try:
                target.parent.mkdir(parents=True, exist_ok=True)
                target.touch()
                with target.open("r+b") as file:
                    size = file.seek(0, os.SEEK_END)
                    if offset > size:
                        raise Invalid(f"There are {size} bytes of it so far; these are from {offset} on.")
                    file.seek(offset)
                    file.truncate()
                    file.write(data)
                    return file.tell()
            except (OSError, UnicodeError) as error:
                if isinstance(error, UnicodeError) or error.errno in BAD_NAME:
                    raise Invalid(f"A file can't be kept under the name {path[:200]!r}: {error}") from error
                raise

    def _check(self, node: WorkerNode) -> None:
        if self._closed or self._ran is not None or (node.attempt, node.who) != (self._attempt, self._who):
            raise Conflict(f"The run {self._record.run.id} is over, or another node's.")


def _place(path: str) -> Path:
    """The path of an uploaded file. Raises Invalid for one that no node may upload."""
    inside = safe_path(path)
    if not any(inside.parts[: len(folder)] == folder and len(inside.parts) > len(folder) for folder in BROUGHT):
        raise Invalid(f"A node brings no file {path[:200]!r}.")
    return Path(inside)
