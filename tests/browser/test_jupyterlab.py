"""The notebook as its reader meets it: in JupyterLab, in a browser, on a local workspace."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import nbformat
import pytest

ROOT = Path(__file__).parents[2]
NAME = "img-classification-part1-training.ipynb"
RUN_SECONDS = 600.0  # all cells, the job's environment built anew among them

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Lab:
    url: str
    token: str
    project: Path

    def address(self, path: str) -> str:
        return f"{self.url}lab/tree/{path}?token={self.token}"

    def has_a_kernel(self) -> bool:
        """Whether one kernel is up and the browser is connected to it."""
        kernels = httpx.get(f"{self.url}api/kernels", params={"token": self.token}, trust_env=False).json()
        return [(each["execution_state"], each["connections"] > 0) for each in kernels] == [("idle", True)]


@pytest.fixture
def lab(tmp_path: Path, browser: object) -> Iterator[Lab]:
    """JupyterLab as `make lab` starts it, on a copy of the project, with settings and a workspace of its own."""
    project = tmp_path / "project"
    for folder in ("notebooks", "sklearn-mnist"):
        shutil.copytree(ROOT / folder, project / folder, ignore=shutil.ignore_patterns("data", "__pycache__"))
    shutil.copy(ROOT / "utils.py", project)
    settings = tmp_path / "settings" / "@jupyterlab" / "apputils-extension"
    settings.mkdir(parents=True)
    # Or Lab asks whether it may fetch news, in a box that covers a corner.
    (settings / "notification.jupyterlab-settings").write_text('{"fetchNews": "false", "checkForUpdates": false}')
    folders = {f"JUPYTER_{name}_DIR": str(tmp_path / name.lower()) for name in ("CONFIG", "DATA", "RUNTIME")}
    folders |= {f"JUPYTERLAB_{name}_DIR": str(tmp_path / name.lower()) for name in ("SETTINGS", "WORKSPACES")}
    # On the embedded digits: what is looked at here is the same, and comes sooner.
    inherited = {name: value for name, value in os.environ.items() if name != "AZUREML_LOCAL_MNIST"}
    command = [sys.executable, "-m", "azureml_local", "run", "--ephemeral", "--", sys.executable, "-m", "jupyterlab"]
    with (tmp_path / "lab.log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "--no-browser", "--allow-root", "--ServerApp.port=0"],
            cwd=project,
            env={**inherited, **folders, "AZUREML_LOCAL_OFFLINE": "1"},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        deadline = time.monotonic() + 120
        while not (found := list((tmp_path / "runtime").glob("jpserver-*.json"))):
            said = (tmp_path / "lab.log").read_text()
            assert process.poll() is None, said
            assert time.monotonic() < deadline, said
            time.sleep(0.1)
        server = json.loads(found[0].read_text())
        yield Lab(server["url"], server["token"], project)
    finally:
        # SIGINT to all, as Ctrl-C in a terminal: once makes Lab ask, twice ends it.
        deadline = time.monotonic() + 60
        while process.poll() is None and time.monotonic() < deadline:
            os.killpg(process.pid, signal.SIGINT)
            time.sleep(0.5)
        ended = process.poll() is not None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        assert ended, "Ctrl-C doesn't end it"


@dataclass(frozen=True)
class Screen:
    """The notebook's tab."""

    page: Any

    def scroll_to(self, expression: str) -> None:
        # Twice: Lab lays cells out when they come into view, and that moves the others.
        for _ in range(2):
            self.page.ask(f"({expression}).scrollIntoView({{block: 'center'}})")
            time.sleep(0.5)

    @property
    def prompts(self) -> list[str]:
        prompts: list[str] = self.page.ask(
            "[...document.querySelectorAll('.jp-CodeCell .jp-InputArea-prompt')].map(e => e.textContent)"
        )
        return prompts

    def wait_until_idle(self, seconds: float) -> None:
        status = "document.querySelector('.jp-Notebook-ExecutionIndicator').dataset.status === 'idle'"
        failed = "!!document.querySelector('.jp-OutputArea-output[data-mime-type*=\"jupyter.error\"]')"
        deadline = time.monotonic() + seconds
        # Idle is also what a kernel is between the first cell and those that Lab hasn't sent yet, which have no number.
        while (
            "[*]:" in self.prompts
            or not self.page.ask(status)
            or ("[ ]:" in self.prompts and not self.page.ask(failed))
        ):
            assert time.monotonic() < deadline, f"after {seconds:g} s these cells are not done: {self.prompts}"
            time.sleep(0.5)


