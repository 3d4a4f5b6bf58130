"""A local workspace's server with a stopwatch: when it answered which request, when each run changed its status, and
when environments were built.

Usage: timed_server.py STATE CACHE EVENTS; it prints what it is as a line of JSON when it is ready, and writes what it
measured to EVENTS when it ends. It is the server that `azureml-local up` starts; the stopwatch adds microseconds.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, TextIO
from unittest.mock import patch

from starlette.types import Receive, Scope, Send

from azureml_local import workspace
from azureml_local.endpoints import Instance
from azureml_local.runtime.environments import EnvironmentBuilder, JobEnvironment
from azureml_local.server import serve as server
from azureml_local.server.access.guard import Guard
from azureml_local.storage.tables import Run
from azureml_local.workspace.runs import Runs

REQUESTS: list[tuple[float, float, str]] = []
STATUSES: list[tuple[float, str, str]] = []
BUILDS: list[tuple[float, float]] = []


class TimedGuard(Guard):
    """The outermost part of the server's own code: nothing of an answer is made before or after it."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun = time.time()
        try:
            await super().__call__(scope, receive, send)
        finally:
            REQUESTS.append((begun, time.time(), str(scope.get("path"))))


class TimedBuilder(EnvironmentBuilder):
    def build(self, definition: Mapping[str, Any], log: TextIO, cancelled: threading.Event) -> JobEnvironment:
        begun = time.time()
        try:
            return super().build(definition, log, cancelled)
        finally:
            BUILDS.append((begun, time.time()))


class TimedRuns(Runs):
    def _tell(self, run: Run) -> None:
        STATUSES.append((time.time(), run.id, run.status))
        super()._tell(run)


def main(state: Path, cache: Path, events: Path) -> None:
    def ready(instance: Instance) -> None:
        print(json.dumps(asdict(instance)), flush=True)

    try:
        with (
            patch.object(server, "Guard", TimedGuard),
            patch.object(server, "EnvironmentBuilder", TimedBuilder),
            patch.object(workspace, "Runs", TimedRuns),
        ):
            server.serve(server.Settings(state=state, cache=cache, port=0), ready)
    finally:
        events.write_text(json.dumps({"requests": REQUESTS, "statuses": STATUSES, "builds": BUILDS}))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]))
