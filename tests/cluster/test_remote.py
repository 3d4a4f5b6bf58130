"""Jobs on other machines, as the cluster sees them: a worker that does nothing but say what one says."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from azureml_local import __version__
from azureml_local.cluster.remote.reporter import Dismissed, Refused, RemoteReporter, Unreachable
from azureml_local.cluster.remote.worker import CantRun, perform
from azureml_local.runtime.faults import FaultKind
from azureml_local.runtime.left import Left
from azureml_local.runtime.logs import JOB_LOG
from azureml_local.runtime.process import JobProcess


def test_dask_is_not_imported_without_a_scheduler() -> None:
    """It takes as long to import as all the rest of the server."""
    code = (
        "import sys, azureml_local.server.serve, azureml_local.cli.app; "
        "print(*{'dask', 'distributed'} & set(sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=True).stdout == "\n"


def test_worker_of_another_version_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CantRun, match=rf"the worker w has azureml-local {__version__}, the server 0\.0\.1"):
        perform({"version": "0.0.1"}, "w", str(tmp_path))


class Line:
    """A server at the end of a line that breaks now and then; it keeps what arrives, as the real one does."""

    def __init__(self) -> None:
        self.broken: list[Exception] = []
        self.events: list[dict[str, Any]] = []
        self.bytes: dict[str, bytes] = {}
        self.answer = {"cancel": False, "lose": False}

    def ask(self, what: str, **body: Any) -> dict[str, Any]:
        if what == "wanted":
            return {"files": list(body["files"])}
        self.events += body["events"][max(0, len(self.events) - body["first"]) :]
        self._may_break()  # its answer is lost
        return self.answer

    def send(self, data: bytes, offset: int, log: str = "", path: str = "") -> None:
        name = log or path
        self.bytes[name] = self.bytes.get(name, b"")[:offset] + data
        if name == "wd/outputs/bad":
            raise Refused("no such name")
        self._may_break()

    def take(self, token: str) -> None: ...

    def _may_break(self) -> None:
        if self.broken:
            raise self.broken.pop()


@pytest.fixture
def line(monkeypatch: pytest.MonkeyPatch) -> Line:
    monkeypatch.setattr("azureml_local.cluster.remote.reporter.REPORT_SECONDS", 0.02)
    return Line()


def away(line: Line, folder: Path, **task: Any) -> RemoteReporter:
    return RemoteReporter(line, {"build_fails": False, "cut_off": 60.0, **task}, folder)  # type: ignore[arg-type]


def test_worker_reports_arrive_once_when_the_connection_breaks(line: Line, tmp_path: Path) -> None:
    home = away(line, tmp_path)
    line.broken = [Unreachable("lost")] * 9
    home.say("one")
    home.job_log(JOB_LOG).write_bytes(b"x" * 100)
    home.stage("Running")
    files = {f"wd/outputs/{name}": tmp_path / name for name in ("good", "bad", "empty")}
    for name in ("good", "bad", "empty"):
        (tmp_path / name).write_bytes(b"" if name == "empty" else name.encode())
    os.mkfifo(tmp_path / "pipe")
    there = {**files, "wd/outputs/gone": tmp_path / "gone", "wd/outputs/pipe": tmp_path / "pipe"}
    home.bring(Left(there, {"wd/outputs/\udcff": "its name is not UTF-8"}))
    home.finish(ran=True)
    assert line.events[:2] == [{"say": "one"}, {"stage": "Running"}]
    assert line.events[-1] == {"ran": True}
    [warning] = [event["warn"] for event in line.events if "warn" in event]
    assert warning.startswith("4 files of the job could not be stored")
    assert all(name in warning for name in ("gone", "pipe", "udcff", "bad"))
    assert line.bytes["job"] == b"x" * 100
    assert (line.bytes["wd/outputs/good"], line.bytes["wd/outputs/empty"]) == (b"good", b"")


def test_worker_dismissed_stops_and_worker_cut_off_is_lost(
    line: Line, tmp_path: Path, wait_for: Callable[..., Any]
) -> None:
    home = away(line, tmp_path)
    line.answer = {"cancel": True, "lose": False}
    assert home.cancelled.wait(20)
    line.broken = [Dismissed("another node's")]
    wait_for(lambda: home.dismissed)
    home.finish(ran=False)

    class Dead(Line):
        alive = False

        def ask(self, what: str, **body: Any) -> Mapping[str, Any]:  # type: ignore[override]
            if self.alive:
                return super().ask(what, **body)
            raise Unreachable("no route")

    dead = Dead()
    lost = away(dead, tmp_path, cut_off=0.1)
    assert lost.cancelled.wait(20)  # of a job that has no process yet
    assert lost.meets(FaultKind.NODE_LOST)
    dead.alive = True  # too late: nothing that it said now could be the job's own end
    lost.finish(ran=False)
    assert dead.events == []
    process = JobProcess.spawn(
        ["sleep", "600"], cwd=tmp_path, environment={}, log=tmp_path / "log", status_file=tmp_path / "status", lease=60
    )
    running = away(Dead(), tmp_path, cut_off=0.1)
    running.note(process)
    threading.Thread(target=process.begin).start()
    wait_for(lambda: running.meets(FaultKind.NODE_LOST))
    process.kill()
    process.close()
    running.finish(ran=True)
