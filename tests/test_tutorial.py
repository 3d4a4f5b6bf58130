"""What `azureml-local tutorial` writes."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat

from azureml_local.cli.tutorial import as_html

NOTEBOOK = Path(__file__).parents[1] / "notebooks" / "img-classification-part1-training.ipynb"
# What a browser fetches by itself, in a tag, a style or a script.
FETCHED = re.compile(
    r"<(?:script|img|iframe|source|link)\b[^>]*\b(?:src|href)=[\"'](?!data:|#)|url\([\"']?(?:https?:)?//|"
    r"\bimport\b[^;\n]*https?://|<script\b[^>]*\bsrc\b"
)


def test_the_page_of_a_notebook_fetches_nothing() -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    state = {"application/vnd.jupyter.widget-state+json": {"state": {}, "version_major": 2, "version_minor": 0}}
    notebook.metadata["widgets"] = state  # which nbconvert shows by a script from elsewhere
    page = as_html(notebook)
    assert [page[match.start() : match.end() + 80] for match in FETCHED.finditer(page)] == []
    assert "Train a handwritten" in page
    assert "data:image/png;base64," in page
