"""Runs that a client starts by itself, and their families, through the real SDK."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from azureml_local.workspace.runs import STATUS_EVENT


@pytest.fixture
def start(experiment: Any) -> Any:
    """Start a run; whatever goes on at the end of the test is completed."""
    runs = []

    def begin(**options: Any) -> Any:
        runs.append(experiment.start_logging(**{"snapshot_directory": None, "outputs": False, **options}))
        return runs[-1]

    yield begin
    for run in runs:
        if run.get_status() not in ("Completed", "Failed", "Canceled"):
            run.complete()


@pytest.mark.sdk(
    "Experiment.start_logging", "Run.complete", "Run.get_status", "Run.status", "Run.get_details", "Run.id", "Run.name",
    "Run.display_name", "Run.description", "Run.get", "Workspace.get_run", "Run.get_portal_url", "Run.experiment",
    "Run.get_detailed_status", "Experiment.get_portal_url", "Experiment.workspace",
)  # fmt: skip
def test_an_interactive_run_follows_its_events(workspace: Any, start: Callable[..., Any]) -> None:
    from azureml.core import Run

    run = start(display_name="Schöner Name 🙂", description="what it is about")
    assert (run.get_status(), run.display_name, run.description) == ("Running", "Schöner Name 🙂", "what it is about")
    assert run.name == f"run_{run.id}"
    run.display_name = "another"
    run.description = "else"
    assert run.get_detailed_status() == {"status": "Running", "details": None}
    run.complete()
    again = Run.get(workspace, run.id)
    assert (again.display_name, again.description, again.name) == ("another", "else", run.name)
    assert workspace.get_run(run.id).experiment.id == run.experiment.id
    assert run.id in run.get_portal_url()
    assert run.experiment.id in run.experiment.get_portal_url()
    assert run.experiment.workspace.name == workspace.name
    details = again.get_details()
    assert details["status"] == "Completed"
    times = [run._client.run_dto.created_utc, *(parse_iso(details[key]) for key in ("startTimeUtc", "endTimeUtc"))]
    assert times == sorted(times)


def kept(server: Any, run: Any) -> list[tuple[str, dict[str, Any]]]:
    """The name and data of each event that the store keeps of a run, in their order."""
    query = "SELECT name, time, data FROM run_events WHERE run_id = ? ORDER BY id"
    with contextlib.closing(sqlite3.connect(f"file:{server.folder.database}?mode=ro", uri=True)) as database:
        rows = database.execute(query, (run.id,)).fetchall()
    assert [time for _, time, _ in rows] == sorted(time for _, time, _ in rows)
    return [(name, json.loads(data)) for name, _, data in rows]


def events(server: Any, run: Any) -> list[str]:
    """What the client told of a run."""
    return [name.rpartition(".")[2] for name, _ in kept(server, run) if name != STATUS_EVENT]


def statuses(server: Any, run: Any) -> list[str]:
    """The statuses that a run has had."""
    return [data["status"] for name, data in kept(server, run) if name == STATUS_EVENT]


def parse_iso(text: str) -> Any:
    from msrest.serialization import Deserializer

    return Deserializer.deserialize_iso(text)


@pytest.mark.sdk("Run.fail", "Run.get_details", "Run.wait_for_completion")
def test_interactive_run_failure_keeps_its_error_message(workspace: Any, start: Callable[..., Any]) -> None:
    from azureml.core import Run
    from azureml.exceptions import ActivityFailedException

    told = start()
    told.fail(error_details="the moon is full", error_code="LunarError")
    error = told.get_details()["error"]["error"]
    assert (error["code"], error["message"]) == ("LunarError", "the moon is full")
    raised = start()
    with pytest.raises(ZeroDivisionError), raised:
        1 / 0  # noqa: B018
    assert "ZeroDivisionError: division by zero" in raised.get_details()["error"]["error"]["message"]
    silent = start()
    silent.fail()
    assert silent.get_details()["error"]["error"]["code"] == "UserError"
    for run in (told, raised, silent):
        assert run.get_status() == "Failed"
    with pytest.raises(ActivityFailedException, match="division by zero"):
        Run.get(workspace, raised.id).wait_for_completion()
    assert told.wait_for_completion(raise_on_error=False, wait_post_processing=True)["status"] == "Failed"


@pytest.mark.sdk("Run.cancel", "Run.complete", "Run.fail", "Run.start")
def test_interactive_run_final_status_does_not_change(workspace: Any, start: Callable[..., Any], server: Any) -> None:
    """... and the events that the store keeps tell the same story as the details."""
    from azureml.core import Run

    for end, others in (
        ("complete", ("fail", "cancel", "start")),
        ("fail", ("complete", "cancel")),
        ("cancel", ("complete", "fail")),
    ):
        run = start()
        getattr(run, end)()
        before = Run.get(workspace, run.id).get_details()
        for other in others:
            getattr(run, other)()
        after = Run.get(workspace, run.id).get_details()
        assert before["status"] == {"complete": "Completed", "fail": "Failed", "cancel": "Canceled"}[end]
        for key in ("status", "startTimeUtc", "endTimeUtc", "error"):
            assert after.get(key) == before.get(key)
        told = events(server, run)
        assert told[0] == "Start"
        assert told[1] == {"complete": "Completed", "fail": "Error", "cancel": "Completed"}[end]
        assert statuses(server, run)[-1] == before["status"]
        assert statuses(server, run).count(before["status"]) == 1


@pytest.mark.sdk(
    "Run.tag", "Run.set_tags", "Run.get_tags", "Run.remove_tags", "Run.tags",
    "Run.add_properties", "Run.get_properties", "Run.properties",
)  # fmt: skip
def test_run_tags_are_mutable_and_properties_are_not(start: Callable[..., Any]) -> None:
    run = start()
    run.tag("just a name")
    run.set_tags({"a/b c": "1", "größe": 2, "long": "x" * 5000})
    run.tag("a/b c", "3")
    assert run.get_tags() == {"just a name": None, "a/b c": "3", "größe": "2", "long": "x" * 5000}
    run.remove_tags(["long", "just a name", "never there"])
    assert run.tags == run.get_tags() == {"a/b c": "3", "größe": "2"}
    assert run.get_status() == "Running"
    run.add_properties({"a": "1", "number": 5})
    run.add_properties({"a": "1", "b": ""})
    found = {key: value for key, value in run.get_properties().items() if "git" not in key}
    assert found == {"a": "1", "number": "5", "b": ""}
    with pytest.raises(Exception, match="can't be changed"):
        run.add_properties({"a": "2"})
    assert run.get_properties()["a"] == "1"


@pytest.mark.sdk(
    "Run.child_run", "Run.create_children", "Run.get_children", "Run.parent", "Run.type",
)  # fmt: skip
def test_child_runs_are_listed_recursively(workspace: Any, start: Callable[..., Any]) -> None:
    from azureml.core import Run

    parent = start()
    one = parent.child_run("one")
    two = parent.child_run("two", run_id="my-own-id-of-two")
    deep = one.child_run("deep")
    by_number = two.create_children(count=3)
    by_tag = two.create_children(tag_key="layers", tag_values=[1, 2])
    two.tag("kind", "special")
    two.add_properties({"azureml.runsource": "mine"})
    deep.fail("on purpose")

    def ids(runs: Any) -> set[str]:
        return {run.id for run in runs}

    assert ids(parent.get_children()) == {one.id, two.id}
    assert ids(one.get_children(recursive=True)) == {deep.id}
    everyone = {one.id, two.id, deep.id} | ids(by_number) | ids(by_tag)
    assert ids(parent.get_children(recursive=True)) == everyone
    assert ids(two.get_children(recursive=True)) == ids(by_number) | ids(by_tag)
    assert ids(parent.get_children(tags={"kind": "special"})) == {two.id}
    assert ids(parent.get_children(recursive=True, tags="layers")) == ids(by_tag)
    assert ids(parent.get_children(recursive=True, status="Failed")) == {deep.id}
    assert ids(parent.get_children(properties={"azureml.runsource": "mine"})) == {two.id}
    assert ids(parent.get_children(recursive=True, status="Completed")) == set()
    assert [run.get_tags() for run in by_tag] == [{"layers": "1"}, {"layers": "2"}]
    assert {run.get_status() for run in by_number} == {"Running"}
    assert Run.get(workspace, deep.id).parent.id == one.id
    assert Run.get(workspace, deep.id).parent.parent.id == parent.id
    assert (parent.parent, two.id, one.name) == (None, "my-own-id-of-two", f"{parent.name}>one")
    for run in (*by_number, *by_tag, one, two):
        run.complete()


@pytest.mark.sdk("Run.submit_child", "Run.get_environment", "Run.get_snapshot_id", "Run.restore_snapshot")
def test_a_job_submitted_by_a_run_is_its_child(
    workspace: Any, start: Callable[..., Any], compute: Any, here: Any, tmp_path: Path
) -> None:
    import zipfile

    from azureml.core import ScriptRunConfig

    source = tmp_path / "source"
    (source / "deep" / "er").mkdir(parents=True)
    (source / "script.py").write_text("print('child')")
    (source / "deep" / "er" / "größe 🙂.txt").write_bytes(bytes(range(256)))
    (source / "empty.txt").touch()
    parent = start()
    child = parent.submit_child(
        ScriptRunConfig(str(source), script="script.py", compute_target=compute, environment=here), tags={"a": "b"}
    )
    assert [run.id for run in parent.get_children()] == [child.id]
    assert (child.parent.id, child.get_tags()) == (parent.id, {"a": "b"})
    child.wait_for_completion()
    assert child.get_snapshot_id() == child.get_details()["properties"]["ContentSnapshotId"]
    (tmp_path / "restored").mkdir()
    for _ in range(2):
        archive = child.restore_snapshot(path=str(tmp_path / "restored"))
        with zipfile.ZipFile(archive) as file:
            assert {name: file.read(name) for name in file.namelist() if not name.endswith("/")} == {
                path.relative_to(source).as_posix(): path.read_bytes() for path in source.rglob("*") if path.is_file()
            }
    here.register(workspace)
    assert child.get_environment().python.user_managed_dependencies


@pytest.mark.sdk("Run.take_snapshot", "Run.get_snapshot_id", "Run.restore_snapshot", "Experiment.start_logging")
def test_an_interactive_run_keeps_its_folder_once(start: Callable[..., Any], tmp_path: Path) -> None:
    import zipfile

    from azureml.exceptions import SnapshotException

    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "notebook.txt").write_text("cells")
    run = start(snapshot_directory=str(tmp_path / "source"))
    with pytest.raises(SnapshotException, match="already has one"):
        run.take_snapshot(str(tmp_path / "source"))
    assert start().get_snapshot_id() is None
    run.complete()
    with zipfile.ZipFile(run.restore_snapshot(path=str(tmp_path))) as file:
        assert file.read("notebook.txt") == b"cells"
    with pytest.raises(Exception, match="404"):
        run.restore_snapshot("00000000-1111-2222-3333-444444444444", path=str(tmp_path))


@pytest.mark.sdk(
    "Run.upload_file", "Run.upload_files", "Run.upload_folder", "Run.download_file", "Run.download_files",
    "Run.get_file_names",
)  # fmt: skip
def test_run_files_uploaded_and_downloaded_are_identical(start: Callable[..., Any], tmp_path: Path) -> None:
    run = start()
    up, down = tmp_path / "up", tmp_path / "down"
    (up / "in").mkdir(parents=True)
    contents = {f"in/{index:02}.bin": os.urandom(index * 100) for index in range(60)} | {"größe 🙂 %20+&.txt": b"x"}
    for name, content in contents.items():
        (up / name).write_bytes(content)
    list(run.upload_folder("folder", str(up)))
    list(run.upload_files(["one.bin", "deep/two.bin"], [str(up / "in" / "01.bin"), str(up / "in" / "02.bin")]))
    run.upload_file("folder2", str(up / "in" / "03.bin"))
    with (up / "in" / "04.bin").open("rb") as stream:
        run.upload_file("stream.bin", stream)
    wanted = {f"folder/{name}" for name in contents} | {"one.bin", "deep/two.bin", "folder2", "stream.bin"}
    assert set(run.get_file_names()) == wanted
    run.download_files(prefix="folder", output_directory=str(down), append_prefix=False)
    assert {path.relative_to(down).as_posix(): path.read_bytes() for path in down.rglob("*") if path.is_file()} == (
        contents
    )
    run.download_file("deep/two.bin", str(down))
    assert (down / "two.bin").read_bytes() == contents["in/02.bin"]
    run.download_files(output_directory=str(tmp_path / "all"))
    assert (tmp_path / "all" / "stream.bin").read_bytes() == contents["in/04.bin"]
    with pytest.raises(Exception, match="was not found"):
        run.download_file("none such", str(down))


@pytest.mark.sdk_refused("Run.upload_file")
def test_run_file_that_cannot_be_stored_is_refused(start: Callable[..., Any], tmp_path: Path) -> None:
    run = start()
    (tmp_path / "file").write_text("x")
    for name in ("../../up", "a/../../b", "x" * 1200, "a\\b"):
        with pytest.raises(Exception, match=r"(?i)invalid|400"):
            run.upload_file(name, str(tmp_path / "file"))
    with pytest.raises(Exception, match="Leave datastore_name out"):
        run.upload_file("file", str(tmp_path / "file"), datastore_name="elsewhere")
    assert run.get_file_names() == []


@pytest.mark.sdk("Run.get_details_with_logs", "Run.get_all_logs")
def test_an_interactive_runs_logs_are_kept(
    start: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with start() as run:
        print("said by the user's program")
    logs = run.get_details_with_logs()["logFiles"]
    assert "said by the user's program" in "".join(logs.values())
    kept = run.get_all_logs(str(tmp_path / "logs"))
    assert {Path(path).relative_to(tmp_path / "logs").as_posix() for path in kept} == set(logs)


@pytest.mark.sdk_refused("Experiment.start_logging", "Run.child_run")
def test_run_id_taken_or_invalid_is_refused(workspace: Any, start: Callable[..., Any]) -> None:
    from azureml.core import Experiment

    run = start(run_id="An.id_of-my-own")
    run.complete()
    taken = ("An.id_of-my-own", "an.ID_of-my-own")
    for run_id in (*taken, "x" * 256, "a b", "-rf", "größe"):
        with pytest.raises(Exception, match=r"BadArgument|NotImplemented"):
            start(run_id=run_id)
    for run_id in taken:
        with pytest.raises(Exception, match="BadArgument"):
            run.child_run(run_id=run_id)
    with pytest.raises(Exception, match="BadArgument"):
        Experiment(workspace, "another-experiment").start_logging(run_id=run.id, snapshot_directory=None)
    assert run.get_tags() == {}
