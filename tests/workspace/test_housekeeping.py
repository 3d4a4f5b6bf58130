"""What a killed server left is cleared away; what is anybody's stays."""

from __future__ import annotations

import os
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from azureml_local.storage.blobs import BlobStore
from azureml_local.storage.clock import text_of
from azureml_local.storage.folder import StateFolder
from azureml_local.storage.locks import try_lock
from azureml_local.storage.tables import Block
from azureml_local.workspace import Workspace
from azureml_local.workspace.errors import Conflict
from azureml_local.workspace.housekeeping import clean
from azureml_local.workspace.new_runs import NewRun
from azureml_local.workspace.run_data import NamedData


def test_housekeeping_removes_unreferenced_data(tmp_path: Path) -> None:
    folder = StateFolder(tmp_path / "state")
    folder.create()
    workspace = Workspace(folder)
    workspace.blobs.put_bytes("c", "kept", b"kept")
    live = workspace.blobs.create_live("c", "log")
    for name, age in (("new", timedelta(days=6)), ("old", timedelta(days=8))):
        with workspace.blobs.writer() as writer:
            writer.write(name.encode())
            workspace.blobs.stage_block("c", "big", name, writer.finish())
        with workspace.database.write() as session:
            block = session.get(Block, ("c", "big", name))
            assert block is not None
            block.created = text_of(datetime.now(timezone.utc) - age)
    half = folder.blobs / "ab" / ("ab" * 16)
    half.parent.mkdir(exist_ok=True)
    half.write_bytes(b"half an upload")
    experiment = workspace.experiments.get_or_create("e").id
    for run in ("ended", "running", "left"):
        workspace.runs.create(NewRun(run, experiment))
        (folder.runs / run).mkdir(parents=True)
    workspace.runs.advance("ended", "Completed")
    workspace.runs.conclude("left", "Failed", left=True)
    (folder.runs / "unknown").mkdir()
    for scratch in (".backup-now", ".backup-killed"):
        (folder.root / scratch).mkdir()
    backup = os.open(folder.root / ".backup-now", os.O_RDONLY)
    assert try_lock(backup)
    week_ago = {"time": time.time() - 7 * 24 * 3600, "boot": None, "elapsed": 0.0}
    workspace.database.set_setting("starts", [week_ago])

    for _ in range(2):
        clean(workspace)
        assert workspace.blobs.read_bytes("c", "kept") == b"kept"
        assert live.exists()
        assert not half.exists()
        files = [path.read_bytes() for path in folder.blobs.rglob("*") if path.is_file()]
        assert sorted(files) == [b"", b"kept", b"new"]
        assert sorted(path.name for path in folder.runs.iterdir()) == ["left", "running", "unknown"]
        assert [path.name for path in folder.root.glob(".backup-*")] == [".backup-now"]
    os.close(backup)
    workspace.close()


def test_experiment_deletion_interrupted_by_a_kill_is_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = StateFolder(tmp_path / "state")
    folder.create()
    workspace = Workspace(folder)
    experiment, other = (workspace.experiments.get_or_create(name).id for name in ("e", "other"))
    for run, of in (("a", experiment), ("ab", other)):
        workspace.runs.create(NewRun(run, of, parameters={"lr": "0.1"}))
        workspace.run_data.put(run, [NamedData("data", "uri_folder")], output=False)
        workspace.blobs.put_bytes("azureml", f"ExperimentRun/dcid.{run}/outputs/x", run.encode())
    with workspace.blobs.writer() as writer:
        writer.write(b"half")
        workspace.blobs.stage_block("azureml", "ExperimentRun/dcid.a/outputs/y", "block", writer.finish())
    with pytest.raises(Conflict):
        workspace.experiments.delete(experiment, workspace.artifacts)
    assert workspace.blobs.read_bytes("azureml", "ExperimentRun/dcid.a/outputs/x") == b"a"
    workspace.runs.advance("a", "Completed")
    monkeypatch.setattr(BlobStore, "unlink", lambda *_: None)  # this is where it is killed
    workspace.experiments.delete(experiment, workspace.artifacts)
    clean(workspace)
    assert [path.read_bytes() for path in folder.blobs.rglob("*") if path.is_file()] == [b"ab"]
    workspace.close()
