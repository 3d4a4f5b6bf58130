"""Retry of writes that the store can't accept now (its disk is full, for example)."""

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
# Seconds that a stopping server retries for jobs that have ended; the next server does the rest.
STOP_SECONDS = 10.0


def passing(error: BaseException) -> Trouble | None:
    """Whether a write error may be temporary: a full disk, a missing permission, another process's lock."""
    trouble = explain(error)
    return trouble if trouble is not None and trouble.kind in ("full", "unwritable", "busy") else None


class Patience:
    """Retry policy of one run's writes. Thread-safe."""

    def __init__(self) -> None:
        self._stopping = threading.Event()
        self._stop_by = 0.0

    def stop(self) -> None:
        """Start the shutdown: from now on, retries end after STOP_SECONDS."""
        if not self._stopping.is_set():
            self._stop_by = time.monotonic() + STOP_SECONDS
            self._stopping.set()

    def check(self) -> None:
        """Raises Postponed when a stopping server has used up STOP_SECONDS."""
        if self._stopping.is_set() and time.monotonic() > self._stop_by:
            raise Postponed

    def pause(self) -> None:
        """Wait between two attempts. Raises Postponed when the server stops."""
        if self._stopping.wait(RETRY_SECONDS):
            raise Postponed

    def keep(self, write: Callable[[], T], waits: Callable[[], None] = lambda: None) -> T:
        """Perform a write, retrying temporary errors; ``waits`` is called after each failed attempt.

        Raises Postponed when the server stops meanwhile, and every permanent error.
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
                    logger.warning("A run can't be written; retrying: %s", trouble)
                    said = True
            waits()
            self.pause()
