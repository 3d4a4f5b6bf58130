"""Many of one kind: runs that wait for a node, metrics of one run."""

from __future__ import annotations

import time
import uuid
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import psutil
from processes import say, temporary_folder, workspace
from requests_to import NAMED, Connection, connect
from table import Part, Row

from azureml_local.client.instance import LocalServer

STAGES = (1_000, 2_000)
CALLS = 5
BATCH = 500
SNAPSHOT = "00000000-0000-0000-0000-000000000000"


def measure() -> Part:
    part = Part("Many of one kind (median)")
    for stage in STAGES:
        with temporary_folder() as folder:
            _measure(part, folder, stage)
    return part


def _measure(part: Part, folder: Path, count: int) -> None:
    say(f"  {count:,} runs that wait, and as many metrics")
    with workspace(folder, "--environments", "host") as server:
        with closing(connect(server)) as api:
            _make_runs(api, count)
            _make_metrics(api, count)
            page = str(api.json("GET", "/local/runs/many")["page"])
            parts = urlsplit(page)
            with closing(Connection(f"{parts.scheme}://{parts.netloc}", {})) as pages:
                times = [pages.milliseconds("GET", parts.path) for _ in range(CALLS)]
            part.rows.append(Row(f"Studio's page of a run with {count:,} metrics", times, "ms"))
            times = [api.milliseconds("GET", "/local/status") for _ in range(CALLS)]
            part.rows.append(Row(f"status with {count:,} runs that wait", times, "ms"))
            memory = psutil.Process(server.instance.pid).memory_info().rss / 2**20
            part.rows.append(Row(f"the server's memory with {count:,}", [memory], "MiB"))
        times = []
        for _ in range(3):
            server.stop()
            begun = time.perf_counter()
            started = LocalServer.start(server.folder, "--environments", "host")
            times.append(time.perf_counter() - begun)
            started.stop()
        part.rows.append(Row(f"a start with {count:,} runs that wait", times, "s"))


def _make_runs(api: Connection, count: int) -> None:
    scale = {"minNodeCount": 0, "maxNodeCount": 0, "nodeIdleTimeBeforeScaleDown": "PT120S"}
    properties = {"vmSize": "STANDARD_D2_V2", "scaleSettings": scale}
    body = {"location": "local", "properties": {"computeType": "AmlCompute", "properties": properties}}
    api.call("PUT", f"{NAMED}/computes/full", body)
    environment = {"python": {"userManagedDependencies": True}}
    configuration = {"target": "full", "command": "true", "environment": environment}
    for number in range(count):
        path = f"/execution/v1.0{NAMED}/experiments/crowd/snapshotrun?runId=waits_{number}"
        api.call("POST", path, {"Configuration": configuration, "SnapshotId": SNAPSHOT})


def _make_metrics(api: Connection, count: int) -> None:
    api.call("POST", f"/history/v1.0{NAMED}/experiments/many")
    run = {"runId": "many", "target": "sdk"}
    api.call("PATCH", f"/history/v1.0{NAMED}/experiments/many/runs/many", run)
    for start in range(0, count, BATCH):
        values = [
            {
                "name": f"m{number}",
                "columns": {f"m{number}": "double"},
                "properties": {"uxMetricType": "azureml.v1.scalar"},
                "value": [{"metricId": str(uuid.uuid4()), "data": {f"m{number}": 0.5}}],
            }
            for number in range(start, start + BATCH)
        ]
        api.call("POST", f"/metric/v2.0{NAMED}/runs/many/batch", {"values": values})
