"""Many runs at once: a sweep beside the same scripts in a shell, runs started and a long queue drained."""

from __future__ import annotations

import json
import os
import shutil
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil
from jobs import download
from processes import SCRIPT, run, temporary_folder, workspace
from requests_to import NAMED, Connection, connect
from submit_sweep import NODES
from table import Part, Row

from azureml_local.client.instance import LocalServer
from azureml_local.storage.clock import parse_time

RUNS, TIMES = 8, 2
MANY, AT_ONCE, QUEUED = 20, 20, 200


def measure() -> Part:
    with temporary_folder() as folder, workspace(folder, "--environments", "host") as server:
        source, data = folder / "source", folder / "mnist"
        source.mkdir()
        data.mkdir()
        shutil.copy(SCRIPT, source)
        shutil.copy(SCRIPT.with_name("utils.py"), source)
        download(server, data)
        swept, bare = [], []
        for _ in range(TIMES):
            swept.append(_span(_sweep(server, folder, source, RUNS, NODES, "train.py", "--data-folder", str(data))))
            bare.append(_in_a_shell(source, data))
        empty = folder / "empty"
        empty.mkdir()
        created = [
            parse_time(row["createdUtc"]).timestamp() for row in _sweep(server, folder, empty, MANY, AT_ONCE, "true")
        ]
        process = psutil.Process(server.instance.pid)
        before = process.cpu_times()
        drained = _span(_sweep(server, folder, empty, QUEUED, 100, "true"))
        after = process.cpu_times()
    cpu = after.user + after.system - before.user - before.system
    return Part(
        f"A sweep on {NODES} nodes, through HyperDrive",
        [
            Row(f"train.py at {RUNS} rates", swept, "s", f"the same in a shell, {NODES} at a time", bare),
            Row(f"{MANY} runs started, each", [1000 * (max(created) - min(created)) / (MANY - 1)], "ms"),
            Row(f"{QUEUED} runs of `true` drained, each", [1000 * drained / QUEUED], "ms"),
            Row("of which the server's own processor time", [1000 * cpu / QUEUED], "ms"),
        ],
    )


def _sweep(
    server: LocalServer, folder: Path, source: Path, total: int, at_once: int, *command: str
) -> list[dict[str, Any]]:
    """The children of a sweep that is over."""
    client = str(Path(__file__).with_name("submit_sweep.py"))
    arguments = [sys.executable, "-W", "ignore", client, str(source), str(total), str(at_once), *command]
    output = run(arguments, folder=folder, environment={**os.environ, **server.variables()}).output
    (line,) = [json.loads(line) for line in output.splitlines() if line.startswith('{"run"')]
    with closing(connect(server)) as api:
        return _children(api, line["run"], total)


def _children(api: Connection, parent: str, total: int) -> list[dict[str, Any]]:
    rows = api.json("GET", f"/history/v1.0{NAMED}/experiments/bench/runs/{parent}/children?$top=500")["value"]
    if len(rows) != total or any(row["status"] != "Completed" for row in rows):
        raise RuntimeError(f"Of {total} runs of {parent}: {[row['status'] for row in rows]}")
    return rows


def _span(rows: list[dict[str, Any]]) -> float:
    """From the first one's making to the last one's end."""
    return max(parse_time(row["endTimeUtc"]).timestamp() for row in rows) - min(
        parse_time(row["createdUtc"]).timestamp() for row in rows
    )


def _in_a_shell(source: Path, data: Path) -> float:
    """Each in a folder of its own, as jobs are."""
    script = f"mkdir bare-{{}}; cd bare-{{}}; {sys.executable} ../train.py --data-folder {data} --regularization {{}}"
    rates = " ".join(str(n + 1) for n in range(RUNS))
    done = run(["sh", "-c", f"printf '%s\\n' {rates} | xargs -P {NODES} -I{{}} sh -c '{script}'"], folder=source)
    for n in range(RUNS):
        shutil.rmtree(source / f"bare-{n + 1}")
    return done.wall
