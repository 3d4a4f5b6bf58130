"""A server that is killed and started again, many times."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil

from azureml_local.client.instance import LocalServer
from azureml_local.endpoints import Instance
from azureml_local.storage.folder import StateFolder


class KillableServer:
    """Servers on one store, one after the other, on the same ports."""

    def __init__(self, root: Path, *, create: bool = True) -> None:
        root.mkdir(exist_ok=True)
        self.folder = StateFolder(root / "state")
        if create:
            self.folder.create()
        self.log = root / "servers.log"
        words = [str(Path(__file__).with_name("fork_server.py")), str(self.folder.root), str(root / "cache")]
        with self.log.open("wb") as log:
            self._forker = subprocess.Popen(
                [sys.executable, *words, str(free_ports())],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        self.pid = 0

    def start(self) -> None:
        """Begin to start one; it doesn't answer yet."""
        assert self._forker.stdin is not None
        assert self._forker.stdout is not None
        print("start", file=self._forker.stdin, flush=True)
        self.pid = int(self._forker.stdout.readline())

    def wait(self, seconds: float = 60) -> LocalServer:
        """Until it answers."""
        deadline = time.monotonic() + seconds
        while not self.ready():
            assert psutil.pid_exists(self.pid), self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.01)
        return LocalServer(self.folder, Instance(**json.loads(self.folder.instance.read_text())))

    def came_up(self) -> bool:
        """Wait until it answers or has ended; whether it answers."""
        deadline = time.monotonic() + 60
        while not self.ready() and psutil.pid_exists(self.pid):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        return self.ready()

    def ready(self) -> bool:
        """Whether the server that was started last has said that it answers."""
        try:
            return bool(json.loads(self.folder.instance.read_text())["pid"] == self.pid)
        except (OSError, ValueError):
            return False

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        self._gone()

    def stop(self) -> None:
        os.kill(self.pid, signal.SIGTERM)
        self._gone()

    def close(self) -> None:
        if self.pid and psutil.pid_exists(self.pid):
            self.stop()
        assert self._forker.stdin is not None
        self._forker.stdin.close()
        self._forker.wait(30)
        assert self._forker.stdout is not None
        self._forker.stdout.close()

    def _gone(self) -> None:
        deadline = time.monotonic() + 60
        while psutil.pid_exists(self.pid):
            assert time.monotonic() < deadline, "the server doesn't end"
            time.sleep(0.002)


def free_ports() -> int:
    """The first of two ports that nobody has, below those that the system gives to outgoing connections."""
    for port in random.SystemRandom().sample(range(20000, 32000, 2), 100):
        with socket.socket() as first, socket.socket() as second:
            try:
                first.bind(("127.0.0.1", port))
                second.bind(("127.0.0.1", port + 1))
            except OSError:
                continue
            return port
    raise AssertionError("no free ports")