@pytest.fixture
def screen(lab: Lab, new_page: Callable[..., Any], wait_for: Callable[..., Any]) -> Screen:
    """The notebook, open, its committed outputs cleared, so that what shows later is new."""
    page = new_page(1400, 1000)
    page.open(lab.address(f"notebooks/{NAME}"))
    page.wait_for("document.querySelectorAll('.jp-CodeCell').length > 20", 120)
    page.wait_for("document.querySelector('.jp-Notebook-ExecutionIndicator')?.dataset.status === 'idle'", 120)
    # On a slow machine Lab may start two kernels, and end the first; what runs before that is lost with it.
    wait_for(lab.has_a_kernel, 120)
    page.click(".lm-MenuBar-item", "Edit")
    page.click(".lm-Menu-itemLabel", "Clear Outputs of All Cells")
    page.wait_for("!document.querySelector('.jp-OutputArea-output')")
    return Screen(page)


def test_all_cells_run_in_jupyterlab(lab: Lab, screen: Screen, new_page: Callable[..., Any], tmp_path: Path) -> None:
    page = screen.page
    page.click(".lm-MenuBar-item", "Run")
    page.click(".lm-Menu-itemLabel", "Run All Cells")
    page.wait_for("document.querySelector('.jp-Notebook-ExecutionIndicator').dataset.status === 'busy'")
    screen.wait_until_idle(RUN_SECONDS)

    # What the reader sees.
    assert screen.prompts == [f"[{number + 1}]:" for number in range(len(screen.prompts))]
    assert not page.ask("document.querySelectorAll('.jp-OutputArea-output[data-mime-type*=\"stderr\"]').length")
    images = "[...document.querySelectorAll('.jp-OutputArea-output img')]"
    # A sample, the confusion matrix, the rates, the mistakes.
    figures = page.ask(f"{images}.map(e => [e.naturalWidth, e.naturalHeight, e.width])")
    assert len(figures) == 4
    for width, height, shown_width in figures:
        assert width > 500
        assert height > 100
        assert shown_width > 300
    pictures = tmp_path / "screenshots"
    pictures.mkdir()
    for number in range(len(figures)):
        screen.scroll_to(f"{images}[{number}]")
        page.screenshot(pictures / f"figure-{number}.png")
        assert (pictures / f"figure-{number}.png").stat().st_size > 20_000
    text = page.ask("document.querySelector('.jp-Notebook').innerText")
    assert "sklearn_mnist:1" in text
    assert "Traceback" not in text

    # What is kept.
    page.click(".lm-MenuBar-item", "File")
    page.click(".lm-Menu-itemLabel", "Save Notebook")
    path = lab.project / "notebooks" / NAME
    deadline = time.monotonic() + 60
    while not all(cell.execution_count for cell in code_cells(path)):
        assert time.monotonic() < deadline, "the notebook wasn't saved"
        time.sleep(0.5)
    outputs = [output for cell in code_cells(path) for output in cell.outputs]
    assert not [output for output in outputs if output.output_type == "error"]
    assert not ["".join(output.text) for output in outputs if output.get("name") == "stderr"]

    # Where the links lead.
    links = page.ask("[...document.querySelectorAll('.jp-OutputArea-output a')].map(e => e.href)")
    run_link, *others = [link for link in links if "/runs/" in link]
    run_page = new_page(1100, 1400)
    run_page.open(run_link)
    assert "Completed" in run_page.ask("document.querySelector('.status').textContent")
    assert run_page.ask("document.querySelectorAll('.matrix tbody td').length") == 100
    for colours in ("light", "dark"):
        run_page.colours(colours)
        run_page.screenshot(pictures / f"run-{colours}.png")
    experiment_link = run_page.ask("document.querySelector('a[href*=\"/experiments/\"]').href")
    # One of the runs is the best, and its model is registered.
    texts = []
    for link in (run_link, *others):
        run_page.open(link)
        texts.append(run_page.ask("document.body.innerText").replace("\u00a0", " "))
    assert len(texts) == 5
    assert sum("sklearn_mnist, version 1" in text for text in texts) == 1
    run_page.open(experiment_link)
    assert "accuracy" in run_page.ask("document.querySelector('thead').innerText")
    assert run_page.errors == []


def code_cells(path: Path) -> list[Any]:
    return [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
