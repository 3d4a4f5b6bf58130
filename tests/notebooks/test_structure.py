"""The notebook as a file: what must hold before anything runs it."""

from __future__ import annotations

import ast
import json
import re
import sys
from pathlib import Path
from typing import Any

import IPython
import nbformat
import pytest
from IPython.core.inputtransformer2 import TransformerManager

ROOT = Path(__file__).parents[2]
NOTEBOOK = ROOT / "notebooks" / "img-classification-part1-training.ipynb"
SECTIONS = (
    "Set up",
    "Connect to the workspace",
    "Create an experiment",
    "Create a cluster",
    "Get the data",
    "Look at the data",
    "Write the training script",
    "Describe the environment",
    "Submit the job",
    "Watch it run",
    "Look at the results",
    "Find the best regularization rate",
    "Let HyperDrive search",
    "Train the best model and register it",
    "Clean up",
)
MACHINE_PATH = re.compile(r"(?<![\w:/.])(/(root|home|Users|work|tmp|private|var|mnt)/|[A-Z]:\\)\w")

notebook = nbformat.read(NOTEBOOK, as_version=4)
code_cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
script_cell = next(cell for cell in code_cells if cell.id == "script-write")
by_id = pytest.mark.parametrize("cell", code_cells, ids=lambda cell: cell.id)


def python_of(cell: Any) -> ast.Module:
    """The cell as Python: magics become calls, and the script that `%%writefile` takes is parsed as it is."""
    if cell is script_cell:
        return ast.parse(cell.source.split("\n", 1)[1])
    return ast.parse(TransformerManager().transform_cell(cell.source))


def test_notebook_is_valid_and_names_the_default_kernel() -> None:
    nbformat.validate(notebook)
    assert (notebook.nbformat, notebook.nbformat_minor) == (4, 5)
    assert notebook.metadata.kernelspec.name == "python3"


def test_notebook_has_its_sections_in_order() -> None:
    text = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    headings = re.findall(r"^## (\d+)\. (.*)$", text, re.MULTILINE)
    assert headings == [(str(number), title) for number, title in enumerate(SECTIONS, start=1)]


def test_cells_have_names_that_a_reader_of_a_diff_understands() -> None:
    assert [cell.id for cell in notebook.cells if not re.fullmatch(r"[a-z]+(-[a-z]+)*", cell.id)] == []


@by_id
def test_notebook_code_parses(cell: Any) -> None:
    python_of(cell)


@by_id
def test_notebook_cells_are_short(cell: Any) -> None:
    if cell is not script_cell:
        assert len(cell.source.splitlines()) <= 30


def test_no_two_code_cells_follow_each_other_for_long_without_a_word() -> None:
    kinds = "".join(cell.cell_type[0] for cell in notebook.cells)
    assert "cccc" not in kinds


@by_id
def test_notebook_never_imports_the_local_workspace(cell: Any) -> None:
    for node in ast.walk(python_of(cell)):
        if isinstance(node, ast.Import):
            assert not [name.name for name in node.names if name.name.startswith("azureml_local")]
        if isinstance(node, ast.ImportFrom):
            assert not (node.module or "").startswith("azureml_local")
    assert "azureml_local" not in cell.source


def test_script_folder_is_what_the_notebook_writes() -> None:
    magic, script = script_cell.source.split("\n", 1)
    assert magic == "%%writefile {script_folder}/train.py"
    assert (ROOT / "sklearn-mnist" / "train.py").read_text() == script + "\n"
    assert (ROOT / "sklearn-mnist" / "utils.py").read_bytes() == (ROOT / "utils.py").read_bytes()


class TestCommittedOutputs:
    """They come from a real run (tests/notebooks/rerun.py): in order, on a fresh kernel, without a mishap."""

    def test_every_cell_ran_once_and_in_order(self) -> None:
        assert [cell.execution_count for cell in code_cells] == list(range(1, len(code_cells) + 1))

    @by_id
    def test_notebook_has_no_errors_or_warnings(self, cell: Any) -> None:
        assert [output for output in cell.outputs if output.output_type == "error"] == []
        assert [output.text for output in cell.outputs if output.get("name") == "stderr"] == []

    @by_id
    def test_notebook_shows_nothing_of_the_machine_it_ran_on(self, cell: Any) -> None:
        for line in json.dumps(cell.outputs).split("\\n"):
            assert not MACHINE_PATH.search(line), line

    @by_id
    def test_notebook_file_is_small(self, cell: Any) -> None:
        assert len(json.dumps(cell.outputs)) < 200_000

    def test_notebook_keeps_no_widget_state(self) -> None:
        assert "widgets" not in notebook.metadata
        kinds = {kind for cell in code_cells for output in cell.outputs for kind in output.get("data", {})}
        assert not {kind for kind in kinds if "widget" in kind}

    def test_notebook_outputs_are_of_the_real_mnist(self) -> None:
        (loaded,) = [cell for cell in code_cells if cell.id == "data-load"]
        text = "".join(output.text for output in loaded.outputs)
        assert text == "60,000 training images and 10,000 test images of 784 pixels each\n"


class TestSetUpCheck:
    """The first cell says in one sentence what is wrong with the packages of this kernel."""

    source = code_cells[0].source

    def run(self) -> None:
        exec(compile(self.source, "set-up-check", "exec"), {})

    def sentence(self) -> str:
        with pytest.raises(Exception, match=r"^\S") as caught:
            self.run()
        # What Jupyter shows in the place of a traceback.
        (shown,) = caught.value._render_traceback_()  # type: ignore[attr-defined]
        assert shown.startswith("SetupProblem: ")
        assert "\n" not in shown
        return str(shown)

    def hide(self, monkeypatch: pytest.MonkeyPatch, *hidden: str) -> None:
        monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name in hidden else object())

    def test_version_check_accepts_the_pinned_packages(self) -> None:
        self.run()

    def test_version_check_reports_an_unsupported_python(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys, "version_info", (3, 13, 1, "final", 0))
        monkeypatch.setattr("platform.python_version", lambda: "3.13.1")
        assert "Python 3.10 or 3.11, not 3.13.1" in self.sentence()

    def test_version_check_reports_a_missing_sdk(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.hide(monkeypatch, "azureml")
        assert "azureml-core is missing" in self.sentence()

    @pytest.mark.parametrize("package", ["core", "opendatasets", "widgets"])
    def test_version_check_reports_a_missing_sdk_part(self, monkeypatch: pytest.MonkeyPatch, package: str) -> None:
        self.hide(monkeypatch, f"azureml.{package}")
        assert f"azureml-{package} is missing" in self.sentence()

    def test_version_check_reports_setuptools_without_pkg_resources(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.hide(monkeypatch, "pkg_resources")
        assert "setuptools<81" in self.sentence()

    def test_version_check_reports_ipython_9(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(IPython, "version_info", (9, 0, 0, ""))
        assert "ipython<9" in self.sentence()
