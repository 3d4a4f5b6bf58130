"""Descriptions of what runs wait for: for the command line, the run pages, and each waiting run's log."""

from __future__ import annotations

import contextlib
import logging
import time
from pathlib import Path

from azureml_local.workspace.artifacts import RUN_ORIGIN, Artifacts

logger = logging.getLogger("azureml_local.cluster")

# azureml.core.script_run follows the last by name of azureml-logs/NN*.txt and user_logs/std_log.txt: this one
# until the environment's build log is there.
QUEUE_LOG = "azureml-logs/10_queue_log.txt"

# So many runs at the head of a queue are told each new place; of thousands, each would have a line for every start.
NEAR = 20

STAGES = {
    "NotStarted": "Waiting for whoever made it to start it.",
    # With a node of its compute, but not on it yet.
    "Queued": "Waiting for a free worker.",
    "Preparing": "Its environment is being built, or is looked up; the run's build log says more.",
    "Starting": "Its folder and its input data are being prepared.",
    "CancelRequested": "Waiting for the job's processes to end.",
}


def for_a_node(compute: str, nodes: int, place: int, *, stuck: bool, obstructed: bool) -> str:
    """Why a run is still in the queue of a compute that has at most so many nodes."""
    end_it = "(a simulation; `azureml-local simulate clear` ends it)"
    if stuck:
        why = f"the queue of {compute} doesn't move {end_it}"
    elif obstructed:
        why = f"{compute} gets no new nodes, their allocation fails {end_it}"
    elif nodes == 0:
        why = f"{compute} may have no nodes at all (max_nodes=0); AmlCompute.update(max_nodes=...) gives it some"
    else:
        why = f"{compute} has its only node busy" if nodes == 1 else f"{compute} has all its {nodes} nodes busy"
    before = {0: "It is the next one", 1: "1 run is before it"}.get(place, f"{place} runs are before it")
    return f"Waiting for a node: {why}. {before}."


class QueueLogs:
    """The log of each run that had to wait: a line whenever what it waits for, or its place, is another one.

    Not thread-safe: the cluster's lock guards it.
    """

    def __init__(self, artifacts: Artifacts) -> None:
        self._artifacts = artifacts
        self._last: dict[str, tuple[Path, str]] = {}
        self._earlier: set[str] = set()

    def tell(self, run_id: str, container: str, line: str, *, near: bool = True) -> None:
        """Unless it is known. One that isn't ``near`` is told another reason (the first sentence), no other place."""
        self._go_on(run_id, container)
        known = self._last.get(run_id)
        if known is not None and (known[1] == line or (not near and _reason(known[1]) == _reason(line))):
            return
        try:
            path = known[0] if known is not None else self._artifacts.open_log(container, QUEUE_LOG)
        except Exception:
            # A full disk, for example, must not stop the queue: the same text stands in the run's page.
            logger.exception("The queue's log of the run %s can't be opened", run_id)
            return
        _append(path, line)
        self._last[run_id] = path, line

    def resume(self, run_id: str) -> None:
        """Go on with the log that an earlier server began, if it did: when there is something to tell, since a server
        that starts doesn't wait for thousands of files.
        """
        self._earlier.add(run_id)

    def _go_on(self, run_id: str, container: str) -> None:
        if run_id in self._earlier:
            self._earlier.discard(run_id)
            if self._artifacts.exists(RUN_ORIGIN, container, QUEUE_LOG):
                self.tell(run_id, container, "A new server continues the queue.")

    def end(self, run_id: str, container: str, line: str) -> None:
        """It waits no more. Nothing, for a run that never had to."""
        self._go_on(run_id, container)
        known = self._last.pop(run_id, None)
        if known is not None:
            _append(known[0], line)
            try:
                self._artifacts.close_log(container, QUEUE_LOG)
            except Exception:
                logger.exception("The queue's log of the run %s can't be closed", run_id)

    def forget(self, run_id: str) -> None:
        """The run is gone, and its log with it."""
        self._earlier.discard(run_id)
        self._last.pop(run_id, None)


def _reason(line: str) -> str:
    return line.partition(". ")[0]


def _append(path: Path, line: str) -> None:
    with contextlib.suppress(OSError), path.open("a", encoding="utf-8") as log:
        print(time.strftime("%H:%M:%S"), line, file=log)
