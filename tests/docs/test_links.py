"""Links between the Markdown files, as whoever reads them in the repository follows them, on a code host too."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import pytest

from tests.docs.blocks import ROOT

LINK = re.compile(
    r"\]\(<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\)|^\[[^\]]+\]:\s+(\S+)|(?:href|src)=\"([^\"]+)\"", re.MULTILINE
)
CODE = re.compile(r"^```.*?^```$|`[^`\n]+`", re.MULTILINE | re.DOTALL)
HEADING = re.compile(r"^#+\s+(.+?)\s*#*$", re.MULTILINE)


def tracked() -> list[Path]:
    """The files of the repository, with those that are new."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [path for line in listed.splitlines() if (path := ROOT / line).is_file()]


PAGES = sorted(path for path in tracked() if path.suffix == ".md")


def anchors(page: Path) -> set[str]:
    """The names that code hosts give to the headings of a page."""
    found: set[str] = set()
    # What looks like a heading in a block is none, but what stands between backticks belongs to its heading.
    for heading in HEADING.findall(
        re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    ):
        words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        name = re.sub(r"[^\w\- ]", "", words.lower()).replace(" ", "-")
        number = 0
        while (numbered := f"{name}-{number}" if number else name) in found:
            number += 1
        found.add(numbered)
    return found


def broken(page: Path, files: set[Path]) -> Iterator[str]:
    for groups in LINK.findall(CODE.sub("", page.read_text("utf-8"))):
        link = next(filter(None, groups))
        if re.match(r"\w+:|//", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / unquote(path)).resolve() if path else page
        if target not in files and not any(target in file.parents for file in files):
            yield f"{link}: there is no such file"
        elif anchor and target.suffix == ".md" and anchor not in anchors(target):
            yield f"{link}: there is no such heading"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_of_a_page_lead_somewhere_in_the_repository(page: Path) -> None:
    assert list(broken(page, set(tracked()))) == []


def test_check_of_links_reports_broken_ones(tmp_path: Path) -> None:
    page = tmp_path / "a.md"
    page.write_text("# One `two`\n[a](b.md) [c](#one-two) [d](#three) `[e](f.md)`\n")
    assert list(broken(page, {page})) == ["b.md: there is no such file", "#three: there is no such heading"]
