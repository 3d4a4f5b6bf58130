"""The tutorial's notebook as a page of the site, with the outputs that are kept in it."""

from __future__ import annotations

from pathlib import Path

from nbconvert import MarkdownExporter

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "img-classification-part1-training.ipynb"
FOLDER = "tutorial-files"


def pages() -> dict[str, str | bytes]:
    """tutorial.md, and its figures.

    Markdown, and not nbconvert's own HTML, which loads MathJax, RequireJS and Mermaid from other hosts.
    """
    text, resources = MarkdownExporter().from_filename(
        str(NOTEBOOK), resources={"output_files_dir": FOLDER, "unique_key": "tutorial"}
    )
    return {"tutorial.md": text, **resources["outputs"]}
