"""Long-lived connections: their limit, and their end at shutdown."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator

# Of the 512 connections that a listener takes. A browser opens six to a host at most, all its tabs together.
MAX_STREAMS = 32


class Streams:
    """Used in the event loop only."""

    def __init__(self) -> None:
        self._open = 0
        self._closed = asyncio.Event()

    @property
    def full(self) -> bool:
        return self._open >= MAX_STREAMS

    @property
    def closed(self) -> bool:
        return self._closed.is_set()

    @contextlib.contextmanager
    def one(self) -> Iterator[None]:
        self._open += 1
        try:
            yield
        finally:
            self._open -= 1

    async def pause(self, seconds: float) -> None:
        """Wait so long, or until the server ends."""
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._closed.wait(), seconds)

    def close(self) -> None:
        self._closed.set()
