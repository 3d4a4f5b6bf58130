"""Server start: ``azureml-local up`` until it answers."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from processes import run, temporary_folder
from table import Part, Row

from azureml_local.client.instance import LocalServer
from azureml_local.storage.folder import StateFolder

RUNS = 7


def measure() -> Part:
    first: list[float] = []
    again: list[float] = []
    nothing: list[float] = []
    with temporary_folder() as folder:
        for _ in range(RUNS):
            nothing.append(run([sys.executable, "-c", "pass"], folder=folder).wall)
            first.append(_up(folder))
            again.append(_up(folder))
            shutil.rmtree(folder / "state")
    beside = "python -c pass"
    return Part(
        "Server start: `azureml-local up`, until the server has answered",
        [
            Row("a new workspace (keys and certificates are made)", first, beside=beside, yardstick=nothing),
            Row("a workspace that was there", again, beside=beside, yardstick=nothing),
        ],
    )


def _up(folder: Path) -> float:
    state = folder / "state"
    try:
        # It comes back when the server has answered its first request.
        command = [sys.executable, "-m", "azureml_local", "up", "--state", str(state), "--port", "0"]
        return run(command, folder=folder).wall
    finally:
        server = LocalServer.find(StateFolder(state))
        if server is not None:
            server.stop()
