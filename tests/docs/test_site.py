"""The site: built strictly, and with nothing on it that another host is asked for."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.docs.blocks import ROOT

# What a browser fetches by itself, and not only when somebody clicks.
FETCHED = {"link": "href", "script": "src", "img": "src", "iframe": "src", "source": "src", "form": "action"}


class Fetched(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        address = dict(attrs).get(FETCHED.get(tag, ""))
        if address and dict(attrs).get("rel") not in ("canonical", "next", "prev"):
            self.addresses.append(address)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("site")
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(target)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
    )
    assert built.returncode == 0, built.stdout + built.stderr
    return target


def test_no_page_asks_another_host_for_anything(site: Path) -> None:
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 15
    for page in pages:
        text = page.read_text("utf-8")
        found = Fetched()
        found.feed(text)
        assert found.addresses
        assert not [address for address in found.addresses if re.match(r"(https?:)?//", address)], page
        # Material fetches this one by a script of its own, as soon as a page has a diagram.
        assert 'class="mermaid"' not in text, page
    for style in site.rglob("*.css"):
        assert not re.search(r"url\([\"']?(https?:)?//|@import", style.read_text("utf-8")), style


def test_the_notebook_is_a_page_with_its_results(site: Path) -> None:
    page = (site / "tutorial.html").read_text("utf-8")
    assert page.count("<img") >= 3
    assert "sklearn_mnist" in page
    for picture in re.findall(r'src="(tutorial-files/[^"]+)"', page):
        assert (site / picture).stat().st_size > 1000
