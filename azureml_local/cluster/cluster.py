"""The local cluster: queues and nodes of its computes, execution of runs, and recovery after a restart."""

from __future__ import annotations

import logging
import sys
import threading
from collections import deque
from collections.abc import Callable, Container, Iterable
from functools import partial

from azureml_local.cluster import waiting
from azureml_local.cluster.execution import Execution
from azureml_local.cluster.imagebuilds import ImageBuilds
from azureml_local.cluster.nodes import Allocation, Node, NodePool
from azureml_local.cluster.runcontext import ClusterServices
from azureml_local.runtime.faults import FaultKind
from azureml_local.runtime.process import end_strays, marked_of_all, status_file
from azureml_local.storage.tables import Compute, Run
from azureml_local.workspace.computes import ScaleSettings
from azureml_local.workspace.errors import NotFound
from azureml_local.workspace.jobs import LOCAL_TARGET
from azureml_local.workspace.run_kinds import is_orchestrated, is_submitted
from azureml_local.workspace.runs import FINAL, data_container, user_error

logger = logging.getLogger("azureml_local.cluster")

# After a fault in the scheduling itself: when to try again.
FAULT_SECONDS = 1.0


class Cluster:
    """One queue and one pool of nodes for each AmlCompute.

    A thread for each running job, and one that assigns them.
    """

    def __init__(self, services: ClusterServices) -> None:
        self._services = services
        self._workspace = services.workspace
        self.faults = services.faults
        self.registry = services.registry
        self.image_builds = ImageBuilds(services.workspace.blobs, services.builder)
        self._changed = threading.Condition()
        self._pools: dict[str, NodePool] = {}
        self._queues: dict[str, deque[Run]] = {}
        self._logs = waiting.QueueLogs(services.workspace.artifacts)
        self._running: dict[str, tuple[Execution, threading.Thread]] = {}
        self._orchestrators: dict[str, Callable[[str], None]] = {}
        self._stopping = False
        self._scheduler = threading.Thread(target=self._schedule, name="cluster", daemon=True)

    # Life ---------------------------------------------------------------------------------------------------

    def start(self) -> None:
        for compute in self._workspace.computes.list():
            if compute.provisioning_error is None:
                self.resize(compute)
        # The client's own machine has no queue: each run starts at once.
        self._pools[LOCAL_TARGET] = NodePool(ScaleSettings(0, sys.maxsize, 0.0))
        self._queues[LOCAL_TARGET] = deque()
        self._take_up()
        try:
            self._services.inputs.shared.sweep()
        except OSError:
            logger.exception("What runs have shared can't be looked through; it is tried again when one fetches data")
        self.faults.listen(self._wake)
        self._scheduler.start()

    def stop(self) -> None:
        """End every running job as cancelled, and wait until their processes are gone.

        Waiting runs stay in the queue.
        """
        with self._changed:
            self._stopping = True
            running = list(self._running.values())
            self._changed.notify_all()
        for execution, _ in running:
            execution.stop()
        self.image_builds.stop()
        for _, thread in running:
            thread.join()
        if self._scheduler.ident:
            self._scheduler.join()
        self._services.registry.stop()

    def _take_up(self) -> None:
        """Recover the runs of an earlier server: jobs that have not begun are queued again, living processes are
        monitored, and runs whose job has ended are concluded.
        """
        # Looked for once: of 2,000 runs that wait hardly any has processes.
        living = marked_of_all()
        for run in self._workspace.runs.unfinished():
            try:
                self._take_up_one(run, living)
            except Exception as error:
                # A row that can't be read, for example: no reason for the others not to go on.
                logger.exception("The run %s of an earlier server can't be gone on with", run.id)
                self._give_up(run.id, f"The server can't go on with the run ({type(error).__name__}: {error}).")

    def _take_up_one(self, run: Run, living: Container[str]) -> None:
        known = run.process or {}
        if not is_submitted(run) or not run.target or is_orchestrated(run):
            return  # an interactive run: its own process says when it ends; or a sweep, which is no job itself
        if "pid" in known or "who" in known:
            self._begin(run, run.target, Execution.resume)
            return
        # What fetches its inputs, for example: nobody waits for that any more.
        if str(status := status_file(self._workspace.folder.runs / run.id)) in living:
            end_strays(status)
        if "final" in known or run.status == "CancelRequested":
            self._begin(run, run.target, Execution.conclude)
        else:
            self._logs.resume(run.id)
            self.submit(run)

    def _give_up(self, run_id: str, reason: str) -> None:
        """Fail a run for an internal error. Errors while doing so are logged only."""
        try:
            self._workspace.runs.advance(run_id, "Failed", error=user_error(reason, "ServiceError"))
        except Exception:
            logger.exception("The run %s can't be told to have failed", run_id)

    # Computes -----------------------------------------------------------------------------------------------

    def resize(self, compute: Compute) -> None:
        """Make the pool of a compute, or give it new limits."""
        scale = ScaleSettings(compute.min_nodes, compute.max_nodes, compute.idle_seconds)
        with self._changed:
            if compute.name not in self._pools:
                self._pools[compute.name] = NodePool(scale)
                self._queues[compute.name] = deque()
            self._obstruct(compute.name)
            self._pools[compute.name].rescale(scale)
            self._changed.notify_all()

    def remove(self, name: str) -> None:
        """A compute is deleted: its runs are cancelled, and no node is left."""
        with self._changed:
            self._pools.pop(name, None)
            waits = self._queues.pop(name, deque())
            for run in waits:
                self._logs.end(run.id, data_container(run), f"The compute {name} was deleted.")
            on_it = [run_id for run_id, (execution, _) in self._running.items() if execution.target == name]
        for run_id in [run.id for run in waits] + on_it:
            try:
                self.cancel(run_id)
            except NotFound:
                logger.warning("The run %s was deleted while its compute was", run_id)

    def allocation(self, name: str) -> Allocation:
        """How many nodes a compute has and should have; none, for one that was never provisioned."""
        with self._changed:
            if name not in self._pools:
                return NodePool(ScaleSettings(0, 0)).allocation()
            self._obstruct(name)
            return self._pools[name].allocation(len(self._queues[name]))

    def nodes(self, name: str) -> list[Node]:
        with self._changed:
            return self._pools[name].nodes() if name in self._pools else []

    # Runs ---------------------------------------------------------------------------------------------------

    def submit(self, run: Run) -> None:
        """Put a run into its compute's queue; it fails when that is gone meanwhile."""
        with self._changed:
            if run.target in self._queues:
                self._queues[run.target].append(run)
                self._changed.notify_all()
                return
        reason = f"The compute target {run.target!r} was deleted before the run could wait for it."
        self._workspace.runs.advance(run.id, "Failed", error=user_error(reason))

    def waiting_for(self, run: Run) -> str | None:
        """Why an unfinished run is waiting, as text; None for one that isn't."""
        return self.waiting_of([run])[run.id]

    def waiting_of(self, runs: Iterable[Run]) -> dict[str, str | None]:
        """`waiting_for` of several runs, by their ids."""
        found = {run.id: waiting.STAGES.get(run.status) for run in runs}
        with self._changed:
            for queue in self._queues.values():
                found |= {run.id: self._why(run, place) for place, run in enumerate(queue) if run.id in found}
        return found

    def cancel(self, run_id: str) -> None:
        """End a run, wherever it is, with all that it orchestrates. Once it is over nothing happens any more.

        Raises NotFound.
        """
        run = self._workspace.runs.get(run_id)
        if is_orchestrated(run) and run.run_type is not None:
            self._orchestrators[run.run_type](run_id)
            return
        with self._changed:
            for queue in self._queues.values():
                for run in [each for each in queue if each.id == run_id]:
                    queue.remove(run)
                    self._logs.end(run.id, data_container(run), "It was cancelled.")
            execution = self._running.get(run_id)
            self._changed.notify_all()
        if execution is not None:
            if execution[0].cancel():
                self._workspace.runs.advance(run_id, "CancelRequested")
        else:
            self._workspace.runs.advance(run_id, "Canceled")

    def orchestrate(self, run_type: str, cancel: Callable[[str], None]) -> None:
        """Register how runs of an orchestrated type are cancelled: they aren't jobs, and end after their children."""
        self._orchestrators[run_type] = cancel

    # Scheduling ---------------------------------------------------------------------------------------------

    def _schedule(self) -> None:
        with self._changed:
            while not self._stopping:
                waits = [seconds for seconds in map(self._serve_safely, list(self._pools)) if seconds is not None]
                self._changed.wait(min(waits, default=None))

    def _serve_safely(self, name: str) -> float | None:
        """`_serve`, but an exception stops neither the other queues nor, for longer than FAULT_SECONDS, this one."""
        try:
            return self._serve(name)
        except Exception:
            # A full disk, for example. Nobody would be served any more without this thread.
            logger.exception("The queue of %s can't be served; the next try is in %g s", name, FAULT_SECONDS)
            return FAULT_SECONDS

    def _serve(self, name: str) -> float | None:
        """Give nodes to waiting runs, first come first served, then take idle ones away.

        Returns when to look again.
        """
        pool, queue = self._pools[name], self._queues[name]
        self._obstruct(name)
        pool.fill()
        stuck = self.faults.holds(FaultKind.QUEUE_STUCK, name)
        for place, run in reversed(list(enumerate(queue))):
            if run.status != "Queued":
                self._replace(queue, place, partial(self._workspace.runs.advance, run.id, "Queued"))
        while queue and not stuck:
            if not self._replace(queue, 0, lambda: self._workspace.runs.get(queue[0].id)):
                continue
            run = queue[0]
            node = pool.acquire(run.id) if run.status not in FINAL else None
            if node is not None:
                self._logs.end(run.id, data_container(run), f"Node {node.number} takes it.")
                self._begin(run, name, Execution.run, acquired=True)
            elif run.status not in FINAL:
                break
            queue.popleft()
        for place, run in enumerate(queue):
            self._logs.tell(run.id, data_container(run), self._why(run, place), near=place < waiting.NEAR)
        return pool.scale_down()

    def _replace(self, queue: deque[Run], place: int, change: Callable[[], Run]) -> bool:
        """Refresh a queued run from the store. False when its row is gone: then it leaves the queue."""
        try:
            queue[place] = change()
        except NotFound:
            logger.warning("The run %s was deleted while it waited for a node", queue[place].id)
            self._logs.forget(queue[place].id)
            del queue[place]
            return False
        return True

    def _obstruct(self, name: str) -> None:
        self._pools[name].obstructed = self.faults.holds(FaultKind.ALLOCATION_FAILED, name)

    def _why(self, run: Run, place: int) -> str:
        assert run.target is not None
        return waiting.for_a_node(
            run.target,
            self._pools[run.target].scale.max_nodes,
            place,
            stuck=self.faults.holds(FaultKind.QUEUE_STUCK, run.target),
            obstructed=self._pools[run.target].obstructed,
        )

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _begin(self, run: Run, target: str, work: Callable[[Execution], None], *, acquired: bool = False) -> None:
        # A run of an earlier server may be on a compute that was being deleted.
        pool = self._pools.get(target) or NodePool(ScaleSettings(0, 1))
        if not acquired:
            pool.acquire(run.id)
        node = next((str(n.number) for n in pool.nodes() if n.run_id == run.id), "?")

        def give_back() -> None:
            with self._changed:
                pool.release(run.id, lost=execution.lost)
                self._changed.notify_all()

        try:
            execution = Execution(self._services, run, node, give_back)
        except Exception:
            pool.release(run.id)
            raise

        def job() -> None:
            try:
                work(execution)
            except Exception:
                logger.exception("The run %s failed in the cluster itself", run.id)
            finally:
                with self._changed:
                    self._running.pop(run.id, None)
                    give_back()

        thread = threading.Thread(target=job, name=run.id, daemon=True)
        self._running[run.id] = (execution, thread)
        thread.start()
