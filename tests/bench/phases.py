"""The notebook's phases, and whose seconds they are: the SDK's, the script's, the environment's, the server's.

The server runs with a stopwatch (timed_server.py) and the executed notebook has the times of its cells, so each moment
has one cause. Where several things go on at once, the time belongs to what the notebook was waiting for: the
environment's build before the script, the script before the cluster, the cluster before an answer of the server, an
answer before the cell that asked.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import nbformat
import psutil
from processes import ROOT, announced, say, temporary_folder
from requests_to import connect, job_log
from rich.console import Console
from solvers import fit_seconds
from table import Part, Row
from timeline import Span, divide

from azureml_local.cli.tutorial import Report, TutorialError, run_notebook
from azureml_local.client import config
from azureml_local.client.instance import LocalServer
from azureml_local.endpoints import Instance
from azureml_local.storage.folder import StateFolder, cache_folder

NOTEBOOK = "img-classification-part1-training.ipynb"
AGAIN = 3

BUILD = "the environment of the job"
SCRIPT = "the job's process"
CLUSTER = "the local cluster: queue, inputs, outputs"
ANSWERS = "the server's answers"
IMPORTS = "imports (section 1)"
POLLING = "the SDK's polling: waiting, with nothing left to wait for"
CELLS = "all else in cells: the SDK's own work, figures"
REST = "starting the kernel, between cells, writing HTML"


@dataclass(frozen=True)
class Execution:
    """One execution of the notebook."""

    whole: Span
    report: Report
    cells: list[tuple[Span, str, int]]  # when, its source, the number of its section
    server_cpu: float  # seconds
    fit: float  # seconds, as the script says


def measure() -> Part:
    part = Part("The notebook, executed as `make tutorial` does")
    with temporary_folder() as folder:
        executions: list[Execution] = []
        try:
            with _server(folder) as server:
                part.remarks.append(f"Data: {server.status()['mnist']['description'].split(',')[0]}.")
                for number in range(1 + AGAIN):
                    say(f"  the notebook, {number + 1} of {1 + AGAIN}")
                    executions.append(_execute(folder, server))
        except TutorialError as error:
            part.remarks.append(f"Not measured any further: {error}")
            return part
        events = json.loads((folder / "events.json").read_text())
    first, again = executions[0], executions[1:]
    splits = [_split(one, events) for one in executions]
    totals = [_seconds(one.whole) for one in again]
    part.rows.append(
        Row("the first time: the environment is built, from uv's cache", [_seconds(first.whole)], "s", "again", totals)
    )
    part.rows.append(
        Row("of which the environment's build", [splits[0][BUILD]], "s", "again", [s[BUILD] for s in splits[1:]])
    )
    part.rows.append(Row("again", totals))
    for name in first.report.seconds:
        part.rows.append(Row(f"  {name}", [one.report.seconds[name] for one in again], "s", "the whole", totals))
    part.rows.append(Row("again, by cause", totals))
    for cause in splits[0]:
        part.rows.append(Row(f"  {cause}", [split[cause] for split in splits[1:]], "s", "the whole", totals))
    part.rows.append(Row("the server process's CPU time", [one.server_cpu for one in again], "s", "the whole", totals))
    answered = [len(_requests(one.whole, events)) for one in again]
    part.rows.append(Row("requests that the server answered meanwhile", answered, ""))
    return part


@contextmanager
def _server(folder: Path) -> Iterator[LocalServer]:
    """A server with a stopwatch, no environments in its cache, and the MNIST that the user's has."""
    cache, state = folder / "cache", StateFolder(folder / "state")
    cache.mkdir()
    (cache / "mnist").symlink_to(cache_folder() / "mnist")
    program = str(Path(__file__).with_name("timed_server.py"))
    command = [sys.executable, program, str(state.root), str(cache), str(folder / "events.json")]
    with announced(command, folder) as line:
        server = LocalServer(state, Instance(**json.loads(line)))
        for part in ("notebooks", "sklearn-mnist"):
            shutil.copytree(ROOT / part, folder / part)
        shutil.copy(ROOT / "utils.py", folder)
        server.answer_to(config.read(config.write_default(folder)))
        yield server


def _execute(folder: Path, server: LocalServer) -> Execution:
    process = psutil.Process(server.instance.pid)
    cpu, begun = sum(process.cpu_times()[:2]), time.time()
    with Path(os.devnull).open("w") as nowhere:
        report = run_notebook(folder / "notebooks" / NOTEBOOK, folder / "executed", server, Console(file=nowhere))
    whole = begun, time.time()
    used = sum(process.cpu_times()[:2]) - cpu
    run_id = server.status()["models"][0]["run_id"]
    with closing(connect(server)) as api:
        fit = fit_seconds(job_log(api, run_id))
    return Execution(whole, report, _cells(report), used, fit)


def _cells(report: Report) -> list[tuple[Span, str, int]]:
    notebook: Any = nbformat.read(report.notebook, as_version=4)  # type: ignore[no-untyped-call]
    found: list[tuple[Span, str, int]] = []
    section = 0
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            section += cell.source.startswith("## ")
        elif times := cell.metadata.get("execution"):
            span = _moment(times["iopub.execute_input"]), _moment(times["shell.execute_reply"])
            found.append((span, cell.source, section))
    return found


def _split(execution: Execution, events: dict[str, Any]) -> dict[str, float]:
    """The seconds by cause."""
    start, end = execution.whole
    statuses = [(moment, status) for moment, _, status in events["statuses"] if start <= moment <= end]
    by_status = {status: moment for moment, status in statuses}
    moments = [moment for moment, _ in statuses]
    causes: dict[str, list[Span]] = {
        BUILD: [(a, b) for a, b in events["builds"] if start <= a <= end],
        SCRIPT: [(by_status["Running"], by_status["Finalizing"])],
        CLUSTER: [(min(moments), max(moments))],
        ANSWERS: _requests(execution.whole, events),
        IMPORTS: [span for span, _, section in execution.cells if section == 1],
        POLLING: [span for span, source, _ in execution.cells if "wait_for_completion(" in source],
        CELLS: [span for span, _, _ in execution.cells],
    }
    found = divide(execution.whole, causes, REST)
    job = found.pop(SCRIPT)
    inside = {
        "the training: the script's fit": execution.fit,
        "the job's process beside the fit: imports, data, upload": job - execution.fit,
    }
    return {**inside, **found}


def _requests(whole: Span, events: dict[str, Any]) -> list[Span]:
    """When requests of the notebook and its job were being answered; not those of the tutorial's progress line."""
    return [(a, b) for a, b, path in events["requests"] if whole[0] <= a <= whole[1] and not path.startswith("/local/")]


def _seconds(span: Span) -> float:
    return span[1] - span[0]


def _moment(text: str) -> float:
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()
