"""Run a notebook again and keep its outputs, as they are committed.

    AZUREML_LOCAL_MNIST=mnist-folder azureml-local run --ephemeral -- python tests/notebooks/rerun.py NAME

Run it on a workspace that is fresh, so that all versions are 1, and on the real MNIST. What a saved notebook
can't show is left out: a widget without its kernel is an error message, and times of execution change.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import nbclient
import nbformat

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"


def is_for_a_live_widget(output: Any) -> bool:
    return any("widget" in kind for kind in output.get("data", {}))


def tidy(notebook: Any) -> None:
    notebook.metadata.pop("widgets", None)
    notebook.metadata.language_info.version = "3.11"
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if not is_for_a_live_widget(output)]


def main() -> None:
    path = NOTEBOOKS / sys.argv[1]
    notebook = nbformat.read(path, as_version=4)
    resources = {"metadata": {"path": str(NOTEBOOKS)}}
    client = nbclient.NotebookClient(notebook, timeout=1800, resources=resources)
    client.on_cell_start = lambda cell, cell_index: print(cell.id, file=sys.stderr)
    client.execute()
    tidy(notebook)
    nbformat.write(notebook, path)


if __name__ == "__main__":
    main()
