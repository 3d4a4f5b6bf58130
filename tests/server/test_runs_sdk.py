"""Runs, through the real SDK: real processes, and a truthful account of each."""

from __future__ import annotations

import hashlib
import io
import os
import re
import signal
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import psutil
import pytest

Submit = Callable[..., Any]

METRICS = """
    from azureml.core import Run
    run = Run.get_context()
    print("running as", run.id)
    run.log("accuracy", 0.91)
    run.log_list("losses", [3, 2, 1])
    run.log_row("row", x=1, y=2.5)
    run.log_table("table", {"a": [1, 2], "b": [3, 4]})
    for step in range(3):
        run.log("step", step)
    run.log_confusion_matrix("confusion of two", {
        "schema_type": "confusion_matrix", "schema_version": "1.0.0",
        "data": {"class_labels": ["0", "1"], "matrix": [[5, 1], [2, 7]]},
    })
    run.tag("flavour", "vanilla")
    assert Run.get_submitted_run().id == run.id
    import os
    os.makedirs("outputs/deep", exist_ok=True)
    open("outputs/deep/model.bin", "wb").write(bytes(range(256)) * 100)
"""


@pytest.mark.sdk(
    "Experiment.submit", "Run.get_context", "Run.get_submitted_run", "Run.log", "Run.log_list", "Run.log_row",
    "Run.log_table", "Run.log_confusion_matrix", "Run.get_metrics", "Run.tag", "Run.get_tags", "Run.get_file_names",
    "Run.download_file", "Run.get_details", "Run.get_details_with_logs", "Run.wait_for_completion",
)  # fmt: skip
def test_a_script_runs_and_its_metrics_tags_and_files_are_kept(submit: Submit, tmp_path: Path) -> None:
    """... and its account of itself agrees in every place: details, files, metrics."""
    run = submit(METRICS)
    run.wait_for_completion(show_output=False)
    metrics = run.get_metrics()
    assert metrics["accuracy"] == 0.91
    assert metrics["losses"] == [3, 2, 1]
    assert metrics["row"] == {"x": 1, "y": 2.5}
    assert metrics["table"] == {"a": [1, 2], "b": [3, 4]}
    assert metrics["step"] == [0, 1, 2]
    assert run.get_tags() == {"flavour": "vanilla"}
    files = run.get_file_names()
    assert {"outputs/deep/model.bin", "confusion of two", "user_logs/std_log.txt"} <= set(files)
    run.download_file("outputs/deep/model.bin", str(tmp_path / "model.bin"))
    assert (tmp_path / "model.bin").read_bytes() == bytes(range(256)) * 100
    details = run.get_details_with_logs()
    assert details["status"] == run.get_status() == "Completed"
    assert run._run_dto["created_utc"] <= details["startTimeUtc"] <= details["endTimeUtc"]
    assert set(details["logFiles"]) <= set(files)
    assert f"running as {run.id}" in details["logFiles"]["user_logs/std_log.txt"]
    assert metrics["confusion of two"].endswith(f"{run._container}/confusion of two")
    assert details["properties"] == run.get_properties()


@pytest.mark.sdk("Run.wait_for_completion")
def test_the_log_of_a_job_that_ends_at_once_is_shown_whole(submit: Submit) -> None:
    run = submit("print('first line')\nprint('last line')")
    shown = io.StringIO()
    with redirect_stdout(shown):
        run.wait_for_completion(show_output=True)
    assert "first line" in shown.getvalue()
    assert "last line" in shown.getvalue()
    assert run.get_status() == "Completed"


@pytest.mark.sdk("Run.wait_for_completion", "Run.get_details")
def test_an_exception_is_the_runs_error(submit: Submit) -> None:
    from azureml.exceptions import ActivityFailedException

    run = submit("raise ValueError('the moon is full')")
    shown = io.StringIO()
    with redirect_stdout(shown), pytest.raises(ActivityFailedException, match="the moon is full"):
        run.wait_for_completion(show_output=True)
    assert "ValueError: the moon is full" in shown.getvalue()
    details = run.get_details()
    assert details["status"] == "Failed"
    assert "the moon is full" in details["error"]["error"]["message"]


