"""Experiments, through the real SDK: listed, tagged, archived, deleted; and their runs found by every filter."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def named(workspace: Any, request: pytest.FixtureRequest) -> Callable[[str], Any]:
    """An experiment of the test's own, by the end of its name."""
    from azureml.core import Experiment

    def make(end: str = "") -> Any:
        return Experiment(workspace, f"{request.node.name[:60]}-{end or 'x'}")

    return make


def listed(workspace: Any, **options: Any) -> list[str]:
    from azureml.core import Experiment

    return [found.name for found in Experiment.list(workspace, **options)]


@pytest.mark.sdk(
    "Experiment.list", "Experiment.set_tags", "Experiment.tag", "Experiment.remove_tags", "Experiment.refresh",
    "Experiment.tags", "Experiment.id", "Experiment.name", "Workspace.experiments",
)  # fmt: skip
def test_experiments_are_listed_by_name_and_tags(workspace: Any, named: Callable[[str], Any]) -> None:
    one, other = named("one"), named("other")
    one.set_tags({"owner's team": 'the "A" team', "stage": 1})
    one.tag("draft")
    other.set_tags({"stage": "2"})
    one.refresh()
    assert one.tags == {"owner's team": 'the "A" team', "stage": "1", "draft": None}
    assert listed(workspace, experiment_name=one.name) == [one.name]
    assert listed(workspace, tags="draft") == [one.name]
    assert listed(workspace, tags={"owner's team": 'the "A" team'}) == [one.name]
    assert set(listed(workspace, tags="stage")) == {one.name, other.name}
    assert listed(workspace, tags={"stage": "2", "owner's team": "x"}) == []
    one.remove_tags(["draft", "never there"])
    one.refresh()
    assert "draft" not in one.tags
    everything = workspace.experiments
    assert everything[one.name].id == one.id
    assert everything[other.name].tags == {"stage": "2"}


@pytest.mark.sdk("Experiment.archive", "Experiment.reactivate", "Experiment.archived_time", "Experiment.get_runs")
def test_an_archived_experiment_keeps_its_runs_and_frees_its_name(workspace: Any, named: Callable[[str], Any]) -> None:
    from azureml.core import Run
    from azureml.core.experiment import ViewType

    old = named("x")
    run = old.start_logging(snapshot_directory=None)
    run.complete()
    old.archive()
    assert old.archived_time is not None
    assert old.name not in listed(workspace)
    assert old.name in listed(workspace, view_type=ViewType.ArchivedOnly)
    assert [found.id for found in old.get_runs()] == [run.id]
    new = named("x")
    assert new.id != old.id
    assert (new.archived_time, list(new.get_runs())) == (None, [])
    assert listed(workspace, view_type=ViewType.All).count(old.name) == 2
    assert Run.get(workspace, run.id).experiment.id == old.id
    assert Run.get(workspace, run.id).get_status() == "Completed"
    with pytest.raises(Exception, match="another experiment"):
        old.reactivate()
    new.archive()
    old.reactivate()
    assert (old.archived_time, listed(workspace).count(old.name)) == (None, 1)
    assert named("x").id == old.id


@pytest.mark.sdk("Experiment.start_logging")
def test_a_run_under_an_archived_name_begins_a_new_experiment(workspace: Any, named: Callable[[str], Any]) -> None:
    old = named("x")
    old.archive()
    with old.start_logging(snapshot_directory=None) as run:
        pass
    assert run.get_details()["status"] == "Completed"
    assert named("x").id != old.id


