"""A server's listening socket: every connection is counted from the moment it is accepted, and none holds a descriptor
for long without asking anything.

uvicorn leaves accepting to the event loop, which takes whatever comes: a connection that never begins TLS is no
connection to uvicorn, and isn't counted, and when no descriptor is left, each loop does something else.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import socket
import ssl
from collections.abc import Callable, Iterator
from typing import cast

import uvicorn

from azureml_local.server.http.protocol import Http

logger = logging.getLogger("azureml_local.server")

HANDSHAKE_SECONDS = 10.0  # for the whole TLS handshake
# Accepted at a time: between two turns, those that were accepted before get on with what they have to say, so that
# the oldest of many, which is the first to go, is never one that has had no turn.
AT_A_TIME = 16
PAUSE_SECONDS = 0.2  # until accepting is tried again where the process has no descriptor left
NO_DESCRIPTOR = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class Connection:
    """One that was accepted. It has no transport of its own until its TLS handshake is over."""

    def __init__(self) -> None:
        self.protocol: Http | None = None
        self.task: asyncio.Task[None] | None = None

    @property
    def rank(self) -> tuple[int, float] | None:
        """How soon it may be closed for another one: the least first; None while somebody awaits an answer on it."""
        if self.protocol is None or not self.protocol.connected:
            return 0, 0.0
        return self.protocol.rank

    def close(self) -> None:
        """At once: a TLS farewell would hold the descriptor for as long as the other side likes."""
        if self.protocol is not None and self.protocol.connected:
            self.protocol.transport.abort()
        elif self.task is not None:
            self.task.cancel()


class Listener:
    """Accepts for a server, at most so many connections at a time.

    When there are more, one on which nobody awaits an answer makes room: those that never asked anything first, the
    oldest of them, then the one that has been idle longest. Where each is busy, newcomers wait until one ends.
    """

    def __init__(
        self, listening: socket.socket, create: Callable[[], Http], context: ssl.SSLContext | None, most: int
    ) -> None:
        self._socket = listening
        self._create = create
        self._context = context
        self._most = most
        self._loop = asyncio.get_running_loop()
        # In the order in which they came.
        self._connections: dict[Connection, None] = {}
        self._accepting = False
        self._closed = False
        self._socket.setblocking(False)
        self._resume()

    def close(self) -> None:
        self._closed = True
        self._stop_accepting()
        for connection in list(self._connections):
            if connection.protocol is None or not connection.protocol.connected:
                connection.close()

    async def wait_closed(self) -> None:
        await asyncio.gather(
            *(connection.task for connection in self._connections if connection.task is not None),
            return_exceptions=True,
        )

    def _resume(self) -> None:
        if not self._accepting and not self._closed:
            self._accepting = True
            self._loop.add_reader(self._socket.fileno(), self._accept)

    def _stop_accepting(self) -> None:
        if self._accepting:
            self._accepting = False
            self._loop.remove_reader(self._socket.fileno())

    def _accept(self) -> None:
        for _ in range(AT_A_TIME):
            full = len(self._connections) >= self._most
            if full and self._spare() is None:
                self._stop_accepting()  # until one ends
                return
            try:
                accepted, _address = self._socket.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno not in NO_DESCRIPTOR:
                    raise
                logger.warning("No more connections for the moment: %s.", error.strerror)
                self._make_room()
                self._stop_accepting()
                self._loop.call_later(PAUSE_SECONDS, self._resume)
                return
            if full:
                self._make_room()
            self._admit(accepted)

    def _admit(self, accepted: socket.socket) -> None:
        accepted.setblocking(False)
        # Without, an answer on a kept connection may lose 40 ms.
        accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = Connection()
        self._connections[connection] = None
        connection.task = self._loop.create_task(self._connect(connection, accepted))
        connection.task.add_done_callback(lambda _: self._connected(connection, accepted))

    async def _connect(self, connection: Connection, accepted: socket.socket) -> None:
        def create() -> Http:
            connection.protocol = self._create()
            connection.protocol.on_lost = lambda: self._release(connection)
            return connection.protocol

        seconds = None if self._context is None else HANDSHAKE_SECONDS
        # It speaks no TLS, or not soon enough, or is gone again: it has asked nothing, and nobody is told.
        with contextlib.suppress(OSError):
            await self._loop.connect_accepted_socket(create, accepted, ssl=self._context, ssl_handshake_timeout=seconds)

    def _connected(self, connection: Connection, accepted: socket.socket) -> None:
        """Its handshake is over, well or not; or it was closed before that had begun."""
        if connection.protocol is None or not connection.protocol.connected:
            accepted.close()
            self._release(connection)

    def _release(self, connection: Connection) -> None:
        self._connections.pop(connection, None)
        self._resume()

    def _spare(self) -> Connection | None:
        """The one that can be spared best, if one can."""
        best: tuple[tuple[int, float], Connection] | None = None
        for connection in self._connections:
            rank = connection.rank
            if rank is not None and (best is None or rank < best[0]):
                best = rank, connection
                if rank[0] == 0:  # the oldest that never asked anything: none can be spared sooner
                    break
        return best and best[1]

    def _make_room(self) -> None:
        connection = self._spare()
        if connection is not None:
            # Its descriptor is free a moment later; it doesn't count any more from now on.
            self._connections.pop(connection)
            connection.close()


class Server(uvicorn.Server):
    """One of two in a process: signals are for both, so neither takes them.

    It sleeps until it is stopped, where uvicorn's looks ten times a second: a server that nobody asks costs nothing.
    """

    def __init__(self, config: uvicorn.Config, most: int) -> None:
        super().__init__(config)
        self._stopped = asyncio.Event()
        self._most = most

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        def create() -> Http:
            return Http(config=self.config, server_state=self.server_state, app_state=self.lifespan.state)

        await self.lifespan.startup()
        listeners = [Listener(listening, create, self.config.ssl, self._most) for listening in sockets or ()]
        self.servers = cast(list[asyncio.Server], listeners)  # of which it uses close and wait_closed
        self.started = True

    async def main_loop(self) -> None:
        await self._stopped.wait()

    def stop(self) -> None:
        self.should_exit = True
        self._stopped.set()
