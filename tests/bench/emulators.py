"""Azurite and moto's server, installed for the bench alone, and started as their users start them."""

from __future__ import annotations

import contextlib
import shutil
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
from platformdirs import user_cache_path
from processes import group, say

from azureml_local.storage.folder import StateFolder

AZURITE = "azurite@3.37.0"  # from npm; ahead of this release is what the project aims at
MOTO = "moto[server]==5.2.5"
# Azurite's account is a documented one; its key is no secret.
AZURITE_ACCOUNT = "devstoreaccount1"
AZURITE_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


@dataclass(frozen=True)
class Started:
    """A running server: its port, its process and the seconds from its start to its first answer."""

    port: int
    process: psutil.Process
    seconds: float

    def memory(self) -> float:
        """Resident memory of it and its children, in MiB."""
        family = [self.process, *self.process.children(recursive=True)]
        return sum(one.memory_info().rss for one in family) / 2**20

    def cpu(self) -> float:
        """CPU seconds so far."""
        times = [one.cpu_times() for one in (self.process, *self.process.children(recursive=True))]
        return sum(one.user + one.system for one in times)


@contextlib.contextmanager
def ours(folder: Path) -> Iterator[Started]:
    """The server that `azureml-local up` starts, on a store of its own."""
    state = folder / "ours"
    command = [sys.executable, "-m", "azureml_local", "serve", "--state", str(state), "--environments", "host"]
    with _server(lambda port: [*command, "--port", str(port)], folder, tls=True) as started:
        yield started


@contextlib.contextmanager
def azurite(folder: Path, certificate: Path | None = None) -> Iterator[Started]:
    """Azurite's blob service on an empty folder, on disk as it is by default; https with a certificate (PEM)."""
    program = _installed("azurite", _install_azurite)
    data = folder / "azurite"
    options = ["--location", str(data), "--silent", "--disableTelemetry", "--skipApiVersionCheck"]
    if certificate is not None:
        options += ["--cert", str(certificate), "--key", str(certificate)]
    command = [str(program), *options, "--blobPort"]
    with _server(lambda port: [*command, str(port)], folder, tls=certificate is not None) as started:
        yield started
    shutil.rmtree(data, ignore_errors=True)


@contextlib.contextmanager
def moto(folder: Path) -> Iterator[Started]:
    program = _installed("moto", _install_moto)
    with _server(lambda port: [str(program), "-H", "127.0.0.1", "-p", str(port)], folder) as started:
        yield started


def state_folder(folder: Path) -> StateFolder:
    """That of ``ours``."""
    return StateFolder(folder / "ours")


@contextlib.contextmanager
def _server(command: Callable[[int], list[str]], folder: Path, *, tls: bool = False) -> Iterator[Started]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with group(command(port), folder, subprocess.DEVNULL) as (process, begun):
        while True:
            with contextlib.suppress(OSError):
                _ask(port, tls)
                break
            if process.poll() is not None:
                raise RuntimeError(f"{command(port)[0]} ended with status {process.returncode} before it listened.")
            time.sleep(0.005)
        yield Started(port, psutil.Process(process.pid), time.perf_counter() - begun)


def _ask(port: int, tls: bool) -> None:
    """Any answer will do. Raises OSError without one: a port that listens may belong to a server that isn't ready."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as plain:
        connection: socket.socket = ssl._create_unverified_context().wrap_socket(plain) if tls else plain
        with connection:
            connection.sendall(f"GET / HTTP/1.1\r\nHost: localhost:{port}\r\nConnection: close\r\n\r\n".encode())
            if not connection.recv(1):
                raise ConnectionError("closed without an answer")


def _installed(name: str, install: Callable[[Path], Path]) -> Path:
    """A program in the user's cache, installed when it isn't there."""
    return install(user_cache_path("azureml-local") / "bench" / name)


def _install_azurite(folder: Path) -> Path:
    program = folder / AZURITE.replace("@", "-") / "node_modules" / ".bin" / "azurite-blob"
    if not program.exists():
        say(f"  installing {AZURITE} with npm")
        where = program.parents[2]
        where.mkdir(parents=True, exist_ok=True)
        command = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(where), AZURITE]
        subprocess.run(command, check=True)
    return program


def _install_moto(folder: Path) -> Path:
    program = folder / "bin" / "moto_server"
    if not program.exists():
        say(f"  installing {MOTO} with uv")
        uv = str(Path(sys.executable).with_name("uv"))
        subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, str(folder)], check=True)
        command = [uv, "pip", "install", "--quiet", "--no-config", "--python", str(folder / "bin" / "python"), MOTO]
        subprocess.run(command, check=True)
    return program
