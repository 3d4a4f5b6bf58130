"""The end of a run where the store has no room, or isn't there any more: nothing is lost in silence, nothing hangs."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.durability.servers import KillableServer
from tests.durability.workload import EXECUTION, HERE, HISTORY, METRICS, Client, prepare

FINAL = ("Completed", "Failed", "Canceled")
EMPTY = "00000000-0000-0000-0000-000000000000"
WaitFor = Callable[..., Any]


@pytest.fixture(params=["size=24m", "size=24m,nr_inodes=400"], ids=["bytes", "inodes"])
def disk(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A small disk, where root may mount one; tests that need it skip elsewhere."""
    disk = tmp_path / "disk"
    disk.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", request.param, "none", str(disk)]
    if sys.platform != "linux" or os.geteuid() != 0 or subprocess.run(words, capture_output=True).returncode:
        pytest.skip("only root mounts a small disk")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


@pytest.fixture
def server(disk: Path) -> Iterator[KillableServer]:
    made = KillableServer(disk)
    yield made
    made.close()


def take_all_names(folder: Path) -> None:
    """Make files until there is no inode for another one, if the disk has few."""
    folder.mkdir()
    with contextlib.suppress(OSError):
        for number in range(10_000 if os.statvfs(folder).f_favail < 10_000 else 1):
            (folder / str(number)).touch()


def fill(folder: Path) -> None:
    """Take what room is left, of bytes and of inodes."""
    take_all_names(folder)
    with contextlib.suppress(OSError), (folder / "0").open("wb", buffering=0) as file:
        while file.write(bytes(4096)):
            pass


def fill_log(client: Client, run_id: str) -> None:
    """The database's log never gets shorter: write until there is no room in it either."""
    for number in range(300):
        value = {"metricId": str(number), "data": {"x": "y" * 20_000}}
        batch = {"name": "x", "columns": {"x": "string"}, "value": [value], "properties": {}}
        if client.http.post(f"{METRICS}/{run_id}/batch", json={"values": [batch]}).status_code != 200:
            return
    raise AssertionError("the disk isn't full")


def submit(client: Client, run_id: str, command: str) -> str:
    configuration = {"target": "one", "command": command, "environment": HERE}
    body = {"Configuration": configuration, "SnapshotId": EMPTY}
    client.ask("POST", EXECUTION, params={"runId": run_id}, json=body)
    return run_id


def one_node(client: Client) -> None:
    arm = HISTORY.removeprefix("/history/v1.0")
    scale = {"minNodeCount": 0, "maxNodeCount": 1, "nodeIdleTimeBeforeScaleDown": "PT120S"}
    properties = {"vmSize": "STANDARD_D2_V2", "scaleSettings": scale}
    body = {"location": "local", "properties": {"computeType": "AmlCompute", "properties": properties}}
    client.ask("PUT", f"{arm}/computes/one", json=body)


def details(client: Client, run_id: str) -> dict[str, Any]:
    found: dict[str, Any] = client.ask("GET", f"{HISTORY}/runs/{run_id}/details")
    return found


@pytest.mark.slow
def test_outputs_that_the_store_has_no_room_for_fail_the_run_and_stay(
    server: KillableServer, disk: Path, wait_for: WaitFor
) -> None:
    server.start()
    client = Client(server.wait())
    prepare(client)
    one_node(client)
    (disk / "ready").touch()
    run = submit(
        client,
        "large",
        f"mkdir -p outputs; echo small > outputs/small; until test -e {disk}/go; do sleep 0.05; done; "
        f"head -c 9000000 /dev/urandom > outputs/large; until test -s {disk}/ready; do sleep 0.05; done",
    )
    wait_for(lambda: details(client, run)["status"] == "Running", 60)
    if os.statvfs(disk).f_favail > 10_000:
        (disk / "filler").write_bytes(bytes(shutil.disk_usage(disk).free - 12_000_000))
        (disk / "go").touch()
        wait_for(lambda: any(file.stat().st_size == 9_000_000 for file in server.folder.runs.rglob("large")))
    else:
        # Room for what the job writes, and then for no other file.
        (disk / "go").touch()
        wait_for(lambda: any(file.stat().st_size == 9_000_000 for file in server.folder.runs.rglob("large")))
        take_all_names(disk / "filler")
    (disk / "ready").write_text("full")
    wait_for(lambda: details(client, run)["status"] in FINAL, 90)
    ended = details(client, run)
    assert ended["status"] == "Failed"
    message = ended["error"]["error"]["message"]
    assert "'outputs/large'" in message
    assert "Make room" in message
    left = server.folder.runs / run
    assert str(left) in message
    server.stop()
    server.start()
    server.wait()
    assert (left / "wd" / "outputs" / "large").stat().st_size == 9_000_000


@pytest.mark.slow
def test_run_that_ends_on_a_full_disk_ends_when_there_is_room(
    server: KillableServer, disk: Path, wait_for: WaitFor
) -> None:
    """And it holds neither its node nor those behind it."""
    server.start()
    client = Client(server.wait())
    prepare(client)
    one_node(client)
    gate = disk / "gate"
    gate.mkdir()
    first = submit(client, "first", f"mkdir -p outputs; echo x > outputs/x; while test -d {gate}; do sleep 0.05; done")
    wait_for(lambda: details(client, first)["status"] == "Running", 60)
    second = submit(client, "second", "echo second")
    wait_for(lambda: details(client, second)["status"] == "Queued")
    fill(disk / "filler")
    fill_log(client, "first")
    gate.rmdir()
    marked = str(server.folder.runs / first)
    wait_for(lambda: not [p for p in psutil.process_iter() if marked in _marker(p)], 60)
    assert details(client, first)["status"] == "Running"
    shutil.rmtree(disk / "filler")
    wait_for(lambda: {details(client, run)["status"] for run in (first, second)} <= {*FINAL}, 90)
    assert details(client, first)["status"] == "Completed"
    third = submit(client, "third", "echo third")
    wait_for(lambda: details(client, third)["status"] == "Completed", 60)


def _marker(process: psutil.Process) -> str:
    with contextlib.suppress(psutil.Error, OSError):
        return process.environ().get("AZUREML_LOCAL_JOB", "")
    return ""


def test_server_whose_state_folder_is_removed_ends_and_says_so(killable: KillableServer) -> None:
    killable.start()
    client = Client(killable.wait())
    prepare(client)
    one_node(client)
    run = submit(client, "orphan", "sleep 600")
    deadline = time.monotonic() + 60
    while details(client, run)["status"] != "Running":
        assert time.monotonic() < deadline
        time.sleep(0.1)
    marked = str(killable.folder.runs / run)
    shutil.rmtree(killable.folder.root)
    answer = client.http.post(f"{HISTORY}/experiments/late")
    assert (answer.status_code, answer.json()["error"]["code"]) == (410, "StateFolderGone")
    deadline = time.monotonic() + 60
    while psutil.pid_exists(killable.pid):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert "was removed or moved while the server ran" in killable.log.read_text()
    assert not [p for p in psutil.process_iter() if marked in _marker(p)]
