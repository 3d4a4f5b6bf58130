"""What MkDocs asks for while it builds the site: the pages that are made from code, SECURITY.md, and the notebooks."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

import notebook
import reference
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]
# Pages whose text lies elsewhere, so that it is also found where people look for it in a repository.
KEPT_ELSEWHERE = {"security.md": "SECURITY.md"}
# Those and the pages that are made of the notebooks: where a link of the repository leads on the site.
ON_THE_SITE = {
    **{source: page for page, source in KEPT_ELSEWHERE.items()},
    **{f"notebooks/{name}": f"{page}.md" for name, page in notebook.PAGES.items()},
}
LINK = re.compile(r"(\]\()(?!\w+:|#)([^)#\s]+)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    made: dict[str, str | bytes] = {**reference.pages(), **notebook.pages()}
    made |= {page: (ROOT / source).read_text("utf-8") for page, source in KEPT_ELSEWHERE.items()}
    for path, content in made.items():
        files.append(File.generated(config, path, content=content))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Links of the repository to the same text on the site: docs/x.md, ../SECURITY.md."""
    here = posixpath.dirname(KEPT_ELSEWHERE.get(page.file.src_uri, "docs/" + page.file.src_uri))

    def on_the_site(match: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(here, match[2]))
        uri = ON_THE_SITE.get(target, target.removeprefix("docs/"))
        return match[1] + posixpath.relpath(uri, posixpath.dirname(page.file.src_uri) or ".")

    return LINK.sub(on_the_site, markdown)
