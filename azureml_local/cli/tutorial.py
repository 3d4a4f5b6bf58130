"""`azureml-local tutorial`: run notebooks on the local workspace, and report their progress."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import threading
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError
from nbconvert import HTMLExporter
from rich.console import Console
from rich.status import Status
from rich.text import Text

from azureml_local.cli.terminal import shown
from azureml_local.client.instance import LocalServer

FOLDER = Path("notebooks")
# The project's notebooks by their short names, in the order in which one reads them.
TUTORIALS = {
    "part1": FOLDER / "img-classification-part1-training.ipynb",
    "search": FOLDER / "img-classification-search.ipynb",
    "part2": FOLDER / "img-classification-part2-deploy.ipynb",
}
CELL_SECONDS = 3600
# nbconvert's own page without what it has browsers fetch from elsewhere: RequireJS, MathJax, Mermaid, widgets.
PAGE = """
{%- extends 'lab/index.html.j2' -%}
{%- block html_head_js -%}{%- endblock -%}
{%- block jupyter_widgets -%}{%- endblock -%}
{%- block html_head_js_mathjax -%}{%- endblock -%}
{%- block html_head_js_mermaidjs -%}{%- endblock -%}
"""
HEADING = re.compile(r"^#{1,3}[ \t]+(\S.*)$", re.MULTILINE)
ESCAPES = re.compile(r"\x1b\[[0-9;]*m")


class TutorialError(Exception):
    """The notebook failed; the message says in which cell, and with what."""


@dataclass
class Report:
    """What came of a notebook: the places it was written to, and the seconds of each of its sections."""

    notebook: Path
    html: Path
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def total(self) -> float:
        return sum(self.seconds.values())


def notebooks_of(name: str) -> list[Path]:
    """The notebooks that a name stands for: one of TUTORIALS, ``all`` of them, or a path.

    Raises:
        TutorialError: there is no such notebook.
    """
    found = list(TUTORIALS.values()) if name == "all" else [TUTORIALS.get(name, Path(name))]
    for path in found:
        if not path.is_file():
            raise TutorialError(
                f"There is no notebook {path} here. Run this in the project's folder, and name a notebook or one of: "
                f"{', '.join(TUTORIALS)}, all."
            )
    return found


def run_notebook(source: Path, target_folder: Path, server: LocalServer, console: Console) -> Report:
    """Execute a notebook where it lies, with the workspace's variables, and write it with its outputs, as a
    notebook and as HTML.

    Raises:
        TutorialError: a cell failed or the kernel died. What had run by then is written all the same.
    """
    try:
        notebook = nbformat.read(source, as_version=4)  # type: ignore[no-untyped-call]
    except ValueError as error:  # not JSON, or not UTF-8; JSON of another kind is a notebook without cells
        raise TutorialError(f"{source} is no notebook ({str(error).splitlines()[0]}).") from error
    target_folder.mkdir(parents=True, exist_ok=True)
    report = Report(target_folder / source.name, (target_folder / source.name).with_suffix(".html"))
    progress = _Progress(notebook, report, server, console)
    client = NotebookClient(
        notebook,
        timeout=CELL_SECONDS,
        extra_arguments=["--log-level=ERROR"],  # or each start says that loopback isn't encrypted
        resources={"metadata": {"path": str(source.parent)}},
        on_cell_start=progress.cell_started,
        on_cell_executed=progress.cell_executed,
    )
    try:
        with progress:
            _execute(client, {**os.environ, **server.variables()})
    except CellExecutionError as error:
        where = f"In the section {progress.section!r}, cell {progress.cell + 1} failed"
        raise TutorialError(f"{where} with {ESCAPES.sub('', error.ename)}: {ESCAPES.sub('', error.evalue)}") from error
    except DeadKernelError as error:
        raise TutorialError(f"The kernel died in the section {progress.section!r}. Was there enough memory?") from error
    finally:
        nbformat.write(notebook, report.notebook)  # type: ignore[no-untyped-call]
        report.html.write_text(as_html(notebook), encoding="utf-8")
    return report


def _execute(client: NotebookClient, environment: dict[str, str]) -> None:
    """Run the notebook in a thread of its own, so that Ctrl-C is ours: in the main thread nbclient takes it, and
    ends in an assertion of its own.

    Raises what the notebook raised, or KeyboardInterrupt when its kernel is gone.
    """
    with ThreadPoolExecutor(1) as pool:
        execution = pool.submit(client.execute, env=environment)
        try:
            execution.result()
        except KeyboardInterrupt:
            while not execution.done():
                _end_kernel(client)
                wait([execution], timeout=0.2)
            raise


def _end_kernel(client: NotebookClient) -> None:
    provisioner = getattr(client.km, "provisioner", None)
    pid = getattr(provisioner, "pid", None)
    if pid:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def as_html(notebook: Any) -> str:
    """The notebook as one page, which needs no network."""
    with warnings.catch_warnings():
        # The widget's state is for a live kernel: it has no place on a page.
        warnings.filterwarnings("ignore", message="Your element with mimetype")
        html, _ = HTMLExporter(raw_template=PAGE).from_notebook_node(notebook)  # type: ignore[no-untyped-call]
    return str(html)


class _Progress:
    """A line for each section that is done, and a live one for the cell that runs, with what the submitted
    run is doing.
    """

    def __init__(self, notebook: Any, report: Report, server: LocalServer, console: Console) -> None:
        self._report = report
        self._console = console
        self._sections = _sections(notebook)
        self._code_cells = [i for i, cell in enumerate(notebook.cells) if cell.cell_type == "code"]
        self._started = 0.0
        self._status = Status("Starting the kernel", console=console)
        self._over = threading.Event()
        self._watcher = threading.Thread(target=self._watch, args=(server,), daemon=True)
        self.section = ""
        self.cell = 0
        self._run_state = ""

    def __enter__(self) -> _Progress:
        self._status.start()
        self._watcher.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._status.stop()
        self._watcher.join()
        self._close_section()

    def cell_started(self, cell: Any, cell_index: int) -> None:
        if cell.cell_type != "code":
            return
        if self._sections[cell_index] != self.section:
            self._close_section()
            self.section = self._sections[cell_index]
            self._report.seconds[self.section] = 0.0
        self.cell = self._code_cells.index(cell_index) if cell_index in self._code_cells else self.cell
        self._started = time.monotonic()
        self._show()

    def cell_executed(self, cell: Any, cell_index: int, execute_reply: Any) -> None:
        self._report.seconds[self.section] += time.monotonic() - self._started

    def _close_section(self) -> None:
        if self.section:
            self._console.print(
                f"  {shown(self.section):<44} {self._report.seconds[self.section]:6.1f} s", markup=False
            )

    def _show(self) -> None:
        state = f", {self._run_state}" if self._run_state else ""
        self._status.update(Text(shown(f"Cell {self.cell + 1} of {len(self._code_cells)}: {self.section}{state}")))

    def _watch(self, server: LocalServer) -> None:
        while not self._over.wait(0.5):
            try:
                unfinished = server.status()["unfinished"]
            except Exception as error:  # the notebook goes on without this line; say why it has stopped
                self._run_state = f"the workspace doesn't answer ({type(error).__name__})"
            else:
                self._run_state = f"the run is {unfinished[0]['status']}" if unfinished else ""
            self._show()


def _sections(notebook: Any) -> list[str]:
    """For each cell, the heading that it stands under."""
    found, current = [], "Beginning"
    for cell in notebook.cells:
        if cell.cell_type == "markdown" and (headings := HEADING.findall(cell.source)):
            current = headings[-1]
        found.append(current)
    return found


def summary(report: Report, status: dict[str, Any], describe_run: Callable[[str], dict[str, Any]]) -> list[str]:
    """What a person wants to know at the end, a line each."""
    lines = [f"Data      {status['mnist']['description']}"]
    for model in status["models"]:
        lines.append(f"Model     {model['name']}, version {model['version']}")
        if model["run_id"]:
            run = describe_run(model["run_id"])
            accuracy = run["metrics"].get("accuracy")
            if isinstance(accuracy, float):
                lines.append(f"Accuracy  {accuracy:.4f}")
            if run["seconds"] is not None:
                lines.append(f"Run       {model['run_id']}: {run['status']}, its script took {run['seconds']:.1f} s")
    lines += [
        f"Took      {report.total:.0f} s in the notebook's cells",
        f"Notebook  {report.notebook}",
        f"As HTML   {report.html}",
    ]
    return lines
