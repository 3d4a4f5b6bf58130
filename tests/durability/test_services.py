"""Deployed models outlive their server: processes are taken up again, or started anew, and none is left over."""

from __future__ import annotations

import io
import json
import os
import signal
from collections.abc import Callable
from typing import Any

import httpx
import psutil
import pytest

from azureml_local.names import DEFAULT_NAME
from azureml_local.runtime.process import marked_of_all
from azureml_local.serving.process import RECORD
from azureml_local.workspace import Workspace
from tests.durability.servers import KillableServer
from tests.durability.workload import Client

SERVICES = f"/modelmanagement/v1.0{DEFAULT_NAME.arm_id}/services"
SCORE = b"""
import os, time

def init():
    time.sleep(1)

def run(data):
    return os.getpid()
"""
BODY = {
    "name": "kept",
    "computeType": "ACI",
    "environmentImageRequest": {
        "assets": [{"id": "score.py", "url": "aml://artifact/LocalUpload/x/score.py", "unpack": False}],
        "modelIds": [],
        "environment": {
            "name": "score",
            "python": {"userManagedDependencies": True, "interpreterPath": "python"},
            "environmentVariables": {"AZUREML_ENTRY_SCRIPT": "score.py"},
        },
    },
}


def score(client: Client) -> int | None:
    """The process that answers; None where none does."""
    found = client.ask("GET", f"{SERVICES}/kept")
    if found["scoringUri"] is None:
        return None
    answer = httpx.post(found["scoringUri"], content=b"1", timeout=60)
    return int(answer.text) if answer.status_code == 200 else None


@pytest.mark.slow
def test_service_is_taken_up_after_a_crash_and_none_is_left(
    killable: KillableServer, wait_for: Callable[..., Any]
) -> None:
    services = killable.folder.services

    def processes() -> list[psutil.Process]:
        return [each for path, found in marked_of_all().items() if path.startswith(str(services)) for each in found]

    workspace = Workspace(killable.folder)
    workspace.artifacts.put_file("LocalUpload", "x", "score.py", io.BytesIO(SCORE))
    workspace.close()
    killable.start()
    client = Client(killable.wait())
    client.ask("POST", SERVICES, json=BODY)
    # In mid-deployment: the next server goes on with it, with one process.
    wait_for(lambda: list(services.glob(f"kept/*/{RECORD}")), 120)
    killable.kill()
    killable.start()
    client = Client(killable.wait())
    wait_for(lambda: score(client), 120)
    first = score(client)
    assert len({each.pid for each in processes()}) == 3  # supervisor, gunicorn and its worker

    killable.kill()
    killable.start()
    client = Client(killable.wait())
    wait_for(lambda: score(client) == first, 60)

    # Both at once: a new process.
    killable.kill()
    (record,) = services.glob(f"kept/*/{RECORD}")
    os.killpg(json.loads(record.read_text())["pid"], signal.SIGKILL)
    killable.start()
    client = Client(killable.wait())
    wait_for(lambda: score(client), 60)
    assert score(client) != first

    killable.stop()
    assert processes() == []
    killable.start()
    client = Client(killable.wait())
    wait_for(lambda: score(client), 60)
    client.ask("DELETE", f"{SERVICES}/kept")
    assert processes() == []
    assert not (services / "kept").exists()
    killable.stop()
