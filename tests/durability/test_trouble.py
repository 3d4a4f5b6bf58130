"""A full disk, a read-only folder, lost and damaged files: an error that says what to do, and nothing made worse."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from azure.core.exceptions import HttpResponseError
from rich.console import Console

from azureml_local.cli.doctor import Finding, examine, proxies, python, sdk, show
from azureml_local.server.serve import Settings, serve
from azureml_local.storage.folder import StateFolder, StateFolderError
from tests.durability.servers import KillableServer
from tests.durability.test_kill import store_fits_together
from tests.durability.workload import EXPERIMENT, HISTORY, METRICS, Client, prepare


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 8 MiB, where root may mount one; tests that need it skip elsewhere."""
    disk = tmp_path / "disk"
    disk.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=8m", "none", str(disk)]
    if sys.platform != "linux" or os.geteuid() != 0 or subprocess.run(words, capture_output=True).returncode:
        pytest.skip("only root mounts a small disk")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


def fill(path: Path) -> None:
    """Take what room is left."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT)
    with contextlib.suppress(OSError):
        while os.write(descriptor, bytes(4096)):
            pass
    os.close(descriptor)


def remount(disk: Path, how: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{how}", str(disk)], check=True)


def test_full_disk_is_answered_with_507_and_loses_nothing(small_disk: Path) -> None:
    server = KillableServer(small_disk)
    try:
        server.start()
        client = Client(server.wait())
        prepare(client)
        run = f"{HISTORY}/experiments/{EXPERIMENT}/runs/full"
        client.ask("PATCH", run, json={"runId": "full", "target": "sdk", "displayName": "before"})
        client.artifact("dcid.full", "kept", b"kept" * 1000)

        # What is cleared away in the end. The filler alone may be small: what a refused upload has left goes later.
        (small_disk / "reserve").write_bytes(bytes(1 << 20))
        big = client.blob("big")
        with pytest.raises(Exception, match="InsufficientStorage"):
            big.upload_blob(os.urandom(9 << 20), overwrite=True)
        fill(small_disk / "filler")
        statuses = set()
        # More than the disk holds: the first ones find room in the database's log, which never gets shorter.
        for number in range(200):
            value = {"metricId": str(number), "data": {"x": "y" * 50_000}}
            batch = {"name": "x", "columns": {"x": "string"}, "value": [value], "properties": {}}
            answer = client.http.post(f"{METRICS}/full/batch", json={"values": [batch]})
            statuses.add(answer.status_code)
            if answer.status_code != 200:
                break
        assert statuses <= {200, 507}
        assert 507 in statuses
        assert answer.json()["error"]["code"] == "InsufficientStorage"
        assert "Make room" in answer.json()["error"]["message"]
        # Reading goes on, and so does everything once there is room.
        assert client.ask("GET", run)["displayName"] == "before"
        assert any(finding.what == "disk of the workspace" and finding.serious for finding in examine(server.folder))
        (small_disk / "filler").unlink()
        (small_disk / "reserve").unlink()
        client.ask("PATCH", run, json={"displayName": "after"})
        server.kill()
        server.start()
        found = server.wait()
        assert client.ask("GET", run)["displayName"] == "after"
        assert store_fits_together(found) == []
    finally:
        server.close()


def azureml_local(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "azureml_local", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, env={**os.environ, **variables})


def test_state_folder_on_a_read_only_disk_is_a_one_line_error(small_disk: Path) -> None:
    remount(small_disk, "ro")
    try:
        said = azureml_local("serve", "--state", str(small_disk / "state"))
        assert said.returncode == 1
        assert said.stderr.count("\n") == 1
        assert "can't be written (Read-only file system)" in said.stderr
    finally:
        remount(small_disk, "rw")


def test_disk_that_becomes_read_only_is_reported_to_the_client(small_disk: Path) -> None:
    """As a disk does that has errors. The folder of the blobs: a whole one doesn't, with a database open on it."""
    server = KillableServer(small_disk)
    blobs = str(server.folder.blobs)
    try:
        server.start()
        client = Client(server.wait())
        prepare(client)
        client.blob("before").upload_blob(b"before")
        subprocess.run(["mount", "--bind", blobs, blobs], check=True)
        try:
            subprocess.run(["mount", "-o", "remount,bind,ro", blobs], check=True)
            with pytest.raises(HttpResponseError, match="Read-only file system") as caught:
                client.blob("during").upload_blob(b"during", retry_total=0)
            assert (caught.value.status_code, caught.value.error_code) == (503, "StoreNotWritable")
            assert "azureml-local doctor" in caught.value.message
            assert any("read-only" in finding.found for finding in wrong(server.folder))
            assert client.blob("before").download_blob().readall() == b"before"
        finally:
            subprocess.run(["umount", blobs], check=True)
        client.blob("after").upload_blob(b"after")
        assert client.names("") >= {"before", "after"}
        assert "during" not in client.names("")
    finally:
        server.close()


