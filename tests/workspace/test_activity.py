"""How busy a cluster was: from the statuses that its runs have had."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from azureml_local.storage.folder import StateFolder
from azureml_local.workspace import Workspace, activity
from azureml_local.workspace.new_runs import NewRun
from azureml_local.workspace.run_kinds import SWEEP


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    folder = StateFolder(tmp_path / "state")
    folder.create()
    made = Workspace(folder)
    yield made
    made.close()


def make(workspace: Workspace, run_id: str, target: str = "cluster", run_type: str | None = None) -> None:
    experiment = workspace.experiments.get_or_create("busy")
    workspace.runs.create(NewRun(run_id, experiment.id, run_type=run_type, target=target))


def test_activity_shows_runs_queued_running_and_ended(workspace: Workspace) -> None:
    for run_id in ("a", "b"):
        make(workspace, run_id)
    make(workspace, "elsewhere", "another")
    make(workspace, "sweep", run_type=SWEEP)
    for run_id, status in [
        *(("sweep", "Running"), ("elsewhere", "Queued"), ("a", "Queued"), ("a", "Preparing"), ("b", "Queued")),
        *(("a", "Running"), ("b", "CancelRequested"), ("a", "Completed"), ("b", "Canceled")),
    ]:
        workspace.runs.advance(run_id, status)
    found = activity.of_cluster(workspace.database, "cluster")
    assert [(moment.busy, moment.waiting) for moment in found] == [(0, 1), (1, 0), (1, 1), (1, 1), (0, 1), (0, 0)]
    assert [moment.time for moment in found] == sorted(moment.time for moment in found)
    assert activity.of_cluster(workspace.database, "none") == []


def test_activity_looks_at_a_limited_number_of_runs(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(activity, "MOST_RUNS", 2)
    for run_id in ("old", "a", "b"):
        make(workspace, run_id)
        workspace.runs.advance(run_id, "Running")
    assert [moment.busy for moment in activity.of_cluster(workspace.database, "cluster")] == [1, 2]
