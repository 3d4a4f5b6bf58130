"""A real browser for tests: Debian's Chromium without a window, driven through its DevTools protocol.

The protocol is JSON over a websocket, and Jupyter's own server brings a websocket client: so that no
browser framework of 40 MB has to be installed for one test.
https://chromedevtools.github.io/devtools-protocol/
"""

from __future__ import annotations

import base64
import itertools
import json
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import websocket

FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--remote-debugging-port=0",
]
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


class Page:
    """A tab. Whatever it is asked, it answers in the words of the page's own JavaScript."""

    def __init__(self, address: str, width: int, height: int) -> None:
        self._socket = websocket.create_connection(address, suppress_origin=True, timeout=60)
        self._numbers = itertools.count(1)
        self.errors: list[str] = []
        for domain in ("Page", "Runtime", "Log"):
            self._send(f"{domain}.enable")
        self._send("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def close(self) -> None:
        self._socket.close()

    def _send(self, method: str, **parameters: Any) -> dict[str, Any]:
        number = next(self._numbers)
        self._socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            message: dict[str, Any] = json.loads(self._socket.recv())
            if message.get("id") == number:
                assert "error" not in message, f"{method}: {message['error']}"
                result: dict[str, Any] = message["result"]
                return result
            self._note(message)

    def _note(self, event: dict[str, Any]) -> None:
        if event.get("method") == "Runtime.exceptionThrown":
            self.errors.append(event["params"]["exceptionDetails"]["text"])
        elif event.get("method") == "Log.entryAdded" and event["params"]["entry"]["level"] == "error":
            self.errors.append(event["params"]["entry"]["text"])

    def open(self, url: str) -> None:
        self._send("Page.navigate", url=url)
        self.wait_for("document.readyState === 'complete' && location.href !== 'about:blank'")

    def ask(self, expression: str) -> Any:
        """The value of a JavaScript expression; a promise is waited for."""
        answer = self._send("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait_for(self, expression: str, seconds: float = 60.0) -> Any:
        deadline = time.monotonic() + seconds
        while not (answer := self.ask(expression)):
            if time.monotonic() > deadline:
                raise AssertionError(f"not so within {seconds:g} s: {expression}")
            time.sleep(0.2)
        return answer

    def click(self, selector: str, text: str = "") -> None:
        """Click with the mouse on the element of this CSS selector, and of this text if one is given."""
        found = (
            f"[...document.querySelectorAll({json.dumps(selector)})]"
            f".find(e => e.textContent.trim() === {json.dumps(text)} || !{json.dumps(text)})"
        )
        box = self.wait_for(
            f"(() => {{ const e = {found}; if (!e) return null; e.scrollIntoView({{block: 'nearest'}}); "
            "const r = e.getBoundingClientRect(); return r.width && [r.x + r.width / 2, r.y + r.height / 2] })()"
        )
        where = {"x": box[0], "y": box[1], "button": "left", "clickCount": 1}
        self._send("Input.dispatchMouseEvent", type="mouseMoved", x=box[0], y=box[1])
        self._send("Input.dispatchMouseEvent", type="mousePressed", **where)
        self._send("Input.dispatchMouseEvent", type="mouseReleased", **where)

    def colours(self, scheme: str) -> None:
        """As a user who prefers this scheme, light or dark."""
        self._send("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def screenshot(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self._send("Page.captureScreenshot", format="png")["data"]))


class Browser:
    def __init__(self, executable: str, profile: Path) -> None:
        self._process = subprocess.Popen(
            [executable, *FLAGS, f"--user-data-dir={profile}"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._pages: list[Page] = []
        port_file = profile / "DevToolsActivePort"
        deadline = time.monotonic() + 60
        while not (port_file.exists() and port_file.read_text().count("\n")):
            assert self._process.poll() is None, f"{executable} ended with status {self._process.returncode}"
            assert time.monotonic() < deadline, f"{executable} opened no port within 60 s"
            time.sleep(0.05)
        self._devtools = f"http://127.0.0.1:{port_file.read_text().splitlines()[0]}"

    def new_page(self, width: int = 1280, height: int = 1000) -> Page:
        target = httpx.put(f"{self._devtools}/json/new?about:blank", trust_env=False).raise_for_status().json()
        self._pages.append(Page(target["webSocketDebuggerUrl"], width, height))
        return self._pages[-1]

    def close(self) -> None:
        for page in self._pages:
            page.close()
        self._process.terminate()
        try:
            self._process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    executable = next(filter(None, map(shutil.which, NAMES)), None)
    if executable is None:
        pytest.skip("there is no Chromium on this machine (on Debian: apt-get install chromium)")
    started = Browser(executable, tmp_path_factory.mktemp("chromium"))
    yield started
    started.close()


@pytest.fixture
def new_page(browser: Browser) -> Callable[..., Page]:
    return browser.new_page
