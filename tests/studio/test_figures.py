"""The pages behind the links of runs and experiments, without a browser; and what of a run is drawn."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from azureml_local.client.instance import LocalServer
from azureml_local.server.studio import figures, render
from azureml_local.server.studio.figures import SHADES

SCRIPT = """
    from azureml.core import Run
    run = Run.get_context()
    run.log("accuracy", 0.875)
    for step in range(25):
        run.log("loss", step)
    run.log_confusion_matrix("matrix", {"schema_type": "confusion_matrix", "schema_version": "1.0.0",
        "data": {"class_labels": ["cat", "dog"], "matrix": [[71, 0], [9, 63]]}})
    print("<script>alert('job')</script>")
    raise ValueError("<b>bold</b>")
"""


def test_links_of_a_run_and_its_experiment_lead_to_their_pages(
    submit: Callable[..., Any], experiment: Any, server: LocalServer
) -> None:
    run = submit(SCRIPT)
    run.set_tags({"<i>tag</i>": "&amp;"})
    run.wait_for_completion(raise_on_error=False)
    answer = httpx.get(run.get_portal_url())
    assert answer.status_code == 200
    page = answer.text
    for shown_text in ("Failed", "0.875", "25 values, the last is 24", ">71<", "user_logs/std_log.txt", run.id):
        assert shown_text in page
    # What a job wrote is text, whatever it looks like, and no script of its own could run all the same.
    assert "&lt;b&gt;bold&lt;/b&gt;" in page
    assert "<script>" not in page
    assert "<b>bold" not in page
    assert "<i>" not in page
    policy = answer.headers["Content-Security-Policy"]
    assert "script-src 'self';" in policy
    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy

    # Both links of the experiment: the one that a notebook shows has its id, not its name.
    by_id = httpx.get(experiment.get_portal_url())
    assert by_id.status_code == 200
    assert run.id in by_id.text
    assert "0.875" in by_id.text
    studio = server.status()["studio"]
    assert httpx.get(f"{studio}/experiments/{experiment.name}").text == by_id.text
    assert run.id in httpx.get(f"{studio}/").text
    assert httpx.get(f"{studio}/experiments/id/none").status_code == 404


def test_page_missing_is_answered_with_a_page_of_the_workspace(server: LocalServer) -> None:
    studio = server.status()["studio"]
    for path in ("/runs/nobody", "/nothing", "/models/"):
        answer = httpx.get(f"{studio}{path}")
        assert answer.status_code == 404, path
        assert f'href="{httpx.URL(studio).path}/compute"' in answer.text, path
    answer = httpx.get(f"{studio}/experiments/any?page=first")
    assert answer.status_code == 400
    assert f'href="{httpx.URL(studio).path}/compute"' in answer.text
    assert "page: Input should be a valid integer" in answer.text
    # Whoever doesn't know the address learns nothing from it.
    stranger = httpx.get(studio.rpartition("/")[0] + "/another/models")
    assert stranger.status_code == 404
    assert "href" not in stranger.text
    assert "azureml-local open" in stranger.text


def test_names_that_the_sdk_made_up_are_not_shown(experiment: Any, server: LocalServer) -> None:
    run = experiment.start_logging(snapshot_directory=None)
    run.child_run("the child").complete()
    run.complete()
    page = httpx.get(run.get_portal_url()).text
    assert f"<h1>{run.id}</h1>" in page
    assert ">the child</a>" in page


def test_numbers_are_formatted_for_reading() -> None:
    written = {1234567.891: "1 234 568", 0.1 + 0.2: "0.3", 1e-7: "1e-07", 1e15: "1e+15", 37: "37", 250_000: "250 000"}
    assert {value: render.number(value) for value in written} == written
    assert [render.span(seconds) for seconds in (7.84, 59, 120, 121, 7200)] == [
        *("7.8 s", "59 s", "2 min", "2 min 1 s", "2 h"),
    ]


def test_a_picture_is_found_by_the_address_that_its_metric_has(experiment: Any, tmp_path: Path) -> None:
    """The SDK gives its file another name than the metric's (azureml.core._metrics.ImageMetric)."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    run = experiment.start_logging(snapshot_directory=None)
    plt.figure(figsize=(1, 1)).savefig(tmp_path / "small.png")
    run.log_image("learning curve", plot=plt)
    run.complete()
    page = httpx.get(run.get_portal_url()).text
    [(address, name)] = re.findall(r'<img src="([^"]+)" alt="([^"]+)"', page)
    assert name == "learning curve"
    picture = httpx.get(httpx.URL(run.get_portal_url()).join(address))
    assert picture.headers["content-type"] == "image/png"
    assert picture.content.startswith(b"\x89PNG")


def test_series_of_several_runs_are_laid_over_each_other(experiment: Any, server: LocalServer) -> None:
    runs = [experiment.start_logging(display_name=name, snapshot_directory=None) for name in ("short", "long")]
    for run, values in zip(runs, ([1.0, 0.5], [1.0, 0.75, 0.25]), strict=True):
        run.log_list("loss", values)
        run.log("accuracy", 0.9)
        run.complete()
    page = httpx.get(f"{server.status()['studio']}/compare", params={"run": [run.id for run in runs]}).text
    [chart] = [json.loads(html.unescape(text)) for text in re.findall(r'data-chart="([^"]+)"', page)]
    assert chart["names"] == ["short", "long"]
    assert chart["data"] == [[1, 2, 3], [1.0, 0.5, None], [1.0, 0.75, 0.25]]


def matrix(**changes: Any) -> Any:
    body = {"class_labels": ["a", "b"], "matrix": [[5, 2], [4, 1]]} | changes
    return {"schema_type": "confusion_matrix", "schema_version": "1.0.0", "data": body}


def test_a_confusion_matrix_is_shaded_by_its_worst_mistake(tmp_path: Path) -> None:
    path = tmp_path / "matrix"
    path.write_text(json.dumps(matrix()))
    drawn = figures.confusion_matrix(path)
    assert drawn is not None
    assert drawn.labels == ["a", "b"]
    assert [[cell.count for cell in row] for row in drawn.rows] == [[5, 2], [4, 1]]
    assert (drawn.rows[0][1].shade, drawn.rows[1][0].shade) == (SHADES // 2, SHADES)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "not json",
        "[]",
        "null",
        "[" * 60_000,
        json.dumps({"schema_type": "residuals"}),
        json.dumps(matrix(matrix=[[1, 2]])),
        json.dumps(matrix(matrix=[[1, 2], [3]])),
        json.dumps(matrix(matrix=[[1, 2], [3, "</td>"]])),
        json.dumps(matrix(matrix=[[1, 2], [3, float("nan")]])),
        json.dumps(matrix(matrix=[[1, 2], [3, float("inf")]])),
        json.dumps(matrix(matrix=[], class_labels=[])),
        json.dumps(matrix(matrix=[[1] * 31] * 31, class_labels=["x"] * 31)),
        json.dumps(matrix()) + " " * figures.MOST_BYTES,
    ],
    ids=lambda text: text[:40] or "empty",
)
def test_confusion_matrix_invalid_is_not_drawn(tmp_path: Path, text: str) -> None:
    path = tmp_path / "matrix"
    path.write_text(text)
    assert figures.confusion_matrix(path) is None
