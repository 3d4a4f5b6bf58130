"""Submit to the first line of the script, against a bare ``python train.py`` with the same interpreter and data."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from processes import SCRIPT, Finished, run, temporary_folder, workspace
from requests_to import NAMED, Connection, connect, job_log
from table import Part, Row

from azureml_local.client.instance import LocalServer
from azureml_local.storage.clock import parse_time

JOBS = 6  # the first is not counted: it makes the cluster's first node
BARE = 6  # half of them before the jobs, half after
STAMP = 'import time; print("First line at", time.time(), flush=True)\n'
STAMPED = re.compile(r"First line at (\d+\.\d+)")


@dataclass(frozen=True)
class Job:
    """Seconds from the call of submit to: its return, the process's start, the script's first line, the final status;
    and those from the process's start to the final status.
    """

    back: float
    started: float
    first_line: float
    final: float
    process: float


def measure() -> Part:
    with temporary_folder() as folder, workspace(folder, "--environments", "host") as server:
        source, data = folder / "source", folder / "mnist"
        source.mkdir()
        data.mkdir()
        (source / "script.py").write_text(STAMP + SCRIPT.read_text())
        shutil.copy(SCRIPT.with_name("utils.py"), source)
        download(server, data)
        bare = [_bare(source, data, folder) for _ in range(BARE // 2)]
        jobs = _submit(server, source, data, folder)[1:]
        bare += [_bare(source, data, folder) for _ in range(BARE - BARE // 2)]
    lines, walls = [line for line, _ in bare], [done.wall for _, done in bare]
    beside, line = "bare: whole script", "bare: its first line"
    return Part(
        "A job: train.py through `experiment.submit`, the packages being those of the server's Python",
        [
            Row("submit() comes back", [job.back for job in jobs]),
            Row("the job's process starts", [job.started for job in jobs]),
            Row("the script's first line", [job.first_line for job in jobs], "s", line, lines),
            Row("the run is Completed", [job.final for job in jobs], "s", beside, walls),
            Row("of which from the process's start", [job.process for job in jobs], "s", beside, walls),
        ],
    )


def _bare(source: Path, data: Path, folder: Path) -> tuple[float, Finished]:
    begun = time.time()
    done = run([sys.executable, str(source / "script.py"), "--data-folder", str(data)], folder=folder)
    return _stamp(done.output) - begun, done


def _submit(server: LocalServer, source: Path, data: Path, folder: Path) -> list[Job]:
    client = str(Path(__file__).with_name("submit_jobs.py"))
    command = [sys.executable, "-W", "ignore", client, str(source), str(data), str(JOBS)]
    output = run(command, folder=folder, environment={**os.environ, **server.variables()}).output
    lines = [json.loads(line) for line in output.splitlines() if line.startswith('{"run"')]
    with closing(connect(server)) as api:
        return [_job(api, line) for line in lines]


def _job(api: Connection, line: dict[str, Any]) -> Job:
    run_id, called = line["run"], float(line["called"])
    row = api.json("GET", f"/history/v1.0{NAMED}/experiments/bench/runs/{run_id}")
    if row["status"] != "Completed":
        raise RuntimeError(f"The run {run_id} is {row['status']}: {row['error']}")
    started, ended = (parse_time(row[key]).timestamp() for key in ("startTimeUtc", "endTimeUtc"))
    first_line = _stamp(job_log(api, run_id))
    return Job(line["back"] - called, started - called, first_line - called, ended - called, ended - started)


def download(server: LocalServer, data: Path) -> None:
    with closing(connect(server)) as api:
        for uri in api.json("GET", "/opendata/mnist")["files"]:
            path = urlsplit(uri).path
            (data / Path(path).name).write_bytes(api.call("GET", path))


def _stamp(output: str) -> float:
    match = STAMPED.search(output)
    if match is None:
        raise RuntimeError(f"The script has not printed its first line, but: {output[-500:]}")
    return float(match[1])
