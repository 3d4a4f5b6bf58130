"""Clients that send slowly, for ever, or come in crowds: they are ended, and others are served meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
import uvicorn
import uvloop
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from azureml_local.server.access.certificates import Certificates
from azureml_local.server.http import bodies, listener, protocol
from azureml_local.server.http.bodies import JSON_ONLY, Bodies
from azureml_local.server.http.listener import Server

MOST = 20  # connections to a server of these tests
PIECE = 65536
LARGE = 512 * PIECE
PATIENCE = 20.0  # seconds that a test waits for what should come in a tenth of that
HEAD = b"POST /x HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """How long the body is; and which headers named x there are, if any, once it has come."""
    length, message = 0, await receive()
    while message["type"] == "http.request":
        length += len(message["body"])
        if not message["more_body"]:
            break
        message = await receive()
    marks = [value.decode() for name, value in scope["headers"] if name == b"x"]
    await PlainTextResponse(" ".join([*marks, f"{length} bytes"]))(scope, receive, send)


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """`echo`, and at /large an answer that no buffer holds."""
    if scope["path"] != "/large":
        await Bodies(echo, (JSON_ONLY,))(scope, receive, send)
        return
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % LARGE)]})
    for _ in range(LARGE // PIECE):
        await send({"type": "http.response.body", "body": bytes(PIECE), "more_body": True})
    await send({"type": "http.response.body", "body": b""})


@contextlib.contextmanager
def serving(factory: Callable[[], asyncio.AbstractEventLoop], certificate: Path | None = None) -> Iterator[int]:
    """The port of a server with our listener, protocol and checks of bodies."""
    listening = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        application,
        http=protocol.Http,
        ws="none",
        log_level="critical",
        lifespan="off",
        ssl_certfile=certificate,
        timeout_graceful_shutdown=1,
    )
    server, loop = Server(config, MOST), factory()
    thread = threading.Thread(target=lambda: loop.run_until_complete(server.serve(sockets=[listening])))
    thread.start()
    try:
        yield listening.getsockname()[1]
    finally:
        loop.call_soon_threadsafe(server.stop)
        thread.join()
        loop.close()


@pytest.fixture(scope="module")
def impatient() -> Iterator[None]:
    """Servers have less patience than usual."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(listener, "HANDSHAKE_SECONDS", 1.0)
        patch.setattr(protocol, "HEAD_SECONDS", 1.0)
        patch.setattr(protocol, "BODY_SECONDS", 1.0)
        patch.setattr(protocol, "WRITE_SECONDS", 1.0)
        patch.setattr(protocol, "LINGER_SECONDS", 3.0)
        patch.setattr(bodies, "BODY_SECONDS", 1.5)
        yield


@pytest.fixture(scope="module")
def port(impatient: None) -> Iterator[int]:
    with serving(uvloop.new_event_loop) as port:
        yield port


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    made = Certificates(tmp_path_factory.mktemp("tls"))
    made.ensure()
    return made


@pytest.fixture(scope="module", params=["uvloop", "asyncio"])
def tls_port(request: pytest.FixtureRequest, impatient: None, authority: Certificates) -> Iterator[int]:
    """With TLS; the server runs without uvloop too."""
    factory = uvloop.new_event_loop if request.param == "uvloop" else asyncio.new_event_loop
    with serving(factory, authority.server) as port:
        yield port


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)


def served(port: int) -> bool:
    """Whether an ordinary client gets its answer; one that this machine keeps waiting may be ended, and asks again."""
    for _ in range(3):
        with contextlib.suppress(httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError):
            return httpx.post(f"http://127.0.0.1:{port}/x", json={}, timeout=PATIENCE).text == "2 bytes"
    return False


def ask(connection: socket.socket) -> None:
    """A request with its answer, on a connection that stays."""
    connection.sendall(HEAD + b"Content-Length: 2\r\n\r\n{}")
    answered(connection)


def answered(connection: socket.socket) -> bytes:
    answer = b""
    while not answer.endswith(b" bytes"):
        piece = connection.recv(65536)
        assert piece, "ended by the server"
        answer += piece
    return answer.rpartition(b"\r\n")[2]


def until_closed(connection: socket.socket, drip: bytes = b"") -> bytes:
    """What comes until the other side ends it, while we send one more piece ten times a second."""
    deadline = time.monotonic() + PATIENCE
    received = b""
    connection.settimeout(0.1)
    while time.monotonic() < deadline:
        try:
            if drip:
                connection.sendall(drip)
            piece = connection.recv(65536)
        except TimeoutError:
            continue
        except OSError:
            return received
        if not piece:
            return received
        received += piece
    pytest.fail("the connection was never ended")


