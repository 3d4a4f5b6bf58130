"""Studio while something runs: a page that nobody reloads shows what the SDK and a job do, and all can use it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from azureml_local.client.instance import LocalServer

pytestmark = pytest.mark.slow

PATIENCE = 60_000  # ms for what the server tells within a second: other tests run beside this one
SCRIPT = """
    import pathlib, sys, time
    from azureml.core import Run
    run = Run.get_context()

    def wait(sign):
        while not pathlib.Path(sys.argv[2], sign).exists():
            time.sleep(0.05)

    print("the first line <img src=x onerror=alert(1)>", flush=True)
    for step in range(5):
        run.log("loss", 1 / (step + 1))
    run.flush()
    wait("log more")
    print("a line that comes later", flush=True)
    run.log("<b>accuracy</b>", 0.875)
    run.log_confusion_matrix("matrix", {"schema_type": "confusion_matrix", "schema_version": "1.0.0",
        "data": {"class_labels": ["cat", "dog"], "matrix": [[71, 0], [9, 63]]}})
    pathlib.Path("outputs").mkdir(exist_ok=True)
    pathlib.Path("outputs/page.html").write_text("<script>alert(1)</script>")
    wait("end")
"""


def test_a_page_shows_a_job_as_it_goes_on(
    submit: Callable[..., Any],
    experiment: Any,
    server: LocalServer,
    open_page: Callable[..., Page],
    wait_for: Callable[..., Any],
    tmp_path: Path,
) -> None:
    studio = server.status()["studio"]
    overview = open_page(f"{studio}/")
    overview.evaluate("window.never_reloaded = true")
    signs = tmp_path / "signs"
    signs.mkdir()
    run = submit(SCRIPT, ["--signs", str(signs)])
    expect(overview.get_by_role("link", name=run.id)).to_be_visible(timeout=PATIENCE)

    page = open_page(run.get_portal_url())
    page.evaluate("window.never_reloaded = true")
    expect(page.locator("#main .status").first).to_have_text("Running", timeout=PATIENCE)
    log = page.locator(".log pre")
    expect(log).to_contain_text("the first line <img src=x onerror=alert(1)>", timeout=PATIENCE)
    expect(page.locator("figcaption", has_text="loss")).to_contain_text("5 values", timeout=PATIENCE)
    canvas = page.locator("#line-1 canvas")
    expect(canvas).to_be_visible()
    canvas.evaluate("canvas => { canvas.same = true }")
    page.locator(".log-follow input").focus()

    (signs / "log more").touch()
    expect(log).to_contain_text("a line that comes later", timeout=PATIENCE)
    expect(page.locator(".figures")).to_contain_text("0.875", timeout=PATIENCE)
    expect(page.locator(".figures dt")).to_have_text("<b>accuracy</b>")
    expect(page.locator(".matrix tbody td")).to_have_text(["71", "·", "9", "63"], timeout=PATIENCE)
    # What was there is still the same: figures aren't drawn anew, and the keyboard is where it was.
    assert canvas.evaluate("canvas => canvas.same")
    assert page.evaluate("document.activeElement.matches('.log-follow input')")

    (signs / "end").touch()
    expect(page.locator("#main .status").first).to_have_text("Completed", timeout=PATIENCE)
    expect(page.locator(".steps")).to_contain_text("Finalizing")
    run.wait_for_completion()
    run.register_model("live_model", model_path="outputs/page.html", tags={"<i>": "</i>"})
    expect(page.get_by_role("link", name="live_model")).to_be_visible(timeout=PATIENCE)
    expect(overview.get_by_role("link", name="live_model")).to_be_visible(timeout=PATIENCE)
    for each in (page, overview):
        assert each.evaluate("window.never_reloaded")

    # The rest of it: search in the log, the file as text, the code.
    page.get_by_placeholder("Search the log").fill("COMES later")
    found = page.locator(".log-found button")
    expect(found).to_have_text(["a line that comes later"])
    found.click()
    wait_for(lambda: "a line that comes later" in page.evaluate("getSelection().toString()"))
    page.get_by_role("link", name="Files").click()
    page.get_by_role("link", name="outputs/page.html", exact=True).click()
    expect(page.locator("pre.code")).to_have_text("<script>alert(1)</script>")
    page.get_by_role("link", name="Code").click()
    expect(page.locator("pre.code")).to_contain_text("wait(sign)")

    # As a table, with the argument as a column that can be hidden; what is hidden stands in the address.
    page.goto(experiment.get_portal_url())
    expect(page.get_by_role("columnheader", name="loss")).to_be_visible()
    page.get_by_text("Columns").click()
    page.locator(".chip", has_text="loss").click()
    expect(page.get_by_role("columnheader", name="loss")).to_have_count(0)
    assert "hide=m.loss" in page.url


def test_a_sweep_is_seen_with_its_runs_and_its_best_one(
    experiment: Any, compute: Any, here: Any, open_page: Callable[..., Page], tmp_path: Path
) -> None:
    from azureml.core import ScriptRunConfig
    from azureml.train.hyperdrive import GridParameterSampling, HyperDriveConfig, PrimaryMetricGoal, choice

    (tmp_path / "train.py").write_text(
        "import sys\nfrom azureml.core import Run\nRun.get_context().log('score', float(sys.argv[2]))\n"
    )
    sweep = experiment.submit(
        HyperDriveConfig(
            run_config=ScriptRunConfig(str(tmp_path), script="train.py", compute_target=compute, environment=here),
            hyperparameter_sampling=GridParameterSampling({"--rate": choice(0.5, 4.0)}),
            primary_metric_name="score",
            primary_metric_goal=PrimaryMetricGoal.MAXIMIZE,
            max_total_runs=2,
        )
    )
    page = open_page(sweep.get_portal_url())
    page.evaluate("window.never_reloaded = true")
    expect(page.locator(".facts")).to_contain_text("Best run", timeout=PATIENCE)
    expect(page.locator(".facts")).to_contain_text(f"{sweep.id}_1 score 4")
    expect(page.locator("polyline.strand")).to_have_count(2)
    expect(page.locator(".log pre")).to_contain_text("The sweep is Completed: 2 runs")
    assert page.evaluate("window.never_reloaded")
    page.locator("polyline.strand.s10").click(force=True)
    expect(page.get_by_role("heading", level=1)).to_have_text(f"{sweep.id}_1")


def test_signed_in_user_cancels_a_run(
    submit: Callable[..., Any], server: LocalServer, open_page: Callable[..., Page], wait_for: Callable[..., Any]
) -> None:
    run = submit("import time; print('up', flush=True); time.sleep(600)")
    expect(open_page(run.get_portal_url()).get_by_role("button", name="Cancel")).to_have_count(0)
    page = open_page(server.sign_in_link(run.id))
    assert "sign-in" not in page.url
    expect(page.locator("#main .status").first).to_have_text("Running", timeout=PATIENCE)
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator("#main .status").first).to_have_text("Canceled", timeout=PATIENCE)
    wait_for(lambda: run.get_status() == "Canceled")


@pytest.mark.case("secrets-in-arguments")
def test_browser_that_open_starts_is_signed_in_and_its_arguments_tell_nothing(
    server: LocalServer, open_page: Callable[..., Page], tmp_path: Path, wait_for: Callable[..., Any]
) -> None:
    browser, told = tmp_path / "browser", tmp_path / "told"
    browser.write_text(f"#!/bin/sh\nprintf '%s' \"$*\" > '{told}.part' && mv '{told}.part' '{told}'\n")
    browser.chmod(0o755)
    command = [sys.executable, "-m", "azureml_local", "open", "--state", str(server.folder.root)]
    subprocess.run(command, env={**os.environ, "BROWSER": str(browser)}, check=True, capture_output=True, timeout=60)
    wait_for(told.exists)
    address = told.read_text()
    assert address == server.folder.sign_in_page.as_uri()
    assert server.folder.sign_in_page.stat().st_mode & 0o777 == 0o600
    page = open_page(address)
    expect(page.get_by_role("heading", level=1)).to_contain_text("Workspace", timeout=PATIENCE)
    assert page.url == server.status()["studio"] + "/"
    # What says on every other page that it only shows.
    expect(page.locator("footer")).not_to_contain_text("azureml-local open")


@pytest.fixture(scope="module")
def shown(workspace: Any, server: LocalServer, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """One page of each kind, with something on it."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    from azureml.core import Experiment

    experiment = Experiment(workspace, "accessible")
    parent = experiment.start_logging(snapshot_directory=None)
    children = [parent.child_run(f"trial {number}") for number in range(3)]
    for number, child in enumerate(children):
        child.tag("hyperparameters", f'{{"--rate": {10.0**-number}, "--solver": "s{number % 2}"}}')
        child.tag("colour", "blue")
        for value in (0.5, 0.7, 0.8 + number / 100):
            child.log("accuracy", value)
        child.log_table("table", {"a": [1, 2], "b": ["x", "y"]})
        child.complete()
    parent.log("best", 0.82)
    parent.log_row("losses", step=0, train=0.5)
    plt.figure(figsize=(10, 2))
    parent.log_image("wide", plot=plt)
    file = tmp_path_factory.mktemp("files") / "model.txt"
    file.write_text("a model")
    parent.upload_file("outputs/model.txt", str(file))
    parent.register_model("accessible", model_path="outputs/model.txt", tags={"a": "b"})
    parent.complete()
    first, second, _ = (child.id for child in children)
    runs = [f"/runs/{parent.id}", *(f"/runs/{first}{part}" for part in ("", "/outputs", "/code", "/environment"))]
    others = [
        "/",
        "/models",
        "/models/accessible",
        "/data",
        "/compute",
        "/experiments/accessible",
        f"/compare?run={first}&run={second}",
    ]
    return [server.status()["studio"] + path for path in (*others, *runs)]


@pytest.mark.parametrize(("scheme", "width"), [("light", 390), ("dark", 1280)])
def test_pages_pass_axe_and_have_no_overflow(
    shown: list[str], open_page: Callable[..., Page], scheme: str, width: int
) -> None:
    page = open_page("about:blank", width=width, scheme=scheme)
    for url in shown:
        page.goto(url)
        page.evaluate("document.querySelectorAll('img').forEach(each => { each.loading = 'eager' })")
        page.wait_for_function("[...document.querySelectorAll('.chart')].every(each => each.querySelector('canvas'))")
        found = Axe().run(page)
        violations = [(each["id"], each["impact"], each["nodes"][0]["html"]) for each in found.response["violations"]]
        assert violations == [], url
        wider = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert page.evaluate(wider) <= 0, url
