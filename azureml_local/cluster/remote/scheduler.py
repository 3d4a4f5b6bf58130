"""Placement of jobs through a Dask scheduler. Imported only by a server with ``--scheduler``.

Each job is one task: a worker with so many threads (``dask worker --nthreads``) takes so many jobs at once. The server
knows the scheduler's address only, and can't start workers; a cluster that adapts (``Cluster.adapt``) sees the tasks
that wait, and scales by itself.
"""

from __future__ import annotations

import asyncio
import logging
import re
import threading
import uuid
from collections.abc import Mapping
from dataclasses import dataclass

from distributed import Client, Future, fire_and_forget, get_worker
from tornado.util import TimeoutError as GaveUp

from azureml_local.cluster.remote.worker import CantRun, perform

logger = logging.getLogger("azureml_local.cluster")

ADDRESS = re.compile(r"(?:tcp|tls)://[^/\s]+:\d{1,5}")
CONNECT_SECONDS = 8
ANSWER_SECONDS = 5


@dataclass(frozen=True, repr=False)
class Order:
    """The argument of a worker's task. Its repr is empty, since Dask logs a task's arguments."""

    words: dict[str, str]

    def __repr__(self) -> str:
        return "Order()"


def on_worker(order: Order) -> None:
    """The task."""
    worker = get_worker()
    perform(order.words, f"the worker {worker.name} ({worker.address})", worker.local_directory)


class DaskPlaced:
    """A `registry.Placed`."""

    def __init__(self, future: Future) -> None:
        self._future = future

    def state(self) -> str:
        status = self._future.status
        if status == "pending":
            return "waiting"
        if status == "error":
            error = self._future.exception(timeout=ANSWER_SECONDS)
            return str(error) if isinstance(error, CantRun) else f"{type(error).__name__}: {error}"
        # Cancelled or lost with its scheduler; or finished by a worker that was refused the run.
        return "gone"

    def withdraw(self) -> None:
        self._future.cancel(force=True)  # `fire_and_forget` wants it too


class DaskScheduler:
    """A `registry.Placement`."""

    def __init__(self, address: str) -> None:
        """Raises OSError when no scheduler answers there."""
        if not ADDRESS.fullmatch(address):
            raise OSError(f"{address[:200]!r} is no address of a Dask scheduler: tcp://HOST:PORT, or tls://HOST:PORT.")
        self._address = address
        self._lock = threading.Lock()
        self._client = self._connect()

    def place(self, run_id: str, order: Mapping[str, str]) -> DaskPlaced:
        with self._lock:
            if self._client.status not in ("running", "connecting"):
                self._client.close(timeout=ANSWER_SECONDS)
                self._client = self._connect()
            # Dask knows a task by its key, and would take the result of one that was placed before.
            key = f"azureml-local {run_id} {uuid.uuid4().hex}"
            future = self._client.submit(on_worker, Order(dict(order)), key=key, pure=False, retries=0)
            # A task that nobody wants any more, since its server was killed, runs on all the same. The scheduler must
            # know: it would take the worker for free, and have the next server's jobs wait behind it.
            fire_and_forget(future)
            return DaskPlaced(future)

    def stop(self) -> None:
        with self._lock:
            self._client.close(timeout=ANSWER_SECONDS)

    def _connect(self) -> Client:
        try:
            return Client(self._address, timeout=CONNECT_SECONDS, set_as_default=False, name="azureml-local")
        except (OSError, ValueError, TypeError, asyncio.TimeoutError, GaveUp) as error:
            raise OSError(f"No Dask scheduler answers at {self._address}: {error}.") from error
