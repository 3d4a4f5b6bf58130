"""Studio in a hostile browser: who may act, forged forms, links used twice, streams without end."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from azureml_local.client.instance import LocalServer, ServerError
from azureml_local.server.access import signin
from azureml_local.server.access.signin import COOKIE, Sessions, SignInLinks
from azureml_local.server.http import streams
from azureml_local.storage import clock

SLEEP = "import time; print('up', flush=True); time.sleep(600)"
TOKEN = re.compile(r'name="token" value="([0-9a-f]{64})"')


@pytest.fixture
def origin(server: LocalServer) -> str:
    return server.instance.endpoints.plain


def signed_in(server: LocalServer, run_id: str | None = None) -> tuple[httpx.Client, str]:
    """A browser that came by a link of the command line, and the page where it ended."""
    client = httpx.Client(trust_env=False)
    answer = client.get(server.sign_in_link(run_id))
    assert answer.status_code == 303
    cookie = answer.headers["set-cookie"]
    studio = httpx.URL(server.status()["studio"])
    # For this address only, its key and all: other servers of this machine, on other ports, don't know it.
    assert f"Path={studio.path};" in cookie
    assert "HttpOnly" in cookie
    assert "samesite=strict" in cookie.lower()
    return client, answer.headers["location"]


@pytest.mark.case("cross-site-methods", "tokens", "stored-scripts")
def test_only_a_signed_in_browsers_own_form_cancels_a_run(
    server: LocalServer, origin: str, submit: Callable[..., Any], wait_for: Callable[..., Any]
) -> None:
    run = submit(SLEEP)
    wait_for(lambda: run.get_status() == "Running")
    page = f"{server.status()['studio']}/runs/{quote(run.id)}"
    assert TOKEN.search(httpx.get(page).text) is None  # who has the link only, as in a notebook, may look
    client, where = signed_in(server, run.id)
    assert origin + where == page
    found = TOKEN.search(client.get(page).text)
    assert found is not None
    form, ours = {"token": found[1]}, {"Origin": origin}
    cancel = f"{page}/cancel"
    evil = {"Origin": "http://evil.example"}
    neighbour = {"Origin": "http://localhost:1"}  # same site, another port: SameSite doesn't keep that out
    for who, data, headers in (
        (httpx, form, ours),
        (client, {}, ours),
        (client, {"token": "0" * 64}, ours),
        (client, {"token": found[1][:-1]}, ours),
        (client, form, {}),
        (client, form, evil),
        (client, form, neighbour),
        (client, form, {**ours, "Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "navigate"}),
        (client, form, {**ours, "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}),
    ):
        assert who.post(cancel, data=data, headers=headers).status_code == 403
    other, _ = signed_in(server)
    assert other.post(cancel, data=form, headers=ours).status_code == 403  # another browser's token
    assert client.get(cancel).status_code == 501
    assert run.get_status() == "Running"

    answer = client.post(cancel, data=form, headers=ours)
    assert (answer.status_code, answer.headers["location"]) == (303, where)
    wait_for(lambda: run.get_status() == "Canceled")


@pytest.mark.case("tokens", "open-redirect")
def test_a_link_signs_in_once_and_leads_nowhere_else(server: LocalServer) -> None:
    link = server.sign_in_link()
    first = httpx.get(link)
    assert first.headers["location"] == httpx.URL(server.status()["studio"]).path + "/"
    again = httpx.get(link)
    assert again.status_code == 403
    assert "set-cookie" not in again.headers
    assert httpx.get(link[:-1]).status_code == 403
    assert httpx.get(f"{link}?next=//evil.example").status_code == 403
    with pytest.raises(ServerError, match="no run"):
        server.sign_in_link("//evil.example")


@pytest.mark.case("tokens")
def test_links_and_cookies_end_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    links, sessions = SignInLinks(), Sessions("a key")
    token, cookie = links.make("/runs/x"), sessions.make()
    assert sessions.valid(cookie)
    assert not Sessions("another key").valid(cookie)
    head, _, signature = cookie.rpartition(".")
    for forged in (None, "", ".", "x", cookie[:-1], f"9{head}.{signature}", f"{head}é.{signature}"):
        assert not sessions.valid(forged), forged
    later, monotonic = time.time() + signin.SESSION_SECONDS + 1, time.monotonic() + signin.LINK_SECONDS + 1
    monkeypatch.setattr(signin.time, "time", lambda: later)
    monkeypatch.setattr(signin.time, "monotonic", lambda: monotonic)
    # A step of the wall clock alone ends nothing early.
    assert sessions.valid(cookie)
    monkeypatch.setattr(clock, "elapsed", lambda: 1e9)
    assert not sessions.valid(cookie)
    assert links.take(token) is None


@pytest.mark.case("tokens")
def test_links_that_nobody_uses_are_not_kept_for_ever() -> None:
    links = SignInLinks()
    first = links.make()
    for _ in range(signin.MAX_LINKS):
        last = links.make("/here")
    assert links.take(first) is None
    assert links.take(last) == "/here"


@pytest.mark.case("slow-and-huge")
def test_streams_are_limited_and_let_go(server: LocalServer, wait_for: Callable[..., Any]) -> None:
    import contextlib

    studio = server.status()["studio"]
    with httpx.Client(limits=httpx.Limits(max_connections=None), trust_env=False) as client:
        with contextlib.ExitStack() as opened:
            kept = []  # an iterator that is dropped ends its stream
            for _ in range(streams.MAX_STREAMS):
                answer = opened.enter_context(client.stream("GET", f"{studio}/events"))
                assert answer.status_code == 200
                assert answer.headers["content-type"].startswith("text/event-stream")
                kept.append(answer.iter_lines())
                next(kept[-1])
            assert client.get(f"{studio}/events").status_code == 503
            assert client.get(f"{studio}/").status_code == 200  # pages are served meanwhile
        wait_for(lambda: httpx_status(f"{studio}/events") == 200)
    assert httpx.get(f"{server.instance.endpoints.plain}/studio/wrong/events").status_code == 404
    assert httpx.get(f"{studio}/events?run=nobody").status_code == 404


def httpx_status(url: str) -> int:
    with httpx.stream("GET", url) as answer:
        return answer.status_code


@pytest.mark.case("stored-scripts")
def test_a_picture_is_one_by_its_bytes(server: LocalServer, experiment: Any, tmp_path: Any) -> None:
    run = experiment.start_logging(snapshot_directory=None)
    svg = b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>'
    (tmp_path / "x.png").write_bytes(svg)
    (tmp_path / "y.html").write_bytes(b"\x89PNG\r\n\x1a\n<script>alert(1)</script>")
    for name in ("x.png", "y.html"):
        run.upload_file(f"outputs/{name}", str(tmp_path / name))
    run.complete()
    page = f"{server.status()['studio']}/runs/{run.id}"
    assert httpx.get(f"{page}/picture/outputs/x.png").status_code == 404
    shown = httpx.get(f"{page}/picture/outputs/y.html")
    assert shown.headers["content-type"] == "image/png"
    assert "sandbox" in shown.headers["content-security-policy"]
    text = httpx.get(f"{page}/view/outputs/x.png")
    assert "onload=&#34;alert" in text.text
    assert "<svg" not in text.text


def test_the_cookie_is_read_from_its_own_name(server: LocalServer, origin: str) -> None:
    page = f"{server.status()['studio']}/compute/none/delete"
    headers = {"Origin": origin, "Cookie": f"other=x; {COOKIE}=1.2.3"}
    assert httpx.post(page, data={"token": "x"}, headers=headers).status_code == 403
