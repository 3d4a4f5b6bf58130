"""The nodes of one AmlCompute cluster: slots for one job each, allocated on demand and released when idle."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from azureml_local.storage.clock import now
from azureml_local.workspace.computes import ScaleSettings

IDLE, RUNNING, LEAVING = "idle", "running", "leaving"


@dataclass
class Node:
    number: int
    state: str = IDLE
    run_id: str | None = None
    since: float = field(default_factory=time.monotonic)


@dataclass(frozen=True)
class Allocation:
    """Allocation state of a cluster: how many nodes it has, and how many it should have.

    ``transition`` is when it last got a node or gave one back; ``failing`` while nodes are missing that it can't
    get.
    """

    state: str
    current: int
    target: int
    counts: Counter[str]
    transition: str
    failing: bool


class NodePool:
    """Nodes between a minimum and a maximum. Not thread-safe: the cluster's lock guards it.

    While ``obstructed``, it gets no new node; those that it has do their work.
    """

    def __init__(self, scale: ScaleSettings, clock: Callable[[], float] = time.monotonic) -> None:
        self.scale = scale
        self.obstructed = False
        self._clock = clock
        self._nodes: list[Node] = []
        self._made = 0
        self._last_transition = now()

    def rescale(self, scale: ScaleSettings) -> None:
        """New limits. Nodes with a job on them stay until it is over, and those too many leave then."""
        self.scale = scale
        self.fill()
        for node in [n for n in self._nodes if n.state == IDLE][: max(0, len(self._nodes) - scale.max_nodes)]:
            self._remove(node)

    def fill(self) -> None:
        """Have at least the minimum of nodes."""
        while len(self._nodes) < self.scale.min_nodes and not self.obstructed:
            self._add()

    def acquire(self, run_id: str) -> Node | None:
        """A node for a run: an idle one, else a new one, else None when the cluster is full."""
        node = next((n for n in self._nodes if n.state == IDLE), None)
        if node is None and len(self._nodes) < self.scale.max_nodes and not self.obstructed:
            node = self._add()
        if node is not None:
            node.state, node.run_id, node.since = RUNNING, run_id, self._clock()
        return node

    def release(self, run_id: str, *, lost: bool = False) -> None:
        """A run is over; its node is idle now, or gone when it was lost."""
        for node in self._nodes:
            if node.run_id == run_id:
                node.state, node.run_id, node.since = IDLE, None, self._clock()
                if lost or len(self._nodes) > self.scale.max_nodes:
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

    def allocation(self, waiting: int = 0) -> Allocation:
        """How it stands, with so many runs waiting.

        Resizing while there are fewer nodes than wanted, or jobs on more of them than there should be; Steady
        otherwise, and where no node can be had at all (as Azure Batch says of a pool with resize errors).
        """
        busy = sum(node.state == RUNNING for node in self._nodes)
        wanted = max(self.scale.min_nodes, busy + waiting, len(self._nodes))
        target = min(self.scale.max_nodes, wanted)
        counts = Counter(node.state for node in self._nodes)
        counts[LEAVING] = max(0, len(self._nodes) - target)
        counts[RUNNING] -= counts[LEAVING]
        failing = self.obstructed and target > len(self._nodes)
        resizing = target != len(self._nodes) and not failing
        return Allocation(
            state="Resizing" if resizing else "Steady",
            current=len(self._nodes),
            target=target,
            counts=counts,
            transition=self._last_transition,
            failing=failing,
        )

    @property
    def size(self) -> int:
        return len(self._nodes)

    def nodes(self) -> list[Node]:
        return list(self._nodes)

    def _add(self) -> Node:
        self._made += 1
        node = Node(self._made, since=self._clock())
        self._nodes.append(node)
        self._last_transition = now()
        return node

    def _remove(self, node: Node) -> None:
        self._nodes.remove(node)
        self._last_transition = now()
