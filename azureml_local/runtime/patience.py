"""Writes that wait for room: what the store can't take now (its disk is full, for example) is tried again."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from azureml_local.runtime.reporter import Postponed
from azureml_local.storage.trouble import Trouble, explain

logger = logging.getLogger("azureml_local.cluster")

T = TypeVar("T")

RETRY_SECONDS = 0.5
# A server that stops has so long to bring what has ended to its end; the next one goes on with the rest.
STOP_SECONDS = 10.0


def passing(error: BaseException) -> Trouble | None:
    """What keeps the store from being written and may pass: a full disk, a missing right, another process's lock."""
    trouble = explain(error)
    return trouble if trouble is not None and trouble.kind in ("full", "unwritable", "busy") else None


class Patience:
    """How long one run's writes are tried. Thread-safe."""

    def __init__(self) -> None:
        self._stopping = threading.Event()
        self._stop_by = 0.0

    def stop(self) -> None:
        """The server stops: from now on there are STOP_SECONDS left."""
        if not self._stopping.is_set():
            self._stop_by = time.monotonic() + STOP_SECONDS
            self._stopping.set()

    def check(self) -> None:
        """Raises Postponed when a server that stops has no more time for what can be done later."""
        if self._stopping.is_set() and time.monotonic() > self._stop_by:
            raise Postponed

    def pause(self) -> None:
        """Between two tries. Raises Postponed when the server stops: then nobody waits for room."""
        if self._stopping.wait(RETRY_SECONDS):
            raise Postponed

    def keep(self, write: Callable[[], T], waits: Callable[[], None] = lambda: None) -> T:
        """Do it, again and again while the store can't take it; ``waits`` is called each time that it couldn't.

        Raises Postponed when the server stops meanwhile, and whatever no waiting mends.
        """
        said = False
        while True:
            try:
                return write()
            except Exception as error:
                trouble = passing(error)
                if trouble is None:
                    raise
                if not said:
                    logger.warning("A run can't be written, and is tried again: %s", trouble)
                    said = True
            waits()
            self.pause()
