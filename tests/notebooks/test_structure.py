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

from utils import SetupProblem, check_setup

ROOT = Path(__file__).parents[2]
SECTIONS = {
    "img-classification-part1-training": (
        "Set up",
        "Connect to the workspace",
        "Create a cluster",
        "Get the data",
        "Look at the data",
        "Write the training script",
        "Describe the environment",
        "Submit the job",
        "Watch it run",
        "Look at the results",
        "Train several models at once",
        "Register the best model",
        "Clean up",
    ),
    "img-classification-search": (
        "Set up",
        "Workspace, cluster and data",
        "A script that reports as it learns",
        "Learning curves, by hand",
        "Let HyperDrive search",
        "The best run",
    ),
    "img-classification-part2-deploy": (
        "Set up",
        "Workspace and digits",
        "The model",
        "Write the scoring script",
        "Describe the environment",
        "Deploy",
        "Ask it",
        "What it gets wrong",
        "How fast it answers",
        "Clean up",
    ),
}
MACHINE_PATH = re.compile(r"(?<![\w:/.])(/(root|home|Users|work|tmp|private|var|mnt)/|[A-Z]:\\)\w")
WIDEST = 100  # characters of a line of code that JupyterLab shows whole in a window of 1280 pixels

notebooks = {name: nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", as_version=4) for name in SECTIONS}
code_cells = {name: [cell for cell in each.cells if cell.cell_type == "code"] for name, each in notebooks.items()}
scripts = {name: next(cell for cell in cells if cell.id == "script-write") for name, cells in code_cells.items()}
by_name = pytest.mark.parametrize("name", SECTIONS)
by_id = pytest.mark.parametrize(
    "cell", [pytest.param(cell, id=f"{name}:{cell.id}") for name, cells in code_cells.items() for cell in cells]
)


def is_script(cell: Any) -> bool:
    return cell.source.startswith("%%writefile")


def python_of(cell: Any) -> ast.Module:
    """The cell as Python: magics become calls, and the script that `%%writefile` takes is parsed as it is."""
    if is_script(cell):
        return ast.parse(cell.source.split("\n", 1)[1])
    return ast.parse(TransformerManager().transform_cell(cell.source))


def test_every_notebook_is_looked_at() -> None:
    assert {path.stem for path in (ROOT / "notebooks").glob("*.ipynb")} == set(SECTIONS)


@by_name
def test_notebook_is_valid_and_names_the_default_kernel(name: str) -> None:
    notebook = notebooks[name]
    nbformat.validate(notebook)
    assert (notebook.nbformat, notebook.nbformat_minor) == (4, 5)
    assert notebook.metadata.kernelspec.name == "python3"


@by_name
def test_notebook_has_its_sections_in_order(name: str) -> None:
    text = "\n".join(cell.source for cell in notebooks[name].cells if cell.cell_type == "markdown")
    headings = re.findall(r"^## (\d+)\. (.*)$", text, re.MULTILINE)
    assert headings == [(str(number), title) for number, title in enumerate(SECTIONS[name], start=1)]


@by_name
def test_cells_have_names_that_a_reader_of_a_diff_understands(name: str) -> None:
    assert [cell.id for cell in notebooks[name].cells if not re.fullmatch(r"[a-z]+(-[a-z]+)*", cell.id)] == []


@by_id
def test_notebook_code_parses(cell: Any) -> None:
    python_of(cell)


@by_id
def test_notebook_cells_are_short(cell: Any) -> None:
    assert len(cell.source.splitlines()) <= (61 if is_script(cell) else 30)
    assert max(map(len, cell.source.splitlines())) <= WIDEST


@by_name
def test_no_two_code_cells_follow_each_other_for_long_without_a_word(name: str) -> None:
    assert len(notebooks[name].cells) <= 50
    kinds = "".join(cell.cell_type[0] for cell in notebooks[name].cells)
    assert "cccc" not in kinds


@by_id
def test_notebook_never_imports_the_local_workspace(cell: Any) -> None:
    for node in ast.walk(python_of(cell)):
        if isinstance(node, ast.Import):
            assert not [name.name for name in node.names if name.name.startswith("azureml_local")]
        if isinstance(node, ast.ImportFrom):
            assert not (node.module or "").startswith("azureml_local")
    assert "azureml_local" not in cell.source


@pytest.mark.parametrize(
    ("name", "file"), list(zip(SECTIONS, ("train.py", "search.py", "scoring/score.py"), strict=True))
)
def test_script_folder_is_what_the_notebook_writes(name: str, file: str) -> None:
    magic, script = scripts[name].source.split("\n", 1)
    assert magic.startswith("%%writefile ")
    assert magic.endswith(f"/{file}")
    assert (ROOT / "sklearn-mnist" / file).read_text() == script + "\n"


def test_jobs_read_their_data_with_the_tutorials_own_utils() -> None:
    assert (ROOT / "sklearn-mnist" / "utils.py").read_bytes() == (ROOT / "utils.py").read_bytes()


class TestCommittedOutputs:
    """They come from a real run (tests/notebooks/rerun.py): in order, on a fresh kernel, without a mishap."""

    @by_name
    def test_every_cell_ran_once_and_in_order(self, name: str) -> None:
        assert [cell.execution_count for cell in code_cells[name]] == list(range(1, len(code_cells[name]) + 1))

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

    @by_name
    def test_notebook_keeps_no_widget_state(self, name: str) -> None:
        assert "widgets" not in notebooks[name].metadata
        kinds = {kind for cell in code_cells[name] for output in cell.outputs for kind in output.get("data", {})}
        assert not {kind for kind in kinds if "widget" in kind}

    def test_notebook_outputs_are_of_the_real_mnist(self) -> None:
        (loaded,) = [cell for cell in code_cells["img-classification-part1-training"] if cell.id == "data-load"]
        text = "".join(output.text for output in loaded.outputs)
        assert text == "60,000 training images and 10,000 test images of 784 pixels each\n"


class TestSetUpCheck:
    """utils.check_setup says in one sentence what is wrong with the packages of a kernel."""

    def sentence(self) -> str:
        with pytest.raises(SetupProblem) as caught:
            check_setup()
        # What Jupyter shows in the place of a traceback.
        (shown,) = caught.value._render_traceback_()
        assert shown.startswith("SetupProblem: ")
        assert "\n" not in shown
        return str(shown)

    def hide(self, monkeypatch: pytest.MonkeyPatch, *hidden: str) -> None:
        monkeypatch.setattr("utils.find_spec", lambda name: None if name in hidden else object())

    def test_version_check_accepts_the_pinned_packages(self) -> None:
        check_setup()

    def test_version_check_reports_an_unsupported_python(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys, "version_info", (3, 13, 1, "final", 0))
        monkeypatch.setattr("platform.python_version", lambda: "3.13.1")
        assert "Python 3.10 or 3.11, not 3.13.1" in self.sentence()

    def test_version_check_reports_a_missing_sdk(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.hide(monkeypatch, "azureml")
        assert "azureml-core is missing" in self.sentence()

    @pytest.mark.parametrize(
        ("module", "package"),
        [("azureml.opendatasets", "azureml-opendatasets"), ("sklearn", "scikit-learn"), ("matplotlib", "matplotlib")],
    )
    def test_version_check_reports_a_missing_package(
        self, monkeypatch: pytest.MonkeyPatch, module: str, package: str
    ) -> None:
        self.hide(monkeypatch, module)
        assert f"{package} is missing" in self.sentence()

    def test_version_check_reports_setuptools_without_pkg_resources(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.hide(monkeypatch, "pkg_resources")
        assert "setuptools<81" in self.sentence()

    def test_version_check_reports_ipython_9(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(IPython, "version_info", (9, 0, 0, ""))
        assert "ipython<9" in self.sentence()
