"""Studio in Debian's Chromium, driven by Playwright."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


# Not for the whole session: Playwright keeps an event loop running meanwhile, and other tests have loops of their own.
@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    executable = next(filter(None, map(shutil.which, NAMES)), None)
    if executable is None:
        pytest.skip("there is no Chromium on this machine (on Debian: apt-get install chromium)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def open_page(chromium: Browser) -> Iterator[Callable[..., Page]]:
    """A tab in a browser of its own. Whatever it complains of, what the security policy refused among it, fails the
    test in the end; so does a dialog, which none of Studio's pages opens.
    """
    complaints: list[str] = []
    contexts = []

    def new(url: str, *, width: int = 1280, scheme: Any = "light") -> Page:
        context = chromium.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", lambda dialog: (complaints.append(f"a dialog: {dialog.message}"), dialog.dismiss()))
        page.goto(url)
        return page

    yield new
    for context in contexts:
        context.close()
    assert complaints == []