def test_an_exit_status_fails_the_run(submit: Submit) -> None:
    run = submit("import os; os._exit(3)")
    run.wait_for_completion(raise_on_error=False)
    assert run.get_status() == "Failed"
    assert "exited with status 3" in run.get_details()["error"]["error"]["message"]


def test_a_killed_process_fails_the_run_with_the_signal(submit: Submit, wait_for: Callable[..., Any]) -> None:
    run = submit("print('up', flush=True)\nimport time\ntime.sleep(600)")
    wait_for(lambda: run.get_status() == "Running")
    os.kill(wait_for(lambda: processes_of(run.id))[-1].pid, signal.SIGKILL)
    wait_for(lambda: run.get_status() == "Failed")
    assert "SIGKILL" in run.get_details()["error"]["error"]["message"]


@pytest.mark.sdk("ScriptRunConfig.max_run_duration_seconds")
def test_max_run_duration_is_enforced(submit: Submit, wait_for: Callable[..., Any]) -> None:
    run = submit("import time; time.sleep(600)", max_run_duration_seconds=2)
    wait_for(lambda: run.get_status() == "Failed", 40)
    assert "max_run_duration_seconds" in run.get_details()["error"]["error"]["message"]


def test_an_unchanged_folder_is_submitted_without_uploading_it_again(submit: Submit) -> None:
    first = submit("print('same')")
    second = submit("print('same')")
    assert (
        first.get_details()["properties"]["ContentSnapshotId"]
        == second.get_details()["properties"]["ContentSnapshotId"]
    )
    first.wait_for_completion()
    second.wait_for_completion()


def test_a_changed_file_goes_on_from_the_parent_snapshot(submit: Submit, tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "kept.txt").write_text("kept")
    submit("print(open('kept.txt').read(), 1)").wait_for_completion()
    run = submit("print(open('kept.txt').read(), 2)")
    run.wait_for_completion()
    assert "kept 2" in log_of(run)


def test_the_job_sees_nothing_of_the_servers_environment(submit: Submit, server: Any) -> None:
    text = """
    import hashlib, os
    print(sorted(os.environ))
    print("home", os.path.expanduser("~"))
    print("its own", os.environ["MSI_SECRET"] == os.environ["AZUREML_RUN_TOKEN"])
    print(sorted(hashlib.sha256(value.encode()).hexdigest() for value in os.environ.values()))
    """
    run = submit(text)
    run.wait_for_completion()
    log = log_of(run)
    assert "PYTEST_CURRENT_TEST" not in log  # which the server has
    assert "its own True" in log
    assert hashlib.sha256(server.folder.secrets().sign_in.encode()).hexdigest() not in log
    assert re.search(r"home \S*/azl-[0-9a-f]{8}/", log)


def test_an_interactive_run_is_its_clients_own(experiment: Any) -> None:
    run = experiment.start_logging(snapshot_directory=None)
    run.log("loss", 1.5)
    child = run.child_run("child")
    child.log("loss", 0.5)
    child.complete()
    run.complete()
    assert run.get_status() == "Completed"
    assert run.get_metrics() == {"loss": 1.5}
    assert [kid.get_metrics() for kid in run.get_children()] == [{"loss": 0.5}]
    assert [found.id for found in experiment.get_runs()] == [run.id]


def log_of(run: Any) -> str:
    run.download_file("user_logs/std_log.txt", str(Path(os.environ.get("TMPDIR", "/tmp")) / f"{run.id}.txt"))
    path = Path(os.environ.get("TMPDIR", "/tmp")) / f"{run.id}.txt"
    text = path.read_text()
    path.unlink()
    return text


def processes_of(run_id: str) -> list[psutil.Process]:
    """The processes that have this run's id in their environment, oldest first."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("AZUREML_RUN_ID") == run_id and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return sorted(found, key=lambda process: process.create_time())
