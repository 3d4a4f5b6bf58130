"""``azureml-local backup`` while writes go on, ``restore`` of it, and what restore refuses."""

from __future__ import annotations

import io
import json
import sqlite3
import tarfile
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from submitted import as_job

from azureml_local.cli.backup import BackupError, backup, restore
from azureml_local.storage.folder import StateFolder
from azureml_local.workspace import Workspace
from azureml_local.workspace.new_runs import NewRun
from tests.durability.ledger import Ledger
from tests.durability.servers import KillableServer
from tests.durability.test_kill import all_is_there, store_fits_together
from tests.durability.workload import Client, Writer, prepare


@pytest.mark.slow
def test_a_backup_that_is_taken_while_writes_go_on_is_whole(killable: KillableServer, tmp_path: Path) -> None:
    killable.start()
    server = killable.wait()
    prepare(Client(server))
    before, during = Ledger(), Ledger()
    writers = [Writer(server, before, 1, 0, ""), Writer(server, during, 2, 0, "")]
    for writer in writers:
        writer.start()
    until(lambda: before.acknowledged.total() > 40)
    writers[0].stop()
    # From here on the first ledger is what the backup must have; the second goes on being written.
    writers[0].join(60)
    archive = tmp_path / "workspace.tar.gz"
    count = during.acknowledged.total()
    made = backup(server.folder, archive)
    until(lambda: during.acknowledged.total() > count)
    writers[1].stop()
    writers[1].join(60)
    assert not [writer.faults for writer in writers if writer.faults]
    assert archive.stat().st_mode & 0o077 == 0
    assert not list(server.folder.root.glob(".backup-*"))

    workspace_id = identity(server.folder)
    killable.stop()
    elsewhere = KillableServer(tmp_path / "elsewhere", create=False)
    try:
        assert restore(archive, elsewhere.folder).blobs == made.blobs
        assert identity(elsewhere.folder) == workspace_id
        elsewhere.start()
        restored = elsewhere.wait()
        assert all_is_there(Client(restored), before) == []
        assert store_fits_together(restored) == []
    finally:
        elsewhere.close()