@pytest.mark.case("slow-and-huge")
@pytest.mark.parametrize(
    ("begin", "drip"),
    [
        (b"", b""),  # says nothing at all
        (b"POST /x HTTP/1.1\r\nHost: local", b""),  # stops in the middle of the head
        (b"POST /x HTTP/1.1\r\n", b"X-A: b\r\n"),  # headers without end (slowloris)
        (HEAD + b"Content-Length: 1000\r\n\r\n{", b""),  # stops in the middle of the body
        (HEAD + b"Content-Length: 1000\r\n\r\n", b" "),  # a body, one byte at a time
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),  # chunks without end
    ],
)
def test_a_slow_client_is_ended(port: int, begin: bytes, drip: bytes) -> None:
    with connect(port) as connection:
        connection.sendall(begin)
        until_closed(connection, drip)
    assert served(port)


@pytest.mark.case("slow-and-huge")
def test_a_body_without_end_that_is_refused_does_not_go_on(port: int) -> None:
    with connect(port) as connection:
        connection.sendall(HEAD.replace(b"json", b"nothing") + b"Content-Length: 99999999999\r\n\r\n")
        assert b" 413 " in until_closed(connection, b"x" * 1000)
    assert served(port)


@pytest.mark.case("slow-and-huge")
def test_a_crowd_of_idle_connections_leaves_room(port: int) -> None:
    crowd = []
    try:
        for _ in range(60):
            connection = connect(port)
            crowd.append(connection)
            ask(connection)  # kept alive, and idle from now on
        assert served(port)
    finally:
        for connection in crowd:
            connection.close()


@pytest.mark.case("slow-and-huge")
def test_connections_without_a_request_leave_room_and_take_none_from_those_in_use(port: int) -> None:
    with contextlib.ExitStack() as crowd:
        used = crowd.enter_context(connect(port))
        ask(used)
        for _ in range(5 * MOST):
            crowd.enter_context(connect(port))
        assert served(port)
        ask(used)


