"""Who looks at runs: the end of a step is told when a client that prints its log has seen all of it.

azureml.pipeline.core reads a step's log only while the step goes on, and learns of steps only while the pipeline does.
A step that ended between two looks would print nothing, and the last step of a pipeline would not be shown.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from azureml_local.storage.clock import seconds_since
from azureml_local.storage.tables import Run
from azureml_local.workspace.runs import FINAL

# A client looks each second; one that hasn't for so long is gone, or never was.
AWAY_SECONDS = 5.0
# So long an end is kept back at most.
GRACE_SECONDS = 3.0


class Followers:
    """Times are of the monotonic clock, in seconds. Nothing of it is kept: a client's look is over with its server."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._read: dict[str, float] = {}
        self._listed: dict[str, float] = {}
        self._present: dict[str, float] = {}

    def read(self, run: Run) -> None:
        """A client has read the details of a run, and with them its log so far."""
        if run.status in FINAL:
            return
        with self._changed:
            moment = time.monotonic()
            self._read[run.id] = self._present[run.id] = moment
            if run.parent_id is not None:
                self._present[run.parent_id] = moment
            self._changed.notify_all()

    def listed(self, run: Run) -> None:
        """A client has read which children a run has."""
        if run.status in FINAL:
            return
        with self._changed:
            self._listed[run.id] = self._present[run.id] = time.monotonic()
            self._changed.notify_all()

    def await_reading(self, run: Run) -> None:
        """Until the details of a step are read once more."""
        now = time.monotonic()
        self._wait(run.parent_id or run.id, run, lambda: self._read.get(run.id, 0.0) > now)
        with self._changed:
            self._read.pop(run.id, None)
            self._present.pop(run.id, None)

    def await_listing(self, run: Run, last: float) -> None:
        """Until the children of a pipeline are listed after ``last``, when its last one was made."""
        self._wait(run.id, run, lambda: self._listed.get(run.id, 0.0) > last)
        with self._changed:
            self._listed.pop(run.id, None)
            self._present.pop(run.id, None)

    def _wait(self, watched: str, run: Run, seen: Callable[[], bool]) -> None:
        """Where nobody is there to see it, only as long as a client needs that has just submitted."""
        start = time.monotonic()
        began = start - max(0.0, seconds_since(run.created))
        with self._changed:
            while not seen():
                moment = time.monotonic()
                present = moment - self._present.get(watched, -AWAY_SECONDS) < AWAY_SECONDS
                left = (start if present else began) + GRACE_SECONDS - moment
                if left <= 0:
                    return
                self._changed.wait(left)
