"""The remote reporter: sends a job's reports from a worker to the server over TLS, with the run's token."""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import httpx

from azureml_local.runtime.faults import FaultKind
from azureml_local.runtime.left import Left, open_left, told
from azureml_local.runtime.process import JobProcess

logger = logging.getLogger("azureml_local.worker")

REPORT_SECONDS = 1.0
REQUEST_SECONDS = 10.0
PIECE = 4 << 20
# Between two reports: a job that prints faster than the network is still told to end.
PIECES = 4
EVENTS = 200
RENEW_SECONDS = 12 * 3600.0

T = TypeVar("T")
# What is raised where the server can't be reached, or can't answer now.
Unreachable = httpx.TransportError


class Unable(httpx.RemoteProtocolError):
    """The server answers, and can't take it now: its disk is full, for example."""


class Dismissed(Exception):
    """The server answers that the run isn't, or is no longer, assigned to this node."""


class Refused(Exception):
    """The server can't take this piece, and says why."""


class Server:
    """Client of the server's node API. Each method raises Unreachable, Dismissed or Refused."""

    def __init__(self, order: Mapping[str, str], who: str, bundle: Path) -> None:
        self._who = {"attempt": order["attempt"], "who": who}
        self._base = f"/node/v1.0{order['workspace']}/runs/{order['run']}"
        self._client = httpx.Client(
            base_url=order["server"],
            verify=ssl.create_default_context(cafile=str(bundle)),
            timeout=REQUEST_SECONDS,
            trust_env=False,  # no proxy: the address is one that this machine reaches, or nothing works
        )
        self.take(order["token"])

    def take(self, token: str) -> None:
        self._client.headers["Authorization"] = f"Bearer {token}"

    def ask(self, what: str, **body: Any) -> dict[str, Any]:
        return self._answer(self._client.post(f"{self._base}/{what}", json={**self._who, **body}))

    def send(self, data: bytes, offset: int, **place: str) -> None:
        headers = {"Content-Type": "application/octet-stream"}
        words = {**self._who, "offset": str(offset), **place}
        self._answer(self._client.put(f"{self._base}/bytes", params=words, content=data, headers=headers))

    def fetch(self, url: str, target: Path) -> None:
        with self._client.stream("GET", url) as answer, target.open("wb") as file:
            answer.raise_for_status()
            for piece in answer.iter_bytes(PIECE):
                file.write(piece)

    def close(self) -> None:
        self._client.close()

    @staticmethod
    def _answer(answer: httpx.Response) -> dict[str, Any]:
        if answer.status_code in (401, 403, 404, 409):
            raise Dismissed(answer.text)
        if answer.status_code in (400, 413, 415, 422):
            raise Refused(answer.text)
        if answer.is_error:  # it is too busy, or its disk is full: later, perhaps
            raise Unable(f"{answer.status_code}: {answer.text[:300]}")
        found: dict[str, Any] = answer.json()
        return found


