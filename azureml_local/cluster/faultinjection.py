"""Fault injection: failures that occur in Azure now and then, reproduced when a test requests them.

Faults are kept in memory only, so that a restart ends them: one that outlived its test would look like a bug.
"""

from __future__ import annotations

import itertools
import logging
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase

from azureml_local.runtime.faults import FaultKind
from azureml_local.workspace.errors import Invalid, NotFound
from azureml_local.workspace.jobs import LOCAL_TARGET

logger = logging.getLogger("azureml_local.cluster")

MOST_TIMES = 1_000_000
# What a pattern of requests looks like: perhaps a method, then a path with * in it.
PATTERN = re.compile(r"(?:(?P<method>[A-Z]+) )?(?P<path>[/*]\S*)")
# These are not the workspace's own work: without them, nobody could end a simulation.
EXEMPT = "/local/"


@dataclass
class Fault:
    """One kind of trouble, for one compute or some requests (None: for all), ``times`` often (None: until it
    is cleared).
    """

    id: int
    kind: FaultKind
    times: int | None
    compute: str | None = None
    requests: str | None = None
    happened: int = 0

    @property
    def over(self) -> bool:
        return self.times is not None and self.happened >= self.times


class FaultInjector:
    """The injected faults of one server. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._all: list[Fault] = []
        self._numbers = itertools.count(1)
        self._listeners: list[Callable[[], None]] = []

    # Asking for it ------------------------------------------------------------------------------------------

    def start(
        self, kind: str, *, times: int | None = None, compute: str | None = None, requests: str | None = None
    ) -> Fault:
        """Start a fault. Raises Invalid for an unknown kind, or arguments that don't fit it."""
        try:
            known = FaultKind(kind)
        except ValueError:
            choice = ", ".join(each.value for each in FaultKind)
            raise Invalid(f"There is no simulation {kind[:80]!r}. Choose one of: {choice}.") from None
        if known.held and times is not None:
            raise Invalid(f"{known.value} is a state: it has no number of times, and lasts until it is cleared.")
        if times is not None and not 1 <= times <= MOST_TIMES:
            raise Invalid(f"The number of times must be from 1 to {MOST_TIMES}, not {times}.")
        if known.of_requests and compute is not None:
            raise Invalid(f"{known.value} applies to requests, not a compute. Use `requests=`, e.g. '*/computes/*'.")
        if not known.of_requests and requests is not None:
            raise Invalid(f"{known.value} applies to a compute, not requests. Use `compute=`.")
        if requests is not None and not PATTERN.fullmatch(requests):
            raise Invalid(
                f"{requests[:80]!r} is no pattern of requests. It is a path with * for any text, perhaps after a "
                "method: '*/computes/*' or 'PUT */computes/*'."
            )
        with self._lock:
            made = Fault(
                id=next(self._numbers),
                kind=known,
                times=None if known.held else times or 1,
                compute=compute,
                requests=requests,
            )
            self._all.append(made)
        self._tell()
        return made

    def clear(self, identifier: int | None = None, kind: str | None = None) -> int:
        """End the fault with this number, those of this kind, or all. Returns how many were ended."""
        with self._lock:
            gone = [
                each
                for each in self._all
                if (identifier is None or each.id == identifier) and (kind is None or each.kind.value == kind)
            ]
            self._all = [each for each in self._all if each not in gone]
        self._tell()
        return len(gone)

    def get(self, identifier: int) -> Fault:
        """Raises NotFound."""
        with self._lock:
            found = next((each for each in self._all if each.id == identifier), None)
        if found is None:
            raise NotFound(f"There is no simulation {identifier}: it was cleared, or the server has started anew.")
        return found

    def list(self) -> list[Fault]:
        """All that were not cleared, also those that are over."""
        with self._lock:
            return list(self._all)

    def listen(self, listener: Callable[[], None]) -> None:
        """Call this when one has begun or was cleared."""
        self._listeners.append(listener)

    # Meeting it ---------------------------------------------------------------------------------------------

    def take(self, kind: FaultKind, compute: str) -> Fault | None:
        """Whether the fault occurs on this compute now; if so, it is counted."""
        with self._lock:
            return self._happens(lambda each: each.kind is kind and _applies_to(each, compute))

    def holds(self, kind: FaultKind, compute: str) -> bool:
        """Whether this state holds for a compute."""
        with self._lock:
            return any(each.kind is kind and _applies_to(each, compute) for each in self._all)

    def answer(self, method: str, path: str) -> Fault | None:
        """The fault that applies to this request, if any; it is counted."""
        # Without the lock: every request asks, and nearly always there is none at all.
        if not self._all or path.startswith(EXEMPT):
            return None
        with self._lock:
            return self._happens(lambda each: each.kind.of_requests and _matches(each.requests, method, path))

    def _happens(self, suits: Callable[[Fault], bool]) -> Fault | None:
        found = next((each for each in self._all if not each.over and suits(each)), None)
        if found is not None:
            found.happened += 1
        return found

    def _tell(self) -> None:
        for listener in self._listeners:
            try:
                listener()
            except Exception:
                logger.exception("A listener failed for a simulation")


def _applies_to(simulation: Fault, compute: str) -> bool:
    # The machine that submits has no nodes to lose or to wait for, though an environment to build.
    any_suits = compute != LOCAL_TARGET or simulation.kind is FaultKind.BUILD_FAILED
    return simulation.compute == compute or (simulation.compute is None and any_suits)


def _matches(pattern: str | None, method: str, path: str) -> bool:
    if pattern is None:
        return True
    parts = PATTERN.fullmatch(pattern)
    assert parts is not None
    return parts["method"] in (None, method) and fnmatchcase(path, parts["path"])
