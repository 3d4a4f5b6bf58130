"""Runs: one way through the states, and names that may become folders."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from azureml_local.storage.database import Database, Vanished
from azureml_local.storage.folder import StateFolder
from azureml_local.storage.tables import Metric, Run
from azureml_local.workspace import Workspace
from azureml_local.workspace.errors import Conflict, Invalid, NotFound
from azureml_local.workspace.experiments import Experiments
from azureml_local.workspace.metrics import TABLE, MetricBatch, Metrics, NewValue, scalar
from azureml_local.workspace.new_runs import NewRun, RunChange
from azureml_local.workspace.parameters import Parameters
from azureml_local.workspace.run_data import NamedData, NamedDataOfRuns
from azureml_local.workspace.run_kinds import SWEEP, is_orchestrated
from azureml_local.workspace.run_lists import Listing
from azureml_local.workspace.runs import Runs, user_error


@pytest.fixture
def database(tmp_path: Path) -> Database:
    return Database(tmp_path / "database.sqlite3")


@pytest.fixture
def runs(database: Database) -> Runs:
    return Runs(database)


@pytest.fixture
def experiment_id(database: Database) -> str:
    return Experiments(database).get_or_create("e").id


def test_run_status_only_advances_and_final_status_stays(runs: Runs, experiment_id: str) -> None:
    runs.create(NewRun("r", experiment_id))
    for status in ("Queued", "Preparing", "Running", "Queued", "Finalizing", "Running"):
        runs.advance("r", status)
    assert runs.get("r").status == "Finalizing"
    runs.advance("r", "Failed", error=user_error("first"))
    ended = runs.advance("r", "Completed", error=user_error("second"))
    assert ended.status == "Failed"
    assert ended.error is not None
    assert ended.error["error"]["message"] == "first"
    assert ended.created <= (ended.started or "") <= (ended.ended or "")


@pytest.mark.parametrize("run_id", ["", ".", "..", "../x", "a/b", "a\0b", "a\\b", " ", "x" * 261, "-rf"])
def test_run_names_that_could_escape_their_folder_are_refused(runs: Runs, experiment_id: str, run_id: str) -> None:
    with pytest.raises(Invalid, match="no run id"):
        runs.create(NewRun(run_id, experiment_id))


def test_run_id_is_unique(runs: Runs, experiment_id: str) -> None:
    runs.create(NewRun("r", experiment_id))
    with pytest.raises(Conflict):
        runs.create(NewRun("r", experiment_id))


def test_run_ids_that_differ_by_case_only_are_refused(runs: Runs, experiment_id: str) -> None:
    runs.create(NewRun("Run", experiment_id))
    with pytest.raises(Invalid, match="more than case"):
        runs.create(NewRun("rUN", experiment_id))


def test_run_creation_repeated_returns_the_same_run(runs: Runs, experiment_id: str) -> None:
    new = NewRun("r", experiment_id, target="local", name="n", tags={"a": 1, "b": None})
    change = RunChange(name="n", tags={"a": 1, "b": None})
    first = runs.put(experiment_id, "r", change, new)
    again = runs.put(experiment_id, "r", change, new)
    assert (again.number, again.tags) == (first.number, {"a": "1", "b": None})
    runs.advance("r", "Running")
    with pytest.raises(Invalid, match="already"):
        runs.put(experiment_id, "r", change, new)
    assert runs.put(experiment_id, "r", RunChange(display_name="changed")).display_name == "changed"


def test_run_is_created_by_put_only_with_a_target(runs: Runs, experiment_id: str) -> None:
    with pytest.raises(NotFound):
        runs.put(experiment_id, "gone", RunChange(tags={"a": "b"}))
    runs.create(NewRun("r", experiment_id))
    with pytest.raises(NotFound, match="in this experiment"):
        runs.put("another", "r", RunChange(tags={"a": "b"}))
    with pytest.raises(Invalid, match="already"):
        runs.put("another", "r", RunChange(), NewRun("r", "another", target="local"))


def test_run_properties_are_immutable(runs: Runs, experiment_id: str) -> None:
    runs.create(NewRun("r", experiment_id, properties={"a": "1"}))
    assert runs.modify("r", RunChange(properties={"a": "1", "b": "2"})).properties == {"a": "1", "b": "2"}
    with pytest.raises(Invalid, match="'1'; properties can't be changed"):
        runs.modify("r", RunChange(properties={"a": "2"}, tags={"kept": "no"}))
    assert runs.get("r").tags == {}


@pytest.mark.parametrize(
    "tags", [["a"], "a", {"\ud800": "half a pair"}, {"a\0": "b"}, {"a": "b\0"}, {"a": "x" * 200_000}]
)
def test_run_tags_that_cannot_be_stored_are_refused(runs: Runs, experiment_id: str, tags: Any) -> None:
    runs.create(NewRun("r", experiment_id))
    with pytest.raises(Invalid):
        runs.modify("r", RunChange(tags=tags))
    with pytest.raises(Invalid):
        runs.put(experiment_id, "new", RunChange(), NewRun("new", experiment_id, tags=tags))


def test_run_pages_hold_every_run_once(runs: Runs, experiment_id: str) -> None:
    ids = [f"r{number:02}" for number in range(25)]
    for run_id in ids:
        runs.create(NewRun(run_id, experiment_id))
    for by_id, descending in ((False, True), (False, False), (True, True), (True, False)):
        found, token, pages = [], None, 0
        while pages == 0 or token is not None:
            page = runs.page(None, Listing(by_id=by_id, descending=descending, after=token, top=10))
            found += [run.id for run in page.items]
            token, pages = page.next, pages + 1
        assert (found, pages) == (sorted(ids, reverse=descending), 3)
    with pytest.raises(Invalid, match="continuation token"):
        runs.page(None, Listing(after="nonsense"))


def test_metric_pages_read_few_of_many_values(database: Database, runs: Runs, experiment_id: str) -> None:
    metrics = Metrics(database)
    for run_id in ("r", "s"):
        runs.create(NewRun(run_id, experiment_id))
        for name, count in (("many", 30), ("one", 1)):
            metrics.append(run_id, [scalar(name, float(number)) for number in range(count)])
    assert [(each.name, len(each.values), each.beyond) for each in metrics.heads("r", 20)] == [
        ("many", 20, 10),
        ("one", 1, 0),
    ]
    found = metrics.single_values(["r", "s", "none"])
    assert {run_id: [(each.name, each.values[0].data) for each in series] for run_id, series in found.items()} == {
        "r": [("one", {"one": 0.0})],
        "s": [("one", {"one": 0.0})],
        "none": [],
    }


@pytest.mark.parametrize("submitted", [{"definition": {"script": "train.py"}}, {"job": {"jobType": "Command"}}])
def test_status_of_a_submitted_run_is_not_moved_by_clients(
    runs: Runs, experiment_id: str, submitted: dict[str, Any]
) -> None:
    runs.create(NewRun("job", experiment_id, **submitted))
    runs.create(NewRun("interactive", experiment_id))
    for run_id, status in (("job", "NotStarted"), ("interactive", "Completed")):
        assert runs.report(run_id, "Completed").status == runs.get(run_id).status == status
    assert runs.advance("job", "Running").status == "Running"


def test_job_is_kept_as_it_was_sent_and_counts_as_work(runs: Runs, experiment_id: str) -> None:
    sent = {"jobType": "Command", "command": "python x.py", "tags": {"ä": None}}
    runs.create(NewRun("job", experiment_id, target="cpu", job=sent))
    runs.create(NewRun("interactive", experiment_id, target="local"))
    runs.create(NewRun("sweep", experiment_id, run_type=SWEEP, target="cpu", job={"jobType": "Sweep"}))
    assert [runs.get(run_id).job for run_id in ("job", "interactive")] == [sent, None]
    assert [is_orchestrated(run) for run in reversed(runs.list())] == [False, False, True]
    assert runs.jobs_at_work() == 1


def test_parameters_are_set_once(runs: Runs, database: Database, experiment_id: str) -> None:
    parameters = Parameters(database)
    runs.create(NewRun("r", experiment_id, parameters={"lr": "0.1"}))
    parameters.log("r", {"lr": "0.1", "depth": "3"})
    with pytest.raises(Invalid, match=r"has the value '0\.1'"):
        parameters.log("r", {"new": "1", "lr": "0.2"})
    assert parameters.of_many(["r", "other"]) == {"r": {"depth": "3", "lr": "0.1"}, "other": {}}
    with pytest.raises(NotFound):
        parameters.log("gone", {"a": "1"})
    with pytest.raises(Invalid):
        runs.create(NewRun("refused", experiment_id, parameters={"half": "\ud800"}))
    with pytest.raises(NotFound):
        runs.get("refused")


def test_named_inputs_and_outputs_of_a_run(runs: Runs, database: Database, experiment_id: str) -> None:
    data = NamedDataOfRuns(database)
    runs.create(NewRun("r", experiment_id))
    made = NamedData("model", "uri_folder", "azureml://datastores/workspaceblobstore/paths/azureml/r/model/")
    data.put("r", [NamedData("model", "uri_file", "azureml://in"), NamedData("reg", "literal")], output=False)
    data.put("r", [made], output=True)
    registered = NamedData("model", "uri_folder", made.uri, "azureml:made:1")
    data.put("r", [registered], output=True)
    assert data.of("r", output=True) == [registered]
    assert [each.name for each in data.of("r", output=False)] == ["model", "reg"]
    with pytest.raises(NotFound):
        data.put("gone", [made], output=True)


def test_write_to_a_deleted_experiment_is_not_kept(tmp_path: Path) -> None:
    """As when it is deleted after a route has looked for the run, or for the experiment, and before it writes."""
    folder = StateFolder(tmp_path / "state")
    folder.create()
    workspace = Workspace(folder)
    experiment = workspace.experiments.get_or_create("e").id
    workspace.runs.create(NewRun("r", experiment))
    workspace.runs.advance("r", "Completed")
    workspace.experiments.delete(experiment, workspace.artifacts)
    with pytest.raises(Vanished, match="was deleted"):
        workspace.metrics.append("r", [scalar("m", 1.0)])
    with pytest.raises(Vanished):
        workspace.runs.create(NewRun("another", experiment))
    with workspace.database.read() as session:
        assert not session.scalars(select(Metric)).all()
        assert not session.scalars(select(Run)).all()
    workspace.close()


def test_scalar_metric_logged_by_itself_keeps_step_time_and_every_value(
    runs: Runs, database: Database, experiment_id: str
) -> None:
    metrics = Metrics(database)
    runs.create(NewRun("r", experiment_id))
    metrics.log("r", "loss", 1, step=0, time="2026-01-01T00:00:00Z")
    for value in (0.5, 0.5, float("nan"), float("-inf")):  # several of one step, and the same value twice
        metrics.log("r", "loss", value, step=1, time="2026-01-02T00:00:00Z")
    series = metrics.get("r", "loss")
    assert (series.kind, series.columns) == ("azureml.v1.scalar", {"loss": "double"})
    assert [value.step for value in series.values] == [0, 1, 1, 1, 1]
    assert [str(value.data["loss"]) for value in series.values] == ["1", "0.5", "0.5", "nan", "-inf"]
    assert series.values[0].created.startswith("2026-01-01T00:00:00")


@pytest.mark.parametrize(
    "odd",
    [
        scalar("", 1),
        scalar("n" * 256, 1),
        scalar("a\nb", 1),
        scalar("a", 1, step=2**63),
        scalar("a", 1, time="yesterday"),
        scalar("a", "\ud800"),
        MetricBatch("a", TABLE, {"x": "int"}, [NewValue({"y": 1})]),
        MetricBatch("a", TABLE, {str(n): "int" for n in range(501)}, []),
        MetricBatch("a", TABLE, {"x": "int"}, [NewValue({"x": [1]})]),  # type: ignore[dict-item]
    ],
    ids=lambda batch: batch.name[:3] or "empty",
)
def test_metric_that_cannot_be_kept_is_refused_beside_the_others(
    runs: Runs, database: Database, experiment_id: str, odd: MetricBatch
) -> None:
    metrics = Metrics(database)
    runs.create(NewRun("r", experiment_id))
    [refused] = metrics.append("r", [odd, scalar("kept", 1)])
    assert refused.name == odd.name[:255]
    assert metrics.names("r") == ["kept"]
    metrics.append("r", [MetricBatch("table", TABLE, {"x": "int"}, [NewValue({"x": 1})])])
    with pytest.raises(Invalid, match="another name"):
        metrics.log("r", "table", 1)
