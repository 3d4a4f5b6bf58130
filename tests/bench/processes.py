"""Processes that are timed, and that never outlive the bench; a local workspace for as long as it is measured."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from azureml_local.client import config
from azureml_local.client.instance import LocalServer
from azureml_local.storage.folder import StateFolder

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "sklearn-mnist" / "train.py"
GRACE_SECONDS = 10.0


class CommandFailed(Exception):
    """A command that is measured ended with an error; the message has its last line."""


@dataclass(frozen=True)
class Finished:
    """A process that has ended: seconds of wall and of CPU time, its own and its children's, and what it printed."""

    wall: float
    cpu: float
    output: str


def run(command: Sequence[str], *, folder: Path, environment: Mapping[str, str] | None = None) -> Finished:
    """Run a command to its end.

    Raises:
        CommandFailed: it ended with another status than 0.
    """
    with tempfile.TemporaryFile() as said, group(command, folder, said.fileno(), environment) as started:
        process, begun = started
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - begun
        process.returncode = os.waitstatus_to_exitcode(status)
        said.seek(0)
        output = said.read().decode("utf-8", "replace")
    if process.returncode != 0:
        last = (output.strip().splitlines() or ["it said nothing"])[-1]
        raise CommandFailed(f"`{' '.join(command[:4])}` ended with status {process.returncode}: {last}")
    return Finished(wall, usage.ru_utime + usage.ru_stime, output)


@contextlib.contextmanager
def group(
    command: Sequence[str], folder: Path, output: int, environment: Mapping[str, str] | None = None
) -> Iterator[tuple[subprocess.Popen[bytes], float]]:
    """A process in a group of its own, and when it was started (``perf_counter``); the group ends with the context."""
    begun = time.perf_counter()
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        yield process, begun
    finally:
        # First as Ctrl-C would: `azureml-local up` then ends the server that it has just started.
        for number, seconds in ((signal.SIGINT, GRACE_SECONDS), (signal.SIGKILL, None)):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(seconds)


@contextlib.contextmanager
def announced(command: Sequence[str], folder: Path) -> Iterator[str]:
    """A server that prints a line when it is ready: the line. It runs as long as the context.

    Raises:
        CommandFailed: it ended without one.
    """
    reader, writer = os.pipe()
    with os.fdopen(reader) as said, group(command, folder, writer):
        os.close(writer)
        line = said.readline()
        if not line.endswith("\n"):
            raise CommandFailed(f"`{' '.join(command[:2])}` ended before it was ready.")
        yield line


@contextlib.contextmanager
def temporary_folder() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="azureml-local-bench-"))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


@contextlib.contextmanager
def workspace(folder: Path, *options: str) -> Iterator[LocalServer]:
    """A server on a store of its own below ``folder``, for the workspace of the config.json that is written there."""
    name = config.read(config.write_default(folder))
    server = LocalServer.start(StateFolder(folder / "state"), "--port", "0", *options)
    try:
        server.answer_to(name)
        yield server
    finally:
        server.stop()


def say(line: str) -> None:
    """Progress, beside the table."""
    print(line, file=sys.stderr, flush=True)