@pytest.mark.case("slow-and-huge")
def test_new_connections_wait_while_every_connection_is_busy(port: int) -> None:
    with contextlib.ExitStack() as crowd:
        busy = [crowd.enter_context(connect(port)) for _ in range(MOST)]
        for connection in busy:
            connection.sendall(HEAD + b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n")
            assert connection.recv(65536).startswith(b"HTTP/1.1 100")  # the request is under way
        waiting = crowd.enter_context(connect(port))
        waiting.sendall(HEAD + b"Content-Length: 2\r\n\r\n{}")
        for connection in busy:
            connection.sendall(b"{}")
            assert answered(connection) == b"2 bytes"
        assert answered(waiting) == b"2 bytes"


@pytest.mark.case("slow-and-huge")
def test_client_that_never_reads_the_answer_is_disconnected(port: int) -> None:
    with connect(port) as connection:
        connection.sendall(b"GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n")
        time.sleep(2 * protocol.WRITE_SECONDS)
        with contextlib.suppress(ConnectionResetError):
            while connection.recv(PIECE):
                pass
    assert served(port)


@pytest.mark.case("slow-and-huge")
def test_an_answer_that_is_read_slowly_comes_whole(port: int) -> None:
    with connect(port) as connection:
        connection.sendall(b"GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n")
        received, begun = 0, time.monotonic()
        while received < LARGE:
            piece = connection.recv(PIECE)
            assert piece, received
            received += len(piece)
            if time.monotonic() < begun + 2 * protocol.WRITE_SECONDS:
                time.sleep(protocol.WRITE_SECONDS / 100)


def served_over_tls(port: int, authority: Certificates) -> bool:
    context = ssl.create_default_context(cafile=str(authority.ca))
    return httpx.post(f"https://localhost:{port}/x", json={}, timeout=PATIENCE, verify=context).text == "2 bytes"


@pytest.mark.case("slow-and-huge")
@pytest.mark.parametrize("begin", [b"", b"\x16\x03\x01\x02\x00\x01\x00"])  # nothing, and half a greeting
def test_a_tls_handshake_that_does_not_go_on_is_ended(tls_port: int, authority: Certificates, begin: bytes) -> None:
    with connect(tls_port) as connection:
        connection.sendall(begin)
        until_closed(connection)
    assert served_over_tls(tls_port, authority)


@pytest.mark.case("slow-and-huge")
@pytest.mark.parametrize("begin", [b"", b"\x16\x03\x01\x02\x00\x01\x00"])
def test_a_crowd_that_never_gets_to_tls_leaves_room(tls_port: int, authority: Certificates, begin: bytes) -> None:
    context = ssl.create_default_context(cafile=str(authority.ca))
    with contextlib.ExitStack() as crowd:
        used = crowd.enter_context(context.wrap_socket(connect(tls_port), server_hostname="localhost"))
        ask(used)
        for _ in range(5 * MOST):
            crowd.enter_context(connect(tls_port)).sendall(begin)
        assert served_over_tls(tls_port, authority)
        ask(used)


@pytest.mark.case("slow-and-huge")
def test_a_crowd_that_says_nothing_after_its_handshake_leaves_room(tls_port: int, authority: Certificates) -> None:
    context = ssl.create_default_context(cafile=str(authority.ca))
    with contextlib.ExitStack() as crowd:
        for _ in range(2 * MOST):
            crowd.enter_context(context.wrap_socket(connect(tls_port), server_hostname="localhost"))
        assert served_over_tls(tls_port, authority)
        until_closed(crowd.enter_context(context.wrap_socket(connect(tls_port), server_hostname="localhost")))


@pytest.mark.case("slow-and-huge")
def test_a_connection_is_kept_for_the_next_request(port: int) -> None:
    """The deadlines are for requests that have begun: between them a client may wait."""
    with connect(port) as connection:
        for _ in range(2):
            ask(connection)
            time.sleep(1.5)


@pytest.mark.case("slow-and-huge")
@pytest.mark.parametrize(
    "begin",
    [
        b"POST /x HTTP/1.1\r\nX: ",  # a header's value without end
        b"POST /x HTTP/1.1\r\nX",  # its name
        b"POST /",  # the path
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nX: ",  # a header after the body
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n2;x=",  # what may be said of a chunk
    ],
)
def test_a_head_without_end_is_ended_soon_however_quickly_it_comes(port: int, begin: bytes) -> None:
    sent = 0
    with connect(port) as connection, contextlib.suppress(OSError):
        connection.sendall(begin)
        while sent < 100 * protocol.MAX_HEAD:
            sent += connection.send(b"x" * 4096)
    assert sent < 100 * protocol.MAX_HEAD
    assert served(port)


@pytest.mark.case("malformed-requests")
def test_trailers_after_a_body_are_ignored(port: int) -> None:
    """They weren't there when the request was checked."""
    with connect(port) as connection:
        connection.sendall(HEAD + b"X: 1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nX: 2\r\n\r\n")
        assert answered(connection) == b"1 2 bytes"
        ask(connection)


@pytest.mark.case("malformed-requests")
def test_invalid_bytes_after_a_request_do_not_alter_its_answer(port: int) -> None:
    with connect(port) as connection:
        connection.sendall(HEAD + b"Content-Length: 2\r\n\r\n{}" + b"nonsense\r\n\r\n")
        assert until_closed(connection).count(b"HTTP/1.1 ") <= 1
    assert served(port)


@pytest.mark.case("malformed-requests")
@pytest.mark.parametrize(("method", "status"), [(b"GET", b"200 OK"), (b"POST", b"400 Bad Request")])
def test_a_request_that_offers_another_protocol_loses_no_body_by_it(port: int, method: bytes, status: bytes) -> None:
    """httptools parses no body of such a one: an upload would be an empty file."""
    with connect(port) as connection:
        offer = b"Connection: Upgrade\r\nUpgrade: h2c\r\n"
        body = b"Content-Length: 2\r\n\r\n{}" if method == b"POST" else b"\r\n"
        connection.sendall(HEAD.replace(b"POST", method) + offer + body)
        assert until_closed(connection).startswith(b"HTTP/1.1 " + status)
    assert served(port)


@pytest.mark.case("slow-and-huge")
def test_a_connection_whose_request_was_refused_early_is_good_for_the_next(port: int) -> None:
    size = JSON_ONLY.limit + 1
    with connect(port) as connection:
        connection.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % size)
        assert b" 413 " in connection.recv(65536)
        connection.sendall(b"x" * size)
        time.sleep(protocol.LINGER_SECONDS)  # by when it would be ended, had the rest not come
        ask(connection)


@pytest.mark.case("slow-and-huge")
def test_unknown_protocol_is_refused(port: int) -> None:
    for words in (
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 600,
        b"SSH-2.0-x\r\n\r\n",
        b"\r\n" * 10 + b"x\r\n\r\n",
    ):
        with connect(port) as connection:
            connection.sendall(words)
            answer = until_closed(connection)
            assert answer == b"" or answer.startswith(b"HTTP/1.1 400")
    assert served(port)
