"""Registry of runs whose jobs wait for a remote worker or run on one."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from azureml_local.workspace.errors import Conflict


@dataclass(frozen=True)
class WorkerNode:
    """Identity of a reporting worker: ``attempt`` is the placement, ``who`` the process that claimed it."""

    attempt: str
    who: str


class Placed(Protocol):
    """A job that waits for a worker, or has one."""

    def state(self) -> str:
        """``waiting``, ``gone`` (it must be placed anew), or why it can't be run, in words."""

    def withdraw(self) -> None:
        """Nobody need take it any more, or has to finish. What was taken already is not ended by this."""


class Placement(Protocol):
    """Interface to a scheduler that finds a worker for a job."""

    def place(self, run_id: str, order: Mapping[str, str]) -> Placed:
        """Submit a job to the scheduler. Raises OSError when it can't be reached."""

    def stop(self) -> None: ...


class Expected(Protocol):
    """A run whose job is on another machine (`executor.RemoteExecutor`). Each raises Conflict for a node whose run it
    isn't (any more).
    """

    def claim(self, node: WorkerNode, worker: str) -> dict[str, Any]: ...

    def report(self, node: WorkerNode, first: int, events: list[dict[str, Any]]) -> dict[str, bool]: ...

    def fingerprints(self, node: WorkerNode) -> dict[str, str]: ...

    def wanted(self, node: WorkerNode, files: Mapping[str, int]) -> list[str]: ...

    def write(self, node: WorkerNode, log: str | None, path: str, offset: int, data: bytes) -> int: ...


class WorkerRegistry:
    """The remote runs of one server. Thread-safe."""

    def __init__(self, placement: Placement | None = None, order: Mapping[str, str] | None = None) -> None:
        # Without one, every new job runs on this machine.
        self.placement = placement
        # What each worker is told, beside the run: the address and the certificate of this server.
        self.order = dict(order or {})
        self._lock = threading.Lock()
        self._expected: dict[str, Expected] = {}

    def expect(self, run_id: str, part: Expected) -> None:
        with self._lock:
            self._expected[run_id] = part

    def forget(self, run_id: str) -> None:
        with self._lock:
            self._expected.pop(run_id, None)

    def find(self, run_id: str) -> Expected:
        """Raises Conflict."""
        with self._lock:
            part = self._expected.get(run_id)
        if part is None:
            raise Conflict(f"No node is expected to run {run_id!r}, or its part is over.")
        return part

    def stop(self) -> None:
        if self.placement is not None:
            self.placement.stop()
