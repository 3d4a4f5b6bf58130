"""Whether answers stay as quick as the store grows: 100, 1,000 and 10,000 runs with 50 metric values each."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from contextlib import closing
from typing import Any

import psutil
from processes import say, temporary_folder, workspace
from requests_to import NAMED, Connection, connect
from table import Part, Row

STAGES = (100, 1_000, 10_000)
VALUES = 50  # of each run: 500,000 in all at the last stage
CALLS = 200
WARM_UP = 20

HISTORY = f"/history/v1.0{NAMED}/experiments/growth"


def measure() -> Part:
    part = Part(f"Answers as the store grows, {VALUES} metric values for each run (p50, p95)")
    measured: dict[str, dict[int, list[float]]] = {}
    with (
        temporary_folder() as folder,
        workspace(folder, "--environments", "host") as server,
        closing(connect(server)) as api,
    ):
        api.call("POST", HISTORY)
        made = 0
        for stage in STAGES:
            say(f"  {stage:,} runs")
            for number in range(made, stage):
                _run(api, number)
            made = stage
            for what, ask in _questions(api, stage).items():
                for _ in range(WARM_UP):
                    ask()
                measured.setdefault(what, {})[stage] = [ask() for _ in range(CALLS)]
        memory = psutil.Process(server.instance.pid).memory_info().rss / 2**20
    for what, by_stage in measured.items():
        first = by_stage[STAGES[0]]
        for stage, values in by_stage.items():
            beside = f"with {STAGES[0]} runs" if stage != STAGES[0] else ""
            part.rows.append(Row(f"{what}, {stage:,} runs", values, "ms", beside, first if beside else ()))
    part.rows.append(Row("the server's memory then", [memory], "MiB"))
    return part


def _questions(api: Connection, stage: int) -> dict[str, Callable[[], float]]:
    middle = f"growth_{stage // 2}"
    newest = {"filter": "(ParentRunId eq null)", "orderby": "StartTimeUtc desc", "top": 100}
    tagged = {"filter": "(tags/kind eq 'rare')", "top": 100}
    metrics = f"/metric/v2.0{NAMED}/runs/{middle}"
    return {
        "get a run": lambda: api.milliseconds("GET", f"{HISTORY}/runs/{middle}"),
        "list the newest 100": lambda: api.milliseconds("POST", f"{HISTORY}/runs:query", newest),
        "list by a tag that one has": lambda: api.milliseconds("POST", f"{HISTORY}/runs:query", tagged),
        "log a metric": lambda: api.milliseconds("POST", f"{metrics}/batch", _values("logged", 1)),
        "list a run's metrics": lambda: api.milliseconds("POST", f"{metrics}/list", {}),
        "read its 50 values": lambda: api.milliseconds("POST", f"{metrics}/full", {"metricName": "loss"}),
    }


def _run(api: Connection, number: int) -> None:
    tags = {"kind": "rare" if number == 50 else "usual", "number": str(number)}
    api.call(
        "PATCH",
        f"{HISTORY}/runs/growth_{number}",
        {"runId": f"growth_{number}", "target": "sdk", "tags": tags},
    )
    api.call("POST", f"/metric/v2.0{NAMED}/runs/growth_{number}/batch", _values("loss", VALUES))


def _values(name: str, count: int) -> dict[str, Any]:
    moment = "2026-01-01T00:00:00.0000000+00:00"
    values = [
        {"metricId": str(uuid.uuid4()), "createdUtc": moment, "data": {name: 1 / (1 + index)}} for index in range(count)
    ]
    kind = {"uxMetricType": "azureml.v1.scalar"}
    return {
        "values": [{"name": name, "columns": {name: "double"}, "value": values, "properties": kind}],
        "reportErrors": True,
    }
