"""The local cluster: who waits, who runs where, and what becomes of them when a server stops and starts
again.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable

from azureml_local.cluster.execution import Execution, Machinery
from azureml_local.cluster.nodes import NodePool
from azureml_local.storage.tables import Compute, Run
from azureml_local.workspace.computes import ScaleSettings
from azureml_local.workspace.errors import NotFound
from azureml_local.workspace.runs import FINAL, user_error

logger = logging.getLogger("azureml_local.cluster")


class Cluster:
    """One queue and one pool of nodes for each AmlCompute.

    A thread for each running job, and one that assigns them.
    """

    def __init__(self, machinery: Machinery) -> None:
        self._machinery = machinery
        self._workspace = machinery.workspace
        self._changed = threading.Condition()
        self._pools: dict[str, NodePool] = {}
        self._queues: dict[str, deque[str]] = {}
        self._running: dict[str, tuple[Execution, threading.Thread]] = {}
        self._stopping = False
        self._scheduler = threading.Thread(target=self._schedule, name="cluster", daemon=True)

    # Life ---------------------------------------------------------------------------------------------------

    def start(self) -> None:
        for compute in self._workspace.computes.list():
            self.resize(compute)
        self._take_up()
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
            execution.cancel()
        for _, thread in running:
            thread.join()
        if self._scheduler.ident:
            self._scheduler.join()

    def _take_up(self) -> None:
        """Runs of an earlier server: waiting ones wait again, living processes are followed on, the others
        have failed.
        """
        for run in self._workspace.runs.unfinished():
            if run.snapshot_id is None or not run.target:
                continue  # an interactive run: its own process says when it ends
            if run.status in ("NotStarted", "Queued"):
                self.submit(run)
            elif run.status == "Running" and run.process and run.target in self._pools:
                self._begin(run, run.target, Execution.resume)
            elif run.status == "CancelRequested":
                self._workspace.runs.advance(run.id, "Canceled")
            else:
                reason = f"The local server stopped while the run was {run.status}."
                self._workspace.runs.advance(run.id, "Failed", error=user_error(reason, "SystemError"))

    # Computes -----------------------------------------------------------------------------------------------

    def resize(self, compute: Compute) -> None:
        """Make the pool of a compute, or give it new limits."""
        scale = ScaleSettings(compute.min_nodes, compute.max_nodes, compute.idle_seconds)
        with self._changed:
            if compute.name in self._pools:
                self._pools[compute.name].rescale(scale)
            else:
                self._pools[compute.name] = NodePool(scale)
                self._queues.setdefault(compute.name, deque())
            self._changed.notify_all()

    def remove(self, name: str) -> None:
        """A compute is deleted: its runs are cancelled, and no node is left."""
        with self._changed:
            waiting = list(self._queues.get(name, ()))
            on_it = [run_id for run_id in self._running if self._target(run_id) == name]
        for run_id in waiting + on_it:
            self.cancel(run_id)
        with self._changed:
            self._pools.pop(name, None)
            self._queues.pop(name, None)
            self._changed.notify_all()

    def pool(self, name: str) -> NodePool:
        with self._changed:
            if name not in self._pools:
                raise NotFound(f"There is no compute target {name!r} in this workspace.")
            return self._pools[name]

    # Runs ---------------------------------------------------------------------------------------------------

    def submit(self, run: Run) -> None:
        """Put a run into its compute's queue."""
        assert run.target is not None
        with self._changed:
            if run.target not in self._queues:
                raise NotFound(f"There is no compute target {run.target!r} in this workspace.")
            self._queues[run.target].append(run.id)
            self._changed.notify_all()

    def place_in_queue(self, run: Run) -> int | None:
        """How many runs are before this one, or None when it does not wait."""
        with self._changed:
            queue = self._queues.get(run.target or "", deque())
            return list(queue).index(run.id) if run.id in queue else None

    def cancel(self, run_id: str) -> None:
        """End a run, wherever it is. Once it is over nothing happens any more."""
        with self._changed:
            for queue in self._queues.values():
                if run_id in queue:
                    queue.remove(run_id)
                    break
            execution = self._running.get(run_id)
            self._changed.notify_all()
        if execution is not None:
            self._workspace.runs.advance(run_id, "CancelRequested")
            execution[0].cancel()
        else:
            self._workspace.runs.advance(run_id, "Canceled")

    # Scheduling ---------------------------------------------------------------------------------------------

    def _schedule(self) -> None:
        with self._changed:
            while not self._stopping:
                waits = [seconds for seconds in map(self._serve, list(self._pools)) if seconds is not None]
                self._changed.wait(min(waits, default=None))

    def _serve(self, name: str) -> float | None:
        """Give nodes to waiting runs, then take idle ones away. Returns when to look again."""
        pool, queue = self._pools[name], self._queues[name]
        while queue and pool.acquire(queue[0]) is not None:
            run = self._workspace.runs.advance(queue.popleft(), "Queued")
            if run.status in FINAL:
                pool.release(run.id)
            else:
                self._begin(run, name, Execution.run, acquired=True)
        for run_id in queue:
            self._workspace.runs.advance(run_id, "Queued")
        return pool.scale_down()

    def _begin(self, run: Run, target: str, work: Callable[[Execution], None], *, acquired: bool = False) -> None:
        pool = self._pools[target]
        if not acquired:
            pool.acquire(run.id)
        node = next((str(n.number) for n in pool.nodes() if n.run_id == run.id), "?")
        execution = Execution(self._machinery, run, node)

        def job() -> None:
            try:
                work(execution)
            except Exception:
                logger.exception("The run %s failed in the cluster itself", run.id)
            finally:
                with self._changed:
                    self._running.pop(run.id, None)
                    pool.release(run.id)
                    self._changed.notify_all()

        thread = threading.Thread(target=job, name=run.id, daemon=True)
        self._running[run.id] = (execution, thread)
        thread.start()

    def _target(self, run_id: str) -> str | None:
        return self._workspace.runs.get(run_id).target
