"""What a new server makes of the runs that an earlier one left, wherever that was when it died."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from submitted import as_job

from azureml_local.cluster.cluster import Cluster
from azureml_local.cluster.runcontext import ClusterServices
from azureml_local.runtime.environments import EnvironmentBuilder
from azureml_local.runtime.inputs import Inputs
from azureml_local.runtime.logs import JOB_LOG
from azureml_local.runtime.process import JobProcess, marked, status_file
from azureml_local.runtime.shared import SharedFolders
from azureml_local.storage.clock import seconds_since_mark
from azureml_local.storage.folder import StateFolder
from azureml_local.storage.tables import Run
from azureml_local.workspace import Workspace
from azureml_local.workspace.artifacts import RUN_ORIGIN
from azureml_local.workspace.new_runs import NewRun
from azureml_local.workspace.runs import data_container

Left = Callable[..., Run]


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workspace]:
    monkeypatch.setattr("azureml_local.workspace.runs.FOLLOWER_GRACE", 0)
    folder = StateFolder(tmp_path / "state")
    folder.create()
    workspace = Workspace(folder)
    yield workspace
    workspace.close()


@pytest.fixture
def left(workspace: Workspace, tmp_path: Path) -> Iterator[Left]:
    """A run as a dead server has left it: its row, its folder, and its process (still alive unless it ends itself)."""
    processes = []

    def make(
        status: str, script: str = "import time; time.sleep(600)", *, known: bool = True, final: str | None = None
    ) -> Run:
        run = workspace.runs.create(
            NewRun(
                f"run_{len(processes)}",
                workspace.experiments.get_or_create("e").id,
                run_type="azureml.scriptrun",
                target="local",
                **as_job({"target": "local", "command": "echo from the beginning", "maxRunDurationSeconds": 600}),
            )
        )
        folder, working = workspace.folder.runs / run.id, tmp_path / run.id
        folder.mkdir(parents=True)
        (working / "outputs").mkdir(parents=True)
        (working / "outputs" / "kept").write_text("kept")
        (folder / "client").write_bytes(f"{working}\0{sys.executable}\0".encode())
        process = JobProcess.spawn(
            [sys.executable, "-c", script],
            cwd=working,
            environment={},
            log=workspace.artifacts.open_log(data_container(run), JOB_LOG),
            status_file=status_file(folder),
        )
        processes.append(process)
        if known:
            process.begin()
        if "sleep" not in script:
            assert process.wait(20)
        notes: dict[str, Any] = {"final": final} if final else process.record()
        if known:
            workspace.runs.note_process(run.id, notes)
        return workspace.runs.advance(run.id, status)

    yield make
    for process in processes:
        process.close()
        process.kill()


@pytest.fixture
def new_server(workspace: Workspace, tmp_path: Path) -> Iterator[Callable[[], None]]:
    cluster = Cluster(
        ClusterServices(
            workspace=workspace,
            builder=EnvironmentBuilder(tmp_path / "cache", host=True),
            inputs=Inputs(SharedFolders(tmp_path / "datasets"), None),
            job_variables=lambda run: {},
        )
    )
    yield cluster.start
    cluster.stop()


def ended(workspace: Workspace, run: Run) -> tuple[str, str]:
    deadline = time.monotonic() + 30
    while (now := workspace.runs.get(run.id)).ended is None:
        assert time.monotonic() < deadline, now.status
        time.sleep(0.02)
    assert not marked(status_file(workspace.folder.runs / run.id))
    return now.status, (now.error or {}).get("error", {}).get("message", "")


def test_recovery_reports_a_job_that_had_ended_with_its_result(
    workspace: Workspace, left: Left, new_server: Callable[[], None]
) -> None:
    well, badly = left("Running", "print('done')"), left("Running", "raise SystemExit(3)")
    finalizing = left("Finalizing", "print()", final="Completed")
    cancelled = left("Finalizing", "raise SystemExit(3)", final="Canceled")
    new_server()
    assert ended(workspace, well) == ("Completed", "")
    assert "exited with status 3" in ended(workspace, badly)[1]
    assert ended(workspace, finalizing) == ("Completed", "")
    assert ended(workspace, cancelled) == ("Canceled", "")
    for run in (well, badly, finalizing, cancelled):
        assert workspace.artifacts.exists(RUN_ORIGIN, data_container(run), "outputs/kept")
        deadline = time.monotonic() + 30
        while (workspace.folder.runs / run.id).exists():  # it goes just after the status has come
            assert time.monotonic() < deadline
            time.sleep(0.02)


def test_recovery_ends_a_job_that_cannot_be_continued(
    workspace: Workspace, left: Left, new_server: Callable[[], None]
) -> None:
    cancelled, before = left("CancelRequested"), left("CancelRequested", known=False)
    vanished = left("Running")
    # The supervisor and its job: one that has only just been started can't be told by its variables yet.
    while len(processes := marked(status_file(workspace.folder.runs / vanished.id))) < 2:
        time.sleep(0.01)
    for process in processes:
        process.kill()
    status_file(workspace.folder.runs / vanished.id).write_text("")
    new_server()
    assert ended(workspace, cancelled) == ("Canceled", "")
    assert ended(workspace, before) == ("Canceled", "")
    status, message = ended(workspace, vanished)
    assert (status, "no exit status" in message) == ("Failed", True)


def test_recovery_starts_a_job_that_had_not_begun(
    workspace: Workspace, left: Left, new_server: Callable[[], None]
) -> None:
    """Its process waits for a word that the dead server never said."""
    runs = [left(status, known=False) for status in ("NotStarted", "Queued", "Preparing", "Starting")]
    noted = left("Running", known=False)
    while not (found := marked(status_file(workspace.folder.runs / noted.id))):
        time.sleep(0.01)  # it was forked just now: until it runs its own program, its variables are the test's
    (process,) = found
    workspace.runs.note_process(noted.id, {"pid": process.pid, "started": process.create_time()})
    process.kill()
    new_server()
    for run in [*runs, noted]:
        assert ended(workspace, run) == ("Completed", "")
        log = workspace.artifacts.get(RUN_ORIGIN, data_container(run), JOB_LOG)
        assert "from the beginning" in workspace.artifacts.path(log).read_text()


def test_recovery_time_limit_counts_from_the_start_of_the_process(
    workspace: Workspace, left: Left, new_server: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = left("Running")
    monkeypatch.setattr(
        "azureml_local.runtime.process.seconds_since_mark", lambda marked: seconds_since_mark(marked) + 601
    )
    new_server()
    assert "max_run_duration_seconds (600)" in ended(workspace, run)[1]
