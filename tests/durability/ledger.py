"""What clients were told is kept, and what they can't know since the answer was lost."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx

Key = tuple[str, ...]
ABSENT = None


@dataclass
class Series:
    """Values that are only ever added. Those without an acknowledgement may be there or not."""

    sent: list[tuple[str, Any, bool]] = field(default_factory=list)


class Ledger:
    """For each thing of the store, the values that it may have now: one, once its write was acknowledged."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.possible: dict[Key, list[Any]] = {}
        self.series: dict[Key, Series] = {}
        self.acknowledged: Counter[str] = Counter()
        self.unanswered: Counter[str] = Counter()  # by what the connection died of

    def write(self, key: Key, value: Any, call: Callable[[], None]) -> None:
        """Do a write that gives a thing a value. When it raises, either value is possible."""
        self.change(key, lambda _: value, call)

    def change(self, key: Key, new: Callable[[Any], Any], call: Callable[[], None]) -> None:
        """Do a write whose outcome follows from what is there."""
        with self._lock:
            before = self.possible.setdefault(key, [ABSENT])
            after: list[Any] = []
            for value in map(new, before):
                if value not in after:
                    after.append(value)
            self.possible[key] = [*before, *(value for value in after if value not in before)]
        try:
            call()
        except httpx.ConnectError:  # nobody has got it
            self.possible[key] = before
            raise
        with self._lock:
            self.possible[key] = after
            self.acknowledged[key[0]] += 1

    def add(self, key: Key, values: list[tuple[str, Any]], call: Callable[[], None]) -> None:
        """Do a write that adds values, each with an id of its own; the same ones again are no new ones."""
        series = self.series.setdefault(key, Series())
        known = [name for name, _, _ in series.sent]
        first = known.index(values[0][0]) if values[0][0] in known else len(known)
        series.sent[first:] = [(name, value, False) for name, value in values]
        call()
        series.sent[first:] = [(name, value, True) for name, value in values]
        with self._lock:
            self.acknowledged[key[0]] += 1

    def check(self, key: Key, found: Any) -> str | None:
        """A complaint about what was read, None when it may be so. From then on it is known."""
        if any(value == found for value in self.possible[key]):
            self.possible[key] = [found]
            return None
        return f"{key} is {_short(found)}; it may be {', '.join(map(_short, self.possible[key]))}"

    def check_series(self, key: Key, found: list[tuple[str, Any]]) -> str | None:
        """A complaint when an acknowledged value is missing or wrong, one is twice there, or the order is another."""
        sent = {name: value for name, value, _ in self.series[key].sent}
        needed = [name for name, _, acknowledged in self.series[key].sent if acknowledged]
        names = [name for name, _ in found]
        if missing := set(needed) - set(names):
            return f"{key}: {len(missing)} acknowledged values are lost, e.g. {min(missing)}"
        if len(set(names)) != len(names):
            return f"{key}: values are there twice"
        if wrong := [name for name, value in found if name not in sent or sent[name] != value]:
            return f"{key}: {len(wrong)} values are not those that were sent, e.g. {wrong[0]}"
        return None if [name for name in names if name in set(needed)] == needed else f"{key}: the order is another"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 80 else f"{text[:60]}... ({len(value)} long)"