class _Log:
    """A file that grows, and how much of it has been sent. It is open all the time: a job may put something else where
    it was.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.sent = 0
        path.touch()
        self._file = path.open("rb", buffering=0)

    @property
    def behind(self) -> bool:
        return os.fstat(self._file.fileno()).st_size > self.sent

    def read(self) -> bytes:
        return os.pread(self._file.fileno(), PIECE, self.sent)

    def close(self) -> None:
        self._file.close()


class RemoteReporter:
    """A `reporter.RunReporter` on another machine than the server's. A thread of its own reports."""

    def __init__(self, server: Server, task: Mapping[str, Any], folder: Path) -> None:
        self.cancelled = threading.Event()
        self.dismissed = False
        self._server = server
        self._task = task
        self._logs = {"build": _Log(folder / "build.log"), "job": _Log(folder / "job.log")}
        self._lock = threading.Lock()
        self._exchanging = threading.Lock()
        self._events: list[dict[str, Any]] = []
        self._number = 0
        self._contact = self._renewed = time.monotonic()
        self._lost = False
        self._unreachable = False
        self._process: JobProcess | None = None
        self._wake = threading.Event()
        self._done = False
        self._reporter = threading.Thread(target=self._report, name="azureml-local reports", daemon=True)
        self._reporter.start()

    # What the job's part says -------------------------------------------------------------------------------

    def stage(self, status: str) -> None:
        self._tell({"stage": status})
        self._wake.set()

    def say(self, line: str) -> None:
        self._tell({"say": line.encode("utf-8", "backslashreplace").decode()})

    def fail(self, message: str, code: str = "UserError") -> None:
        self._tell({"fail": message.encode("utf-8", "backslashreplace").decode(), "code": code})

    def fingerprints(self) -> dict[str, str]:
        """See `record.RunContext.fingerprints`; none where the server can't be asked any more."""
        answer = self._patiently(functools.partial(self._server.ask, "fingerprints"))
        found: dict[str, str] = answer["fingerprints"] if answer else {}
        return found

    def meets(self, kind: FaultKind) -> bool:
        return self._lost if kind is FaultKind.NODE_LOST else bool(self._task["build_fails"])

    def build_log(self) -> Path:
        return self._logs["build"].path

    def build_log_done(self) -> None:
        self._flush()
        self._tell({"built": True})

    def job_log(self, name: str) -> Path:
        return self._logs["job"].path

    def note(self, process: JobProcess) -> None:
        self._process = process

    def _tell(self, event: dict[str, Any]) -> None:
        with self._lock:
            self._events.append(event)

    def warn(self, message: str) -> None:
        self._tell({"warn": message.encode("utf-8", "backslashreplace").decode()})

    # The end ------------------------------------------------------------------------------------------------

    def bring(self, left: Left) -> None:
        """Send the files that the job has left, and say in a warning which can't be kept; the paths are those below the
        run's folder.
        """
        self._flush()
        files, lost = left.files, dict(left.odd)
        sizes = {}
        for path, file in files.items():
            try:
                sizes[path] = file.stat().st_size
            except OSError as error:
                lost[path] = error.strerror or str(error)
        paths = list(sizes)
        for start in range(0, len(paths), 1000):
            batch = {path: sizes[path] for path in paths[start : start + 1000]}
            try:
                wanted = self._patiently(functools.partial(self._server.ask, "wanted", files=batch))
            except Refused as error:  # a name that the server can't have; which one, it says one by one
                wanted = {"files": list(batch)}
                logger.info("%s", error)
            for path in wanted["files"] if wanted else ():
                if (reason := self._bring(path, files[path])) is not None:
                    lost[path] = reason
        if lost:
            self.warn(told({path.removeprefix("wd/"): reason for path, reason in lost.items()}))

    def _bring(self, path: str, file: Path) -> str | None:
        """Why it can't be kept; None when it is."""
        try:
            with open_left(file) as source:
                offset = 0
                while (data := source.read(PIECE)) or not offset:
                    self._patiently(functools.partial(self._server.send, data, offset, path=path))
                    if self.dismissed or self._unreachable or not data:
                        return None
                    offset += len(data)
        except (OSError, Refused) as error:
            return str(error)
        return None

    def finish(self, *, ran: bool) -> None:
        """The job's part is over, and the server has heard all of it; or can't."""
        self._flush()
        if not self._unreachable:  # a job that was ended for that has not come to an end of its own: it is lost
            self._tell({"ran": ran})
        self._flush()
        self._done = True
        self._wake.set()
        self._reporter.join()
        for log in self._logs.values():
            log.close()

    # Reporting ----------------------------------------------------------------------------------------------

    def _report(self) -> None:
        while not self._done and not self._unreachable:
            self._wake.wait(REPORT_SECONDS)
            self._wake.clear()
            with contextlib.suppress(Refused):
                self._once(self._exchange)

    def _flush(self) -> None:
        """Until all that was said, and the logs, have arrived."""
        while self._behind() and not self.dismissed and not self._unreachable:
            if not self._once(self._exchange):
                time.sleep(REPORT_SECONDS / 4)

    def _behind(self) -> bool:
        with self._lock:
            return bool(self._events) or any(log.behind for log in self._logs.values())

    def _patiently(self, action: Callable[[], T]) -> T | None:
        """Call the server, with retries while it can't be reached; None on failure."""
        while not self.dismissed and not self._unreachable:
            answer: list[T] = []

            def get(answers: list[T] = answer) -> None:
                answers.append(action())

            if self._once(get):
                return answer[0]
            time.sleep(REPORT_SECONDS / 4)
        return None

    def _once(self, action: Callable[[], object]) -> bool:
        """Do it, unless the server can't be reached; then look how long that has been so. Raises Refused."""
        try:
            action()
        except Dismissed as error:
            logger.warning("The run is over for this node: %s", error)
            self.dismissed = True
            self.cancelled.set()
            return False
        except Unable as error:
            logger.warning("The server can't take it now: %s", error)
            self._reached()
            return False
        except (Unreachable, OSError) as error:
            silent = time.monotonic() - self._contact
            if silent > self._task["cut_off"] and not self._unreachable:
                logger.error("The server was not reached for %.0f s (%s): the job is ended", silent, error)
                self._lost = self._unreachable = True
                if self._process is None:
                    self.cancelled.set()
            return False
        self._reached()
        return True

    def _reached(self) -> None:
        self._contact = time.monotonic()
        if self._process is not None:
            self._process.renew()

    def _exchange(self) -> None:
        with self._exchanging:
            with self._lock:
                events = self._events[:EVENTS]
            renew = time.monotonic() - self._renewed > RENEW_SECONDS
            answer = self._server.ask("report", first=self._number, events=events, renew=renew)
            with self._lock:
                del self._events[: len(events)]
                self._number += len(events)
            if renew:
                self._server.take(answer["token"])
                self._renewed = time.monotonic()
            if answer["lose"]:
                self._lost = True
            if answer["cancel"]:
                self.cancelled.set()
            for name, log in self._logs.items():
                self._send(name, log)

    def _send(self, name: str, log: _Log) -> None:
        for _ in range(PIECES):
            if not (data := log.read()):
                break
            self._server.send(data, log.sent, log=name)
            log.sent += len(data)
