"""Metrics, through the real SDK: what was logged is read back, value for value."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

CONFUSION = {
    "schema_type": "confusion_matrix",
    "schema_version": "1.0.0",
    "data": {"class_labels": ["0", "1"], "matrix": [[5, 1], [2, 7]]},
}
ACCURACY = {
    "schema_type": "accuracy_table",
    "schema_version": "1.0.1",
    "data": {
        "probability_tables": [[[1, 2, 3, 4]]],
        "percentile_tables": [[[1, 2, 3, 4]]],
        "class_labels": ["0"],
        "probability_thresholds": [0.5],
        "percentile_thresholds": [0.5],
    },
}
PREDICTIONS = {
    "schema_type": "predictions",
    "schema_version": "1.0.0",
    "data": {"bin_averages": [0.25], "bin_errors": [0.1], "bin_counts": [3], "bin_edges": [0, 0.5]},
}
RESIDUALS = {
    "schema_type": "residuals",
    "schema_version": "1.0.0",
    "data": {"bin_edges": [0, 1], "bin_counts": [4], "mean": 0.5, "edge": 1.0},
}


@pytest.fixture
def run(experiment: Any) -> Iterator[Any]:
    run = experiment.start_logging(snapshot_directory=None)
    yield run
    run.complete()


@pytest.mark.sdk(
    "Run.log", "Run.log_list", "Run.log_row", "Run.log_table", "Run.get_metrics", "Run.flush",
)  # fmt: skip
def test_metric_of_each_type_of_value_round_trips(run: Any) -> None:
    import numpy as np

    logged = {
        "int": 3,
        "float": 0.1 + 0.2,
        "text": "π ≈ 3, 日本, 🙂",
        "true": True,
        "numpy": float(np.float32(0.1)),
        "Größe/日本 🙂 'q\" %20 &": 1,
        "x" * 255: 2,
    }
    for name, value in logged.items():
        run.log(name, value, step=1)
    run.log("numpy of its own", np.float64(2.5))
    for value in (1, 2.5, 3):
        run.log("widened", value)
    run.log_list("list", [1, 2.5, -3])
    run.log_list("words", ["a", "b"])
    run.log_row("row", x=1, note="a")
    run.log_row("rows", x=1)
    run.log_row("rows", x=2, y=0.5, note="b")
    run.log_table("table", {"a": [1, 2], "b": [3.5, 4]})
    run.flush()
    found = run.get_metrics()
    assert {name: found[name] for name in logged} == logged
    assert found["numpy of its own"] == 2.5
    assert found["widened"] == [1, 2.5, 3]
    assert found["list"] == [1, 2.5, -3]
    assert found["words"] == ["a", "b"]
    assert found["row"] == {"x": 1, "note": "a"}
    assert found["table"] == {"a": [1, 2], "b": [3.5, 4]}
    assert (found["rows"]["x"], found["rows"]["note"]) == ([1, 2], [None, "b"])
    assert math.isnan(found["rows"]["y"][0])
    assert found["rows"]["y"][1] == 0.5
    assert run.get_metrics(name="int") == {"int": 3}
    assert run.get_metrics(name="none such") == {}


@pytest.mark.sdk("Run.log", "Run.log_list", "Run.get_metrics")
def test_metric_nan_and_infinity_round_trip(run: Any) -> None:
    values = [1.0, math.nan, math.inf, -math.inf]
    run.log_list("list", values)
    for value in values:
        run.log("one by one", value)
    run.log("only", math.nan)
    run.log_table("table", {"a": [math.nan, 1.0], "b": [1, 2]})
    run.flush()
    found = run.get_metrics()
    for name in ("list", "one by one"):
        assert [str(value) for value in found[name]] == ["1.0", "nan", "inf", "-inf"]
    assert math.isnan(found["only"])
    assert math.isnan(found["table"]["a"][0])


@pytest.mark.sdk("Run.log_list", "Run.get_metrics")
def test_metric_of_many_values_is_paged_in_order(run: Any) -> None:
    """Two pages; the SDK itself takes most of the time, some 0.1 ms a value."""
    values = [index / 7 for index in range(12_000)]
    run.log_list("many", values)
    run.flush()
    assert run.get_metrics(name="many")["many"] == values


@pytest.mark.sdk(
    "Run.log_confusion_matrix", "Run.log_accuracy_table", "Run.log_predictions", "Run.log_residuals", "Run.log_image",
    "Run.get_metrics", "Run.get_file_names",
)  # fmt: skip
def test_metric_images_and_json_documents_are_artifacts_of_the_run(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(1, 1))
    axes.plot([1, 2, 3])
    figure.savefig(tmp_path / "picture.png")
    monkeypatch.chdir(tmp_path)
    run.log_image("picture", path="picture.png")
    run.log_image("plot", plot=plt)
    run.log_confusion_matrix("confusion", CONFUSION)
    run.log_accuracy_table("accuracy", json.dumps(ACCURACY))
    run.log_predictions("predictions", PREDICTIONS)
    run.log_residuals("residuals", RESIDUALS)
    plt.close(figure)
    run.flush()
    found = run.get_metrics(populate=True)
    for name, logged in (
        ("confusion", CONFUSION),
        ("accuracy", ACCURACY),
        ("predictions", PREDICTIONS),
        ("residuals", RESIDUALS),
    ):
        assert found[name].convert_to_object() == logged
    assert found["picture"].data == (tmp_path / "picture.png").read_bytes()
    assert found["plot"].data.startswith(b"\x89PNG")
    assert run.get_metrics(name="confusion")["confusion"].endswith("/confusion")
    files = run.get_file_names()
    assert {"picture.png", "confusion", "accuracy", "predictions", "residuals"} <= set(files)
    assert any(name.startswith("plot_") for name in files)


@pytest.mark.sdk("Run.get_metrics")
def test_metrics_of_child_runs_are_read_recursively(experiment: Any) -> None:
    parent = experiment.start_logging(snapshot_directory=None)
    child = parent.child_run("child")
    grandchild = child.child_run("grandchild")
    for depth, run in enumerate((parent, child, grandchild)):
        run.log("depth", depth)
        run.log(f"only of {depth}", 1)
        run.flush()
    wanted = {run.id: {"depth": depth, f"only of {depth}": 1} for depth, run in enumerate((parent, child, grandchild))}
    assert parent.get_metrics(recursive=True) == wanted
    del wanted[parent.id]
    assert child.get_metrics(recursive=True) == wanted
    assert child.get_metrics(recursive=True, name="depth") == {child.id: {"depth": 1}, grandchild.id: {"depth": 2}}
    assert parent.get_metrics(recursive=True, run_type="none such") == {parent.id: {"depth": 0, "only of 0": 1}}
    for run in (grandchild, child, parent):
        run.complete()


def test_metric_refused_leaves_the_others_of_its_batch(run: Any) -> None:
    """The SDK sends up to 50 metrics in one call, and logs what the service says of each
    (azureml._restclient.metrics_client, _post_run_metrics_log_failed_validations).
    """
    from azureml._restclient.models.batch_metric_v2_dto import BatchMetricV2Dto
    from azureml.core._metrics import ListMetric, RowMetric, ScalarMetric

    run.log("loss", 1)
    run.flush()
    wrong = ScalarMetric("two columns", 1).create_v2_dto()
    wrong.value[0].data["never declared"] = 1
    metrics = [
        ScalarMetric("kept", 1).create_v2_dto(),
        RowMetric("loss", {"x": 1}).create_v2_dto(),
        ScalarMetric("x" * 256, 1).create_v2_dto(),
        ScalarMetric("", 1).create_v2_dto(),
        wrong,
        ListMetric("kept too", [1, 2]).create_v2_dto(),
    ]
    client = run._client.metrics
    answer = client._execute_with_workspace_run_arguments(
        client._client.metric.post_run_metrics, BatchMetricV2Dto(values=metrics, report_errors=True)
    )
    reasons = {error.metric.name: error.error_response.error.message for error in answer.errors}
    assert "azureml.v1.scalar in this run" in reasons["loss"]
    assert "255 characters" in reasons["x" * 255]
    assert "255 characters" in reasons[""]
    assert "'never declared'" in reasons["two columns"]
    assert len(answer.errors) == 4
    assert run.get_metrics() == {"loss": 1, "kept": 1, "kept too": [1, 2]}


def test_metric_batch_sent_twice_is_stored_once(run: Any) -> None:
    from azureml.core._metrics import ListMetric, ScalarMetric

    metrics = [ScalarMetric("one", 1).create_v2_dto(), ListMetric("list", [1, 1]).create_v2_dto()]
    for _ in range(2):
        run._client.metrics._log_batch_v2(metrics)
    assert run.get_metrics() == {"one": 1, "list": [1, 1]}
