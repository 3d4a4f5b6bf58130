"""The nodes of one AmlCompute cluster: places for one job each, made when needed and given back when idle."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from azureml_local.storage.clock import now
from azureml_local.workspace.computes import ScaleSettings

IDLE, RUNNING = "idle", "running"


@dataclass
class Node:
    number: int
    state: str = IDLE
    run_id: str | None = None
    since: float = field(default_factory=time.monotonic)


class NodePool:
    """Nodes between a minimum and a maximum. Not thread-safe: the cluster's lock guards it."""

    def __init__(self, scale: ScaleSettings, clock: Callable[[], float] = time.monotonic) -> None:
        self.scale = scale
        self._clock = clock
        self._nodes: list[Node] = []
        self._made = 0
        self.last_transition = now()
        self._grow_to(scale.min_nodes)

    def rescale(self, scale: ScaleSettings) -> None:
        """New limits. Nodes with a job on them stay until it is over."""
        self.scale = scale
        self._grow_to(scale.min_nodes)
        for node in [n for n in self._nodes if n.state == IDLE][: max(0, len(self._nodes) - scale.max_nodes)]:
            self._remove(node)

    def acquire(self, run_id: str) -> Node | None:
        """A node for a run: an idle one, else a new one, else None when the cluster is full."""
        node = next((n for n in self._nodes if n.state == IDLE), None)
        if node is None and len(self._nodes) < self.scale.max_nodes:
            node = self._add()
        if node is not None:
            node.state, node.run_id, node.since = RUNNING, run_id, self._clock()
        return node

    def release(self, run_id: str) -> None:
        for node in self._nodes:
            if node.run_id == run_id:
                node.state, node.run_id, node.since = IDLE, None, self._clock()
                if len(self._nodes) > self.scale.max_nodes:
                    self._remove(node)
                return

    def scale_down(self) -> float | None:
        """Give back nodes that have been idle long enough.

        Returns the seconds until the next one is due, if any will be.
        """
        due: list[float] = []
        for node in [n for n in self._nodes if n.state == IDLE]:
            if len(self._nodes) <= self.scale.min_nodes:
                return None
            left = node.since + self.scale.idle_seconds - self._clock()
            if left <= 0:
                self._remove(node)
            else:
                due.append(left)
        return min(due, default=None)

    @property
    def size(self) -> int:
        return len(self._nodes)

    def counts(self) -> Counter[str]:
        return Counter(node.state for node in self._nodes)

    def nodes(self) -> list[Node]:
        return list(self._nodes)

    def _grow_to(self, count: int) -> None:
        while len(self._nodes) < count:
            self._add()

    def _add(self) -> Node:
        self._made += 1
        node = Node(self._made, since=self._clock())
        self._nodes.append(node)
        self.last_transition = now()
        return node

    def _remove(self, node: Node) -> None:
        self._nodes.remove(node)
        self.last_transition = now()
