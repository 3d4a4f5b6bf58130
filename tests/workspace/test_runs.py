"""Runs: one way through the states, and names that may become folders."""

from __future__ import annotations

from pathlib import Path

import pytest

from azureml_local.server.odata import run_filter
from azureml_local.storage.database import Database
from azureml_local.workspace.errors import Conflict, Invalid
from azureml_local.workspace.experiments import Experiments
from azureml_local.workspace.runs import NewRun, Runs, user_error


@pytest.fixture
def database(tmp_path: Path) -> Database:
    return Database(tmp_path / "database.sqlite3")


@pytest.fixture
def runs(database: Database) -> Runs:
    return Runs(database)


@pytest.fixture
def experiment_id(database: Database) -> str:
    return Experiments(database).get_or_create("e").id


def test_a_run_goes_forward_only_and_its_end_is_its_end(runs: Runs, experiment_id: str) -> None:
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
def test_names_that_could_leave_their_folder_are_refused(runs: Runs, experiment_id: str, run_id: str) -> None:
    with pytest.raises(Invalid, match="no run id"):
        runs.create(NewRun(run_id, experiment_id))


def test_an_id_is_given_once(runs: Runs, experiment_id: str) -> None:
    runs.create(NewRun("r", experiment_id))
    with pytest.raises(Conflict):
        runs.create(NewRun("r", experiment_id))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", True),
        ("(RunId eq r)", True),
        ("ParentRunId eq null and status eq 'NotStarted'", True),
        ('(tags/kind eq "a b")', True),
        ("tags/kind eq 'other'", False),
        ("tags/kind ne 'other'", True),
    ],
)
def test_filters(runs: Runs, experiment_id: str, text: str, found: bool) -> None:
    run = runs.create(NewRun("r", experiment_id, tags={"kind": "a b"}))
    assert run_filter(text)(run) is found


@pytest.mark.parametrize("text", ["RunId gt 5", "Nonsense eq 1", "RunId eq a or RunId eq b", "((((", 5, "x" * 20_000])
def test_a_filter_that_is_not_understood_is_refused(text: object) -> None:
    with pytest.raises(Invalid):
        run_filter(text)
