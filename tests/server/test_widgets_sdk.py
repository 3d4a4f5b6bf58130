"""RunDetails, without a browser: the data that its own code gathers and would draw."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

PARTS = {"run_id", "run_properties", "child_runs", "children_metrics", "run_metrics", "run_logs", "graph", "status"}


@pytest.fixture
def gathered(wait_for: Callable[..., Any]) -> Callable[..., Any]:
    """A widget's data, once its threads have brought the metrics and the log."""

    def gather(run: Any, **settings: Any) -> dict[str, Any]:
        from azureml.widgets import RunDetails

        widget = RunDetails(run)
        widget.settings = settings
        # By itself it shows the log with the highest number in its name, which is one of the SDK's own.
        widget.selected_run_log = "user_logs/std_log.txt"
        data = widget.get_widget_data(settings)
        pool = widget._pool
        pool.close()
        pool.join()
        return {
            **data,
            "run_metrics": widget.widget_instance.run_metrics,
            "run_logs": widget.widget_instance.run_logs,
            "compute_target_status": widget.widget_instance.compute_target_status,
        }

    return gather


@pytest.mark.sdk("RunDetails.get_widget_data")
def test_a_runs_widget_shows_its_metrics_log_and_compute(submit: Callable[..., Any], gathered: Any) -> None:
    run = submit("""
        from azureml.core import Run
        run = Run.get_context()
        print("a line of the log")
        for loss in (3, 2.5, float("nan")):
            run.log("loss", loss)
        run.log_list("list", [1, 2])
        run.log_table("table", {"a": [1, 2], "b": [3, 4]})
        run.log_confusion_matrix("confusion", {
            "schema_type": "confusion_matrix", "schema_version": "1.0.0",
            "data": {"class_labels": ["0", "1"], "matrix": [[5, 1], [2, 7]]},
        })
    """)
    run.wait_for_completion()
    data = gathered(run)
    assert data.keys() >= PARTS
    properties = data["run_properties"]
    assert (data["status"], properties["run_id"]) == ("Completed", run.id)
    assert properties["run_duration"].count(":") == 2
    assert "user_logs/std_log.txt" in properties["log_files"]
    assert "a line of the log" in data["run_logs"]
    assert data["run_logs"].rstrip().endswith("Run is completed.")
    assert data["compute_target_status"]["scale_settings"]["maxNodeCount"] == 2
    metrics = {each["name"]: each["series"][0]["data"] for each in data["run_metrics"]}
    assert [str(float(value)) for value in metrics["loss"]] == ["3.0", "2.5", "nan"]
    assert metrics["list"] == [1, 2]
    assert metrics["table"] == [{"a": [1, 2], "b": [3, 4]}]
    assert metrics["confusion"][0]["data"]["matrix"] == [[5, 1], [2, 7]]


@pytest.mark.sdk("RunDetails.get_widget_data")
def test_a_parents_widget_shows_its_children_with_their_metrics(experiment: Any, gathered: Any) -> None:
    parent = experiment.start_logging(snapshot_directory=None)
    children = [parent.child_run(f"child {index}") for index in range(3)]
    for index, child in enumerate(children):
        for step in range(2):
            child.log("loss", index + step / 2)
        child.log_list(f"list of {index}", [index])
        child.log_table("table", {"a": [index]})
        child.complete()
    parent.log("best", 0.5)
    parent.fail("on purpose")
    data = gathered(parent, Metric={"name": "loss", "goal": "minimize"})
    assert data["status"] == "Failed"
    assert "Error occurred: on purpose" in data["run_logs"]
    shown = {child["run_id"]: child for child in data["child_runs"]}
    assert shown.keys() == {child.id for child in children}
    assert {child["status"] for child in shown.values()} == {"Completed"}
    numbers = {str(shown[child.id]["run_number"]): index for index, child in enumerate(children)}
    series = data["children_metrics"]["series"]
    assert {numbers[str(each["run_id"])]: each["data"] for each in series["loss"]} == {
        index: [index, index + 0.5] for index in range(3)
    }
    assert {f"list of {index}" for index in range(3)} <= series.keys()
    assert all(not math.isnan(each["data"][0]) for each in series["loss"])
    assert {each["name"]: each["series"][0]["data"] for each in data["run_metrics"]} == {"best": [0.5]}
