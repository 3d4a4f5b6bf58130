"""HTTP/1.1 protocol: uvicorn's, with deadlines for slow clients and a limit of a request head's size.

uvicorn closes connections that are idle between requests. It waits for ever for the rest of a request's head
or body, and for somebody who doesn't read his answer, and keeps however much of a head comes; any page or program on
this machine could hold the server that way. How many there may be is the listener's business.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from azureml_local.server.http.memory import give_back
from azureml_local.server.http.reasons import Cycle

MAX_HEAD = 64 * 1024  # of the request line with all headers; SDK requests have some 3 KB, two of them the token
HEAD_SECONDS = 30.0  # from the first byte to the end of the headers
BODY_SECONDS = 60.0  # without any byte of a body that isn't complete
WRITE_SECONDS = 60.0  # without any byte taken of an answer for which there is no more room in the buffers
LINGER_SECONDS = 10.0  # for the rest of a body that was refused, and for the last of an answer before the end
REQUESTS_BETWEEN_GIVING_BACK = 4096  # of memory


class Http(HttpToolsProtocol):
    """One connection. ``on_lost`` is called when it has ended."""

    on_lost: Callable[[], None] | None = None
    connected = False
    _deadline: asyncio.TimerHandle | None = None
    _unread: asyncio.TimerHandle | None = None  # the deadline for who doesn't read
    _idle_since: float | None = None  # the end of the last answer, by the loop's clock; None before the first
    _in_body = False
    _kept = 0  # bytes that the parser has taken, of which nothing has come yet

    # What comes ---------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.connected = True
        self._set_deadline(HEAD_SECONDS, self._abort)

    def connection_lost(self, exc: Exception | None) -> None:
        self.connected = False
        self._clear_deadline()
        self._clear_unread()
        super().connection_lost(exc)
        if self.on_lost is not None:
            self.on_lost()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._unread = self.loop.call_later(WRITE_SECONDS, self._abort)

    def resume_writing(self) -> None:
        self._clear_unread()
        super().resume_writing()

    def timeout_keep_alive_handler(self) -> None:
        super().timeout_keep_alive_handler()
        self._set_deadline(LINGER_SECONDS, self._abort)

    def data_received(self, data: bytes) -> None:
        self._kept += len(data)
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self._kept > MAX_HEAD:
            self.send_400_response(f"The request's head is larger than {MAX_HEAD} bytes.")
        elif self._in_body and self._answering:
            self._set_deadline(BODY_SECONDS, self._body_stalled)
        elif self._kept and self._deadline is None:
            self._set_deadline(HEAD_SECONDS, self._head_stalled)
        elif not self._in_body and not self._kept and not self._answering:
            self._await_next()

    def send_400_response(self, msg: str) -> None:
        if self._answering:  # it would stand in the middle of the answer
            self._abort()
        else:
            super().send_400_response(msg)
            self._set_deadline(LINGER_SECONDS, self._abort)

    # What the parser makes of it ----------------------------------------------------------------------------

    def on_header(self, name: bytes, value: bytes) -> None:
        # Those after a body in chunks were not there when the request was checked.
        if not self._in_body:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        # An error here is answered with 400.
        if not self.url.startswith(b"/"):
            # http://host/path (a request for a proxy), host:port or *: no client of ours sends them, and the Host
            # header says something else than the address then.
            raise ValueError("The request's target must be a path.")
        if self.parser.should_upgrade() and self.parser.get_method() not in (b"GET", b"HEAD"):
            # httptools takes the body for the other protocol's; without it, the request would be another one.
            raise ValueError("No other protocol is spoken here.")
        self._take(in_body=True)
        super().on_headers_complete()
        # It is made there, and its application not begun before this returns.
        self.cycle.__class__ = Cycle
        if self.parser.should_upgrade():  # nothing that follows is parsed any more
            self.cycle.keep_alive = False

    def on_body(self, body: bytes) -> None:
        self._kept = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._take(in_body=False)
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._idle_since = self.loop.time()
        if self.server_state.total_requests % REQUESTS_BETWEEN_GIVING_BACK == 0:
            give_back()
        if self._in_body or self.transport.is_closing():
            self._set_deadline(LINGER_SECONDS, self._abort)

    def _take(self, *, in_body: bool) -> None:
        self._in_body, self._kept = in_body, 0
        self._clear_deadline()

    @property
    def _answering(self) -> bool:
        cycle: RequestResponseCycle | None = self.cycle  # None before the first request, which its type doesn't say
        return cycle is not None and not cycle.response_complete

    @property
    def rank(self) -> tuple[int, float] | None:
        """How well this connection can be spared, the best first; None while an answer is on its way."""
        if self._answering:
            return None if self._unread is None else (2, self._unread.when())
        if self._idle_since is None or self.transport.is_closing():
            return 0, 0.0
        return 1, self._idle_since

    # Its ends -----------------------------------------------------------------------------------------------

    def _await_next(self) -> None:
        """The rest of a body that was refused has come; uvicorn's timer, set when it was answered, is gone."""
        if self.timeout_keep_alive_task is None:
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def _head_stalled(self) -> None:
        if self._answering:  # the head is that of the next request already
            self._set_deadline(HEAD_SECONDS, self._head_stalled)
        else:
            self._abort()

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

    def _clear_unread(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None
