"""Runs as a table: what their columns are, how they are sorted, and that numbers are numbers."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import pytest
from submitted import as_job

from azureml_local.storage.folder import StateFolder
from azureml_local.workspace import Workspace
from azureml_local.workspace.comparison import METRIC, PARAMETER, TAG, RunQuery, Sorting, as_list, parameters
from azureml_local.workspace.metrics import scalar
from azureml_local.workspace.new_runs import NewRun, RunChange

RUNS = {  # the rate as an argument, the accuracy, a tag
    "a": (0.5, 0.9, "x"),
    "b": (10, 0.85, "y%"),
    "c": (9.0, None, None),
    "d": (1e-3, math.nan, "x"),
}


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    folder = StateFolder(tmp_path / "state")
    folder.create()
    made = Workspace(folder)
    experiment = made.experiments.get_or_create("compared")
    for run_id, (rate, accuracy, tag) in RUNS.items():
        given = [f"--rate={rate}"] if run_id == "c" else ["--rate", rate]
        configuration = {
            "target": "c",
            "script": "s.py",
            "arguments": [*given, "--data", "DatasetConsumptionConfig:mnist", "--fast"],
        }
        tags = {"kind": tag, "_aml_system_x": "1"} if tag else {}
        made.runs.create(NewRun(run_id, experiment.id, tags=tags, **as_job(configuration)))
        for each in (0.1, accuracy) if accuracy is not None else ():
            made.metrics.log(run_id, "accuracy", each)
    yield made
    made.close()


def ids(workspace: Workspace, sorting: Sorting | None = None, **wanted: str) -> str:
    experiment = workspace.experiments.get("compared")
    found = workspace.comparison.rows(RunQuery(experiment.id, **wanted), sorting)
    assert workspace.comparison.count(RunQuery(experiment.id, **wanted)) == len(found)
    return "".join(row.run.id for row in found)


def test_comparison_has_a_row_for_each_run_and_named_columns(workspace: Workspace) -> None:
    experiment = workspace.experiments.get("compared")
    rows = {row.run.id: row for row in workspace.comparison.rows(RunQuery(experiment.id))}
    assert rows["a"].metrics == {"accuracy": 0.9}  # the last value
    assert rows["b"].parameters == {"rate": 10, "fast": True}  # data isn't compared
    assert rows["b"].tags == {"kind": "y%"}
    columns = workspace.comparison.columns(experiment.id)
    assert (columns.metrics, columns.parameters, columns.tags) == (["accuracy"], ["rate", "fast"], ["kind"])
    workspace.metrics.log("d", "rare", 1)
    columns = workspace.comparison.columns(experiment.id)
    assert (columns.metrics, columns.main) == (["accuracy", "rare"], "accuracy")
    drawn = {row.run.id: row for row in workspace.comparison.points(RunQuery(experiment.id), 3, ["accuracy", "loss"])}
    assert list(drawn) == ["d", "c", "b"]
    assert (drawn["b"].metrics, drawn["b"].parameters["rate"]) == ({"accuracy": 0.85}, 10)
    assert workspace.comparison.points(RunQuery(experiment.id), 3, [])[2].metrics == {}


def test_rows_are_sorted_by_any_column_and_empty_cells_come_last(workspace: Workspace) -> None:
    assert ids(workspace) == "dcba"
    assert ids(workspace, Sorting(descending=False)) == "abcd"
    assert ids(workspace, Sorting("rate", PARAMETER)) == "bcad"  # 10 is more than 9
    assert ids(workspace, Sorting("rate", PARAMETER, descending=False)) == "dacb"
    assert ids(workspace, Sorting("accuracy", METRIC))[:2] == "ab"
    assert ids(workspace, Sorting("accuracy", METRIC, descending=False))[-1] == "c"
    assert ids(workspace, Sorting("kind", TAG)) == "bdac"
    for name in ("nothing", "'", '"', "$.x", "%"):
        for kind in (METRIC, PARAMETER, TAG, ""):
            assert ids(workspace, Sorting(name, kind)) == "dcba"


def test_comparison_search_takes_words_literally(workspace: Workspace) -> None:
    assert ids(workspace, words="y%") == "b"
    assert ids(workspace, words="%") == "b"
    assert ids(workspace, words="_") == "dba"  # in the tags' own names
    assert ids(workspace, words='"X" kind') == "da"
    assert ids(workspace, status="Completed") == ""
    workspace.runs.advance("a", "Completed")
    assert ids(workspace, status="Completed") == "a"
    assert workspace.comparison.statuses() == {"NotStarted": 3, "Completed": 1}


def test_a_long_series_is_thinned_out_and_keeps_its_ends(workspace: Workspace) -> None:
    workspace.metrics.append("a", [scalar("loss", float(n)) for n in range(1000)])
    points, total = workspace.comparison.series("a", "loss", 100)
    assert total == 1000
    assert 100 <= len(points) <= 102
    assert (points[0], points[-1]) == ((1, {"loss": 0.0}), (1000, {"loss": 999.0}))
    assert workspace.comparison.series("a", "none", 100) == ([], 0)


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (["--a", 1, "--b=2.5", "-c", "x", "--flag"], {"a": 1, "b": 2.5, "c": "x", "flag": True}),
        (["positional", "--a", "-1"], {"a": -1}),
        (["--a", "--b", None], {"a": True, "b": None}),
        (["--a", [1, 2]], {"a": "[1, 2]"}),
        ("--a 1 --b x", {"a": 1, "b": "x"}),
        (None, {}),
        ([{}, 1, "-"], {}),
    ],
    ids=str,
)
def test_parameters_are_parsed_from_arguments(arguments: object, found: dict[str, object]) -> None:
    assert parameters(as_list(arguments)) == found


def test_change_mark_changes_with_what_the_run_shows(workspace: Workspace) -> None:
    run, all_ = workspace.changes.mark_of_run("a"), workspace.changes.mark()
    workspace.runs.advance("b", "Queued")
    assert workspace.changes.mark() != all_
    assert workspace.changes.mark_of_run("a") == run
    assert workspace.changes.mark() == workspace.changes.mark()
    seen = {run}
    workspace.metrics.log("a", "m", 1)
    seen.add(workspace.changes.mark_of_run("a"))
    workspace.runs.modify("a", RunChange(display_name="another"))
    seen.add(workspace.changes.mark_of_run("a"))
    workspace.blobs.put_bytes("azureml", "ExperimentRun/dcid.a/outputs/x", b"1")
    seen.add(workspace.changes.mark_of_run("a"))
    workspace.runs.create(NewRun("child", workspace.experiments.get("compared").id, parent_id="a"))
    seen.add(workspace.changes.mark_of_run("a"))
    assert len(seen) == 5
