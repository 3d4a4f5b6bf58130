"""Open files: a crowd of connections leaves enough of them for jobs and the database."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from azureml_local.client.instance import LocalServer
from azureml_local.storage.folder import StateFolder

SOFT, HARD = 200, 256

SUBMIT = """
import sys
from azureml.core import Environment, Experiment, ScriptRunConfig, Workspace
here = Environment("here")
here.python.user_managed_dependencies = True
run = Experiment(Workspace.from_config(), "crowd").submit(
    ScriptRunConfig("source", "script.py", compute_target="local", environment=here))
run.wait_for_completion()
run.download_file("outputs/limit.txt", "limit.txt")
print(run.get_status())
"""

SCRIPT = """
import os, resource
os.makedirs("outputs", exist_ok=True)
with open("outputs/limit.txt", "w") as file:
    file.write(str(resource.getrlimit(resource.RLIMIT_NOFILE)[0]))
"""


@pytest.fixture
def server(tmp_path: Path, wait_for: Callable[..., Any]) -> Iterator[LocalServer]:
    folder = StateFolder(tmp_path / "state")
    limited = f'ulimit -Hn {HARD}; ulimit -Sn {SOFT}; exec "$@"'
    serve = [sys.executable, "-m", "azureml_local", "serve", "--port", "0", "--environments", "host"]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            ["bash", "-c", limited, "serve", *serve, "--state", str(folder.root)], stdout=log, stderr=log
        )
        try:
            yield wait_for(lambda: LocalServer.find(folder), 60)
        finally:
            process.terminate()
            process.wait(60)


@pytest.mark.case("slow-and-huge")
def test_a_crowd_of_silent_connections_takes_nothing_from_a_job(server: LocalServer, tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "script.py").write_text(SCRIPT)
    names = {"subscription_id": "0-0", "resource_group": "local", "workspace_name": "azureml-local"}
    (tmp_path / "config.json").write_text(json.dumps(names))
    with contextlib.ExitStack() as crowd:
        for port in (server.instance.api_port, server.instance.plain_port):
            for _ in range(2 * HARD):
                crowd.enter_context(socket.create_connection(("127.0.0.1", port), timeout=60))
        command = [sys.executable, "-m", "azureml_local", "run", "--state", str(server.folder.root), "--"]
        done = subprocess.run(
            [*command, sys.executable, "-W", "ignore", "-c", SUBMIT],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=240,
        )
        assert "Completed" in done.stdout, done.stdout + done.stderr
    # What the user had set, though the server has raised its own.
    assert (tmp_path / "limit.txt").read_text() == str(SOFT)
    assert "Traceback" not in (tmp_path / "log").read_text()