@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("setpriv") is None, reason="needs another user")
def test_state_folder_of_another_user_is_a_one_line_error(tmp_path: Path) -> None:
    """The store is root's; whoever starts a server on it is nobody."""
    state = Path("/tmp") / f"azureml-local-test-{os.getpid()}"
    StateFolder(state).create()
    try:
        words = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", sys.executable]
        probe = subprocess.run([*words, "-c", "import azureml_local"], capture_output=True)
        if probe.returncode:
            pytest.skip("another user can't read this installation")
        said = subprocess.run(
            [*words, "-m", "azureml_local", "serve", "--state", str(state)],
            capture_output=True,
            text=True,
            env={**os.environ, "HOME": "/tmp"},
            cwd="/tmp",
        )
        assert said.returncode == 1, said.stderr
        assert said.stderr.count("\n") == 1
        assert str(state) in said.stderr
    finally:
        shutil.rmtree(state)


# What the doctor finds, and what the next start says of it -----------------------------------------------------------


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a little of everything, of a server that was stopped."""
    server = KillableServer(tmp_path_factory.mktemp("healthy"))
    server.start()
    client = Client(server.wait())
    prepare(client)
    for number in range(30):
        client.artifact("dcid.x", f"file{number}", os.urandom(5000))
    server.stop()
    server.close()
    return server.folder.root


@pytest.fixture
def store(healthy: Path, tmp_path: Path) -> StateFolder:
    shutil.copytree(healthy, tmp_path / "state")
    return StateFolder(tmp_path / "state")


def wrong(folder: StateFolder) -> list[Finding]:
    return [finding for finding in examine(folder) if finding.serious]


def test_doctor_finds_nothing_in_a_healthy_store(store: StateFolder) -> None:
    """And the doctor leaves it as it is; its exit code tells it from a broken one."""
    before = sorted(path.name for path in store.root.iterdir())
    assert wrong(store) == []
    said = azureml_local("doctor", "--state", str(store.root))
    assert (said.returncode, said.stderr) == (0, "")
    assert said.stdout.splitlines()[-1].startswith("Everything works")
    assert azureml_local("doctor", "--state", str(store.root / "secrets.json")).returncode == 1
    looked_at = {"workspace.sqlite3-wal", "workspace.sqlite3-shm"}  # SQLite's, of whoever looks
    assert [name for name in sorted(path.name for path in store.root.iterdir()) if name not in looked_at] == before


def garbage_page(store: StateFolder) -> None:
    size = store.database.stat().st_size
    with store.database.open("r+b") as file:
        for page in range(2, size // 4096):
            file.seek(page * 4096)
            file.write(b"\xa5" * 4096)


def truncated(store: StateFolder) -> None:
    os.truncate(store.database, store.database.stat().st_size // 2)


def no_database(store: StateFolder) -> None:
    store.database.write_bytes(b"This is no database. " * 500)


def database_gone(store: StateFolder) -> None:
    store.database.unlink()


def log_gone(store: StateFolder) -> None:
    with contextlib.closing(sqlite3.connect(store.database)) as database:
        database.execute("UPDATE experiments SET description = 'x'")
        database.commit()
        shutil.copytree(store.root, store.root.with_name("killed"))
    shutil.rmtree(store.root)
    store.root.with_name("killed").rename(store.root)
    (store.root / "workspace.sqlite3-wal").unlink()


def newer(store: StateFolder) -> None:
    with contextlib.closing(sqlite3.connect(store.database)) as database:
        database.execute("UPDATE store SET value = '99' WHERE key = 'schema_version'")
        database.commit()


def secrets_damaged(store: StateFolder) -> None:
    (store.root / "secrets.json").write_text('{"signing_key": 7')


@pytest.mark.parametrize(
    ("harm", "what", "words"),
    [
        (garbage_page, "database", "damaged"),
        (truncated, "database", "damaged"),
        (no_database, "database", "not a database"),
        (database_gone, "database", "is gone"),
        (log_gone, "database", "held the last changes"),
        (newer, "database", "of format 99"),
        (secrets_damaged, "secrets", "Delete it to have new secrets made"),
    ],
)
def test_doctor_finds_a_broken_store_and_a_start_leaves_it_unchanged(
    store: StateFolder, harm: Callable[[StateFolder], None], what: str, words: str, tmp_path: Path
) -> None:
    harm(store)
    blobs = sorted(path for path in store.blobs.rglob("*"))
    found = wrong(store)
    assert [finding.what for finding in found] == [what]
    assert words in found[0].found
    out = Console(file=io.StringIO(), width=1000)
    assert show(found, out) == 1
    assert found[0].advice.split()[0] in out.file.getvalue().splitlines()[-1]  # type: ignore[attr-defined]
    if harm is not garbage_page:  # SQLite finds that when it reads the page
        with pytest.raises(StateFolderError):
            serve(Settings(store.root, tmp_path / "cache", port=0))
    assert sorted(path for path in store.blobs.rglob("*")) == blobs


def test_damaged_page_and_lost_blob_are_reported_to_the_client(killable: KillableServer) -> None:
    killable.start()
    server = killable.wait()
    client = Client(server)
    prepare(client)
    for number in range(30):
        client.artifact("dcid.x", f"file{number}", os.urandom(5000))
    with contextlib.closing(sqlite3.connect(f"file:{server.folder.database}?mode=ro", uri=True)) as database:
        (file,) = database.execute("SELECT file FROM blobs WHERE name LIKE '%/file7'").fetchone()
    (server.folder.blobs / file).unlink()
    answer = client.http.get(
        f"{HISTORY}/artifacts".replace("/history/v1.0", "/artifact/v2.0") + "/content/ExperimentRun/dcid.x/file7"
    )
    assert (answer.status_code, answer.json()["error"]["code"]) == (410, "BlobContentLost")
    [found] = wrong(server.folder)
    assert "the files of 1 are gone: azureml/ExperimentRun/dcid.x/file7" in found.found

    killable.stop()
    garbage_page(server.folder)
    killable.start()
    if killable.came_up():
        answer = client.http.get(f"{HISTORY}/experiments/{EXPERIMENT}")
        assert (answer.status_code, answer.json()["error"]["code"]) == (500, "StoreDamaged")
        assert "Traceback" not in answer.text


def test_orphans_and_stale_instances_are_noted_and_cleared(store: StateFolder, killable: KillableServer) -> None:
    orphan = killable.folder.blobs / "ab" / ("ab" * 16)
    orphan.parent.mkdir(exist_ok=True)
    orphan.write_bytes(b"half an upload")
    killable.start()
    killable.wait()
    assert not orphan.exists()
    orphan.write_bytes(b"half an upload")
    killable.kill()
    notes = [finding.found for finding in examine(killable.folder)]
    assert any("1 files of no blob" in note for note in notes)
    assert any("was killed" in note for note in notes)


@pytest.mark.parametrize("harm", ["", "no certificate", None])
def test_certificates_are_made_anew_where_they_are_damaged(store: StateFolder, harm: str | None) -> None:
    from azureml_local.server.access.certificates import Certificates

    before = (store.tls / "ca.pem").read_text()
    if harm is None:  # of another store
        Certificates(store.root).ensure()
        shutil.copy(store.root / "server.pem", store.tls / "server.pem")
    else:
        (store.tls / "server.pem").write_text(harm)
    assert any(finding.what == "certificates" and finding.advice for finding in examine(store))
    Certificates(store.tls).ensure()
    assert (store.tls / "ca.pem").read_text() != before
    assert not [finding for finding in examine(store) if finding.what == "certificates" and finding.advice]


@pytest.mark.parametrize(
    ("variables", "noted"),
    [
        ({}, False),
        ({"HTTPS_PROXY": "http://proxy:8080"}, True),
        ({"https_proxy": "http://proxy:8080", "NO_PROXY": "example.com"}, True),
        ({"HTTPS_PROXY": "http://proxy:8080", "no_proxy": "example.com, localhost"}, False),
    ],
)
def test_doctor_notes_a_proxy_that_would_get_local_requests(variables: dict[str, str], noted: bool) -> None:
    [finding] = proxies(variables)
    assert bool(finding.advice) == noted


def test_doctor_reports_a_data_engine_that_does_not_load(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not sdk("Linux", "x86_64").advice
    monkeypatch.setitem(sys.modules, "azureml.dataprep.rslex", None)  # its import fails, as a foreign binary's
    found = sdk("Linux", "x86_64")
    assert found.serious
    assert "doesn't load: import of azureml.dataprep.rslex halted" in found.found


def test_doctor_reports_an_unsupported_platform_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows, and Apple's chips, on which this can't run: only the sentences are shown."""
    assert "WSL 2" in next(finding for finding in python("Windows") if finding.serious).advice
    monkeypatch.setattr("azureml_local.cli.doctor.CLIENT_NEEDS", ("no-such-package",))
    assert "Rosetta" in sdk("Darwin", "arm64").advice
    assert "pip install" in sdk("Linux", "aarch64").advice
