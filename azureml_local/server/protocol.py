"""HTTP/1.1 for clients that are slow, or many: uvicorn's own, with deadlines and a limit of connections.

uvicorn closes connections that are idle between requests. It waits for ever for the rest of a request's head
or body, and takes every connection; any page or program on this machine could hold the server that way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

MAX_CONNECTIONS = 512
MAX_HEAD = 64 * 1024  # of the request line with all headers; SDK requests have some 3 KB, two of them the token
HEAD_SECONDS = 30.0  # from the first byte to the end of the headers
BODY_SECONDS = 60.0  # without any byte of a body that isn't complete
LINGER_SECONDS = 10.0  # for the rest of a body that was refused


class Http(H11Protocol):
    """One connection."""

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > MAX_CONNECTIONS and not self._make_room():
            transport.abort()
            return
        self._set_deadline(HEAD_SECONDS, self._abort)

    def connection_lost(self, exc: Exception | None) -> None:
        self._clear_deadline()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        state = self.conn.their_state
        if state is h11.SEND_BODY and not self.cycle.response_complete:
            self._set_deadline(BODY_SECONDS, self._body_stalled)
        elif state is not h11.IDLE and state is not h11.SEND_BODY:
            self._clear_deadline()
        elif state is h11.IDLE and self._deadline is None and self.conn.trailing_data[0]:
            self._set_deadline(HEAD_SECONDS, self._abort)

    def on_response_complete(self) -> None:
        unread = self.conn.their_state is h11.SEND_BODY
        super().on_response_complete()
        if unread and not self.transport.is_closing():
            self._set_deadline(LINGER_SECONDS, self._abort)

    def _make_room(self) -> bool:
        """Close the connection that has been idle longest, if one is."""
        idle = {
            timer.when(): connection
            for connection in self.connections
            if isinstance(connection, Http) and (timer := connection.timeout_keep_alive_task) is not None
        }
        if not idle:
            return False
        idle[min(idle)].timeout_keep_alive_handler()
        return True

    def _body_stalled(self) -> None:
        if self.flow.read_paused:  # it is us who take no more at the moment
            self._set_deadline(BODY_SECONDS, self._body_stalled)
        else:
            self._abort()

    def _abort(self) -> None:
        self.transport.abort()

    def _set_deadline(self, seconds: float, then: Callable[[], None]) -> None:
        self._clear_deadline()
        self._deadline = self.loop.call_later(seconds, then)

    def _clear_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
