"""The tutorial's notebooks as pages of the site, with the outputs that are kept in them."""

from __future__ import annotations

from pathlib import Path

from nbconvert import MarkdownExporter

FOLDER = Path(__file__).parents[2] / "notebooks"
# The page of each notebook, without the ending.
PAGES = {
    "img-classification-part1-training.ipynb": "tutorial",
    "img-classification-search.ipynb": "search",
    "img-classification-part2-deploy.ipynb": "deployment",
}


def pages() -> dict[str, str | bytes]:
    """tutorial.md and the others, and their figures.

    Markdown, and not nbconvert's own HTML, which loads MathJax, RequireJS and Mermaid from other hosts.
    """
    made: dict[str, str | bytes] = {}
    for name, page in PAGES.items():
        text, resources = MarkdownExporter().from_filename(
            str(FOLDER / name), resources={"output_files_dir": f"{page}-files", "unique_key": page}
        )
        made |= {f"{page}.md": text, **resources["outputs"]}
    return made