def until(question: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 60
    while not question():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def identity(folder: StateFolder) -> str:
    with closing(sqlite3.connect(f"file:{folder.database}?mode=ro", uri=True)) as database:
        return str(database.execute("SELECT value FROM store WHERE key = 'workspace_id'").fetchone()[0])


@pytest.fixture
def store(tmp_path: Path) -> StateFolder:
    folder = StateFolder(tmp_path / "state")
    folder.create()
    folder.secrets()
    workspace = Workspace(folder)
    workspace.blobs.put_bytes("azureml", "ExperimentRun/dcid.x/kept", b"kept")
    workspace.artifacts.open_log("dcid.x", "user_logs/std_log.txt").write_text("said so far")
    experiment = workspace.experiments.get_or_create("e").id
    workspace.runs.create(NewRun("job", experiment, target="c", **as_job({"target": "c", "script": "x.py"})))
    workspace.runs.create(NewRun("interactive", experiment, target="sdk"))
    workspace.close()
    return folder


def test_a_job_of_the_old_store_is_not_run_again_by_the_restored_one(store: StateFolder, tmp_path: Path) -> None:
    backup(store, tmp_path / "b.tar.gz")
    made = StateFolder(tmp_path / "made")
    restore(tmp_path / "b.tar.gz", made)
    workspace = Workspace(made)
    job = workspace.runs.get("job")
    assert job.status == "Failed"
    assert job.error is not None
    assert "when the backup was made" in job.error["error"]["message"]
    assert workspace.runs.get("interactive").status == "NotStarted"
    assert workspace.blobs.read_bytes("azureml", "ExperimentRun/dcid.x/kept") == b"kept"
    log = workspace.artifacts.get("ExperimentRun", "dcid.x", "user_logs/std_log.txt")
    assert (log.live, log.size) == (False, len("said so far"))
    assert made.secrets() == store.secrets()
    workspace.close()


def test_backup_and_restore_overwrite_nothing(store: StateFolder, tmp_path: Path) -> None:
    archive = tmp_path / "b.tar.gz"
    backup(store, archive)
    with pytest.raises(BackupError, match="exists already"):
        backup(store, archive)
    with pytest.raises(BackupError, match="is not empty"):
        restore(archive, store)
    with pytest.raises(BackupError, match="no workspace"):
        backup(StateFolder(tmp_path / "nothing"), tmp_path / "c.tar.gz")
    empty = StateFolder(tmp_path / "empty")
    empty.root.mkdir()
    restore(archive, empty)
    assert empty.database.exists()


def test_backup_with_a_lost_file_is_refused_before_writing(store: StateFolder, tmp_path: Path) -> None:
    next(path for path in store.blobs.rglob("*") if path.is_file()).unlink()
    with pytest.raises(BackupError, match="1 files of blobs are gone"):
        backup(store, tmp_path / "b.tar.gz")
    assert not list(tmp_path.glob("b.tar.gz*"))


def rewritten(archive: Path, change: Callable[[tarfile.TarInfo, bytes], tuple[tarfile.TarInfo, bytes] | None]) -> Path:
    """A copy of a backup with each member changed or left out."""
    target = archive.with_name("changed.tar.gz")
    with tarfile.open(archive) as source, tarfile.open(target, "w:gz") as to:
        for member in source:
            content = source.extractfile(member)
            assert content is not None
            if (changed := change(member, content.read())) is not None:
                changed[0].size = len(changed[1]) if changed[0].isreg() else 0
                to.addfile(changed[0], io.BytesIO(changed[1]))
    return target


def renamed(name: str, *, announced: bool = False) -> Any:
    """The last blob under another name, which the manifest may announce."""

    def change(member: tarfile.TarInfo, content: bytes) -> tuple[tarfile.TarInfo, bytes]:
        if member.name == "manifest.json" and announced:
            manifest = json.loads(content)
            manifest["files"][name] = 4
            return member, json.dumps(manifest).encode()
        if content == b"kept":
            member.name = name
        return member, content

    return change


def linked(kind: bytes) -> Any:
    def change(member: tarfile.TarInfo, content: bytes) -> tuple[tarfile.TarInfo, bytes]:
        if content == b"kept":
            member.type, member.linkname = kind, "/etc/passwd"
        return member, content

    return change


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(renamed("../outside"), id="a path out of the folder"),
        pytest.param(renamed("../outside", announced=True), id="one that the manifest announces"),
        pytest.param(renamed("/tmp/outside", announced=True), id="an absolute path"),
        pytest.param(renamed("blobs/../../outside", announced=True), id="one that looks like a blob"),
        pytest.param(renamed("server.json", announced=True), id="a file that is none of a backup"),
        pytest.param(linked(tarfile.SYMTYPE), id="a symbolic link"),
        pytest.param(linked(tarfile.LNKTYPE), id="a hard link"),
        pytest.param(linked(tarfile.FIFOTYPE), id="a pipe"),
        pytest.param(lambda member, content: (member, content[:-1]), id="shorter members"),
        pytest.param(lambda member, content: None if content == b"kept" else (member, content), id="one is missing"),
        pytest.param(
            lambda member, content: None if "manifest" in member.name else (member, content), id="no manifest"
        ),
        pytest.param(lambda member, content: None, id="empty"),
        pytest.param(
            lambda member, content: (member, b"{}" if "manifest" in member.name else content), id="odd manifest"
        ),
        pytest.param(
            lambda member, content: (member, bytes(len(content)) if "sqlite" in member.name else content),
            id="no database in it",
        ),
    ],
)
def test_restore_of_an_invalid_archive_is_refused_and_leaves_nothing(
    store: StateFolder, tmp_path: Path, change: Any
) -> None:
    backup(store, tmp_path / "b.tar.gz")
    before = sorted(tmp_path.iterdir())
    changed = rewritten(tmp_path / "b.tar.gz", change)
    with pytest.raises(BackupError):
        restore(changed, StateFolder(tmp_path / "made"))
    changed.unlink()
    assert sorted(tmp_path.iterdir()) == before


def test_a_damaged_archive_is_refused(store: StateFolder, tmp_path: Path) -> None:
    archive = tmp_path / "b.tar.gz"
    backup(store, archive)
    whole = archive.read_bytes()
    for damaged in (b"", b"no archive", whole[: len(whole) // 2], whole[:600] + bytes(64) + whole[664:]):
        archive.write_bytes(damaged)
        with pytest.raises(BackupError):
            restore(archive, StateFolder(tmp_path / "made"))
        assert not (tmp_path / "made").exists()


def test_backup_tolerates_files_replaced_meanwhile(store: StateFolder, tmp_path: Path) -> None:
    """As when a job writes its checkpoint again and again: whatever a copy of the database names is kept."""
    workspace = Workspace(store)
    for number in range(2000):
        workspace.blobs.put_bytes("c", f"data/{number:04}", b"x")
    stop, count = threading.Event(), [0]

    def replace() -> None:
        while not stop.is_set():
            workspace.blobs.put_bytes("c", f"checkpoint{count[0] % 4}", str(count[0]).encode())
            count[0] += 1

    writer = threading.Thread(target=replace)
    writer.start()
    try:
        for number in range(3):
            before = count[0]
            backup(store, tmp_path / f"{number}.tar.gz")
            assert count[0] > before
    finally:
        stop.set()
        writer.join()
        workspace.close()
    made = StateFolder(tmp_path / "made")
    restore(tmp_path / "2.tar.gz", made)
    restored = Workspace(made)
    numbers = [int(restored.blobs.read_bytes("c", f"checkpoint{number}")) for number in range(4)]
    assert max(numbers) - min(numbers) == 3
    restored.close()
