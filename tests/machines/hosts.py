"""Real schedulers, workers and servers, on this host or on another one: a network namespace with a cable between."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from azureml_local.client.instance import LocalServer
from azureml_local.endpoints import Instance
from azureml_local.storage.folder import StateFolder
from tests.durability.servers import free_ports

BIN = Path(sys.executable).parent
# How long anything may take on a machine that does much else.
SLOW = 180.0


def free_port(address: str = "127.0.0.1") -> int:
    with socket.socket() as probe:
        probe.bind((address, 0))
        return int(probe.getsockname()[1])


def plain_environment(folder: Path) -> dict[str, str]:
    """What a worker's machine has: nothing of a client's variables, caches of its own."""
    names = ("PATH", "HOME", "LANG", "TZ")
    known = {name: os.environ[name] for name in names if name in os.environ}
    return {**known, "AZUREML_LOCAL_CACHE": str(folder / "cache"), "DASK_TEMPORARY_DIRECTORY": str(folder)}


class DaskCluster:
    """A scheduler and its workers, each a process of its own, with one thread unless said otherwise."""

    def __init__(self, folder: Path, address: str = "127.0.0.1") -> None:
        self._folder = folder
        self.address = f"tcp://{address}:{free_port(address)}"
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        host, port = self.address.removeprefix("tcp://").split(":")
        self._start("scheduler", ["dask", "scheduler", "--host", host, "--port", port, "--no-dashboard", "--no-show"])
        deadline = time.monotonic() + SLOW
        while True:  # until it answers
            with contextlib.suppress(OSError), socket.create_connection((host, int(port)), 1):
                break
            assert time.monotonic() < deadline, (folder / "scheduler" / "log").read_text()
            time.sleep(0.1)

    def worker(self, name: str, *before: str) -> None:
        """Start one; ``before`` are the words that make it another host's."""
        words = ["dask", "worker", self.address, "--no-nanny", "--nthreads", "1", "--no-dashboard", "--name", name]
        self._start(name, words, *before)

    def stop(self, name: str) -> None:
        process = self.processes.pop(name)
        process.send_signal(signal.SIGCONT)
        process.kill()
        process.wait()

    def close(self) -> None:
        for name in list(self.processes):
            self.stop(name)

    def _start(self, name: str, words: list[str], *before: str) -> None:
        folder = self._folder / name
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [*before, str(BIN / words[0]), *words[1:]],
                cwd=folder,
                env=plain_environment(folder),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )


class ImpatientServer:
    """A server on a scheduler, whose workers and itself give up sooner than usual (`impatient_server.py`)."""

    def __init__(self, root: Path, scheduler: str, host: str = "localhost") -> None:
        self.folder = StateFolder(root / "state")
        self.folder.create()
        # Its own ports: those of a server that is down for a moment go to the next one that starts, a test's beside.
        self._words = [str(self.folder.root), str(root / "cache"), scheduler, host, str(free_ports())]
        # In seconds: short for what is to be lost, long for what is not, since a loaded machine is slow.
        self.patience = 15
        self.log = root / "server.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> LocalServer:
        with self.log.open("ab") as log:
            script = str(Path(__file__).with_name("impatient_server.py"))
            self._process = subprocess.Popen(
                [sys.executable, script, *self._words, str(self.patience)], stdout=log, stderr=log
            )
        deadline = time.monotonic() + SLOW
        while True:
            with contextlib.suppress(OSError, ValueError):
                known = json.loads(self.folder.instance.read_text())
                if known["pid"] == self._process.pid:
                    return LocalServer(self.folder, Instance(**known))
            assert self._process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.05)

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        assert self._process is not None
        self._process.terminate()
        self._process.wait(SLOW)


class Client:
    """A client of a server, in a process of its own (`client.py`)."""

    def __init__(self, folder: Path, server: LocalServer) -> None:
        self._folder = folder
        source = folder / "source"
        source.mkdir()
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("client.py")), str(source)],
            env={**os.environ, **server.variables()},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def submit(self, text: str, *data: str) -> Submitted:
        return Submitted(self, self.ask("submit", text, *data), self._folder)

    def ask(self, what: str, *arguments: str) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps([what, arguments]), file=self._process.stdin, flush=True)
        return json.loads(self._process.stdout.readline())

    def close(self) -> None:
        self._process.communicate()


class Submitted:
    """A run of a client's."""

    def __init__(self, client: Client, run_id: str, folder: Path) -> None:
        self._client, self.id, self._folder = client, run_id, folder

    @property
    def status(self) -> str:
        return str(self._client.ask("details", self.id)["status"])

    @property
    def error(self) -> str:
        return str(self._client.ask("details", self.id)["error"])

    def metrics(self) -> Any:
        return self._client.ask("metrics", self.id)

    def file(self, name: str) -> bytes:
        target = self._folder / "downloaded"
        self._client.ask("download", self.id, name, str(target))
        return target.read_bytes()

    def log(self) -> str:
        return self.file("system_logs/local_node.txt").decode()

    def cancel(self) -> None:
        self._client.ask("cancel", self.id)


class FarHost:
    """Another host: a network namespace, with a cable to this one that can be pulled."""

    def __init__(self) -> None:
        number = os.getpid() % 60_000
        self._name, self._cable = f"aml{number}", f"amlv{number}"
        self.here = f"10.{64 + number // 1000}.{number % 250}.1"
        self._there = self.here.removesuffix("1") + "2"

    def build(self) -> None:
        """Raises CalledProcessError or OSError where that isn't allowed."""
        far = f"{self._cable}f"
        _ip("netns", "add", self._name)
        _ip("link", "add", self._cable, "type", "veth", "peer", "name", far)
        _ip("link", "set", far, "netns", self._name)
        _ip("addr", "add", f"{self.here}/24", "dev", self._cable)
        _ip("link", "set", self._cable, "up")
        _ip("-n", self._name, "addr", "add", f"{self._there}/24", "dev", far)
        _ip("-n", self._name, "link", "set", far, "up")
        _ip("-n", self._name, "link", "set", "lo", "up")

    def words(self, hidden: Path) -> list[str]:
        """What runs a command there. ``hidden``, a folder of this host, is empty there."""
        script = 'mount -t tmpfs none "$0" && exec "$@"'
        return ["ip", "netns", "exec", self._name, "unshare", "-m", "sh", "-c", script, str(hidden)]

    def pull_the_cable(self) -> None:
        _ip("-n", self._name, "link", "set", f"{self._cable}f", "down")

    def close(self) -> None:
        for words in (("link", "del", self._cable), ("netns", "del", self._name)):
            subprocess.run(["ip", *words], capture_output=True, check=False)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


@contextlib.contextmanager
def far_host() -> Iterator[FarHost]:
    """Skips the test, with the reason, where no network namespace can be made."""
    host = FarHost()
    try:
        host.build()
    except (OSError, subprocess.CalledProcessError) as error:
        said = getattr(error, "stderr", b"") or b""
        host.close()
        pytest.skip(f"no network namespace can be made here: {error} {said.decode(errors='replace').strip()}")
    try:
        yield host
    finally:
        host.close()