@pytest.mark.sdk("Experiment.delete")
def test_a_deleted_experiment_is_gone_with_all_that_was_in_it(
    workspace: Any, named: Callable[[str], Any], tmp_path: Path
) -> None:
    from azureml.core import Experiment, Model, Run

    experiment = named("x")
    run = experiment.start_logging(snapshot_directory=None)
    child = run.child_run()
    child.log("loss", 1)
    (tmp_path / "model.txt").write_text("weights")
    run.upload_file("outputs/model.txt", str(tmp_path / "model.txt"))
    child.upload_file("outputs/other.txt", str(tmp_path / "model.txt"))
    run.register_model("of-a-deleted-experiment", "outputs/model.txt")
    with pytest.raises(Exception, match="aren't over"):
        Experiment.delete(workspace, experiment.id)
    child.complete()
    run.complete()
    Experiment.delete(workspace, experiment.id)
    assert experiment.name not in listed(workspace)
    for gone in (run, child):
        with pytest.raises(Exception, match="no run"):
            Run.get(workspace, gone.id)
    with pytest.raises(Exception, match="no experiment"):
        Experiment.delete(workspace, experiment.id)
    # What a registered model needs stays.
    found = Model(workspace, "of-a-deleted-experiment").download(str(tmp_path / "down"))
    assert Path(found).read_text() == "weights"


@pytest.mark.sdk("Experiment.get_runs", "Run.list", "Run.type", "Run.tags", "Run.properties", "Run.number")
def test_runs_are_found_by_every_filter(named: Callable[[str], Any]) -> None:
    from azureml.core import Run

    experiment = named("x")
    first = experiment.start_logging(snapshot_directory=None)
    first.set_tags({"my colour": 'a "dark" blue', "flag": None})
    first.add_properties({"azureml.runsource": "mine", "a": "1"})
    second = experiment.start_logging(snapshot_directory=None)
    second.tag("my colour", "red")
    child = second.child_run("child")
    child.fail("on purpose")
    second.complete()
    first.complete()

    def found(**options: Any) -> list[str]:
        return [run.id for run in Run.list(experiment, **options)]

    assert found() == [second.id, first.id]
    assert found(include_children=True) == [child.id, second.id, first.id]
    assert found(status="Failed", include_children=True) == [child.id]
    assert found(status="Failed") == []
    assert found(tags="my colour") == [second.id, first.id]
    assert found(tags="flag") == [first.id]
    assert found(tags={"my colour": 'a "dark" blue'}) == [first.id]
    assert found(tags={"my colour": "red", "flag": "x"}) == []
    assert found(properties="a") == [first.id]
    assert found(properties={"a": "1", "azureml.runsource": "mine"}, type="mine") == [first.id]
    assert found(type="azureml.scriptrun") == []
    assert [run.id for run in experiment.get_runs(type="mine", tags="flag", properties={"a": "1"})] == [first.id]
    numbers = [run.number for run in experiment.get_runs(include_children=True)]
    assert numbers == sorted(numbers, reverse=True)


@pytest.mark.sdk("Experiment.get_runs", "Run.get_children", "Experiment.list")
def test_experiment_and_run_lists_longer_than_a_page_are_complete(workspace: Any, named: Callable[[str], Any]) -> None:
    """The SDK asks for 500 runs at once; its own clients are asked for less here."""
    from azureml._restclient.experiment_client import ExperimentClient

    experiment = named("x")
    parent = experiment.start_logging(snapshot_directory=None)
    children = parent.create_children(count=5)
    client = ExperimentClient(workspace.service_context, experiment.name, experiment.id)
    wanted = [child.id for child in reversed(children)]
    assert [dto.run_id for dto in client.get_runs(page_size=2, include_children=True)] == [*wanted, parent.id]
    assert [dto.run_id for dto in client.get_runs(page_size=3, include_children=True, order_by=("RunId", "asc"))] == (
        sorted([*wanted, parent.id])
    )
    pages = parent._client.run.get_child_runs(parent.id, page_size=2, _filter_on_server=True)
    assert [dto.run_id for dto in pages] == wanted
    assert {dto.run_id for dto in client.get_runs_by_run_ids(wanted[:3])} == set(wanted[:3])
    for child in children:
        child.complete()
    parent.complete()


def test_run_filter_invalid_is_refused(workspace: Any, named: Callable[[str], Any]) -> None:
    from azureml._restclient.experiment_client import ExperimentClient

    experiment = named("x")
    client = ExperimentClient(workspace.service_context, experiment.name, experiment.id)
    for options in (
        {"orchestrator": "x"},
        {"trait": "x"},
        {"order_by": ("Nonsense", "asc")},
    ):
        with pytest.raises(Exception, match="BadArgument"):
            list(client.get_runs(**options))
