"""A dataset's files, which jobs share, outlive a server for the jobs that it leaves behind, and no longer."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from machines.hosts import Client

from azureml_local.cli.backup import DATABASE, MANIFEST, SECRETS, backup
from azureml_local.cli.doctor import examine
from tests.durability.servers import KillableServer

SCRIPT = """
import sys, time
from pathlib import Path
from azureml.core import Run
Path({begun!r}).touch()
while not Path({gate!r}).exists():
    time.sleep(0.1)
Run.get_context().log("text", (Path(sys.argv[1]) / "data.txt").read_text())
"""


@pytest.mark.slow
def test_a_killed_servers_job_keeps_what_it_reads(
    killable: KillableServer, tmp_path: Path, wait_for: Callable[..., Any]
) -> None:
    begun, gate = tmp_path / "begun", tmp_path / "gate"
    killable.start()
    client = Client(tmp_path, killable.wait())
    run = client.submit(SCRIPT.format(begun=str(begun), gate=str(gate)), "as it was")
    wait_for(begun.exists, 60)
    (lock,) = killable.folder.datasets.glob("*.lock")

    def restart_much_later() -> None:
        killable.kill()
        os.utime(lock, (0, 0))
        killable.start()
        killable.wait()

    restart_much_later()
    assert lock.with_suffix("").is_dir()
    # Nothing of it is kept for ever, and nothing of it is wrong.
    backup(killable.folder, tmp_path / "backup.tar.gz")
    with tarfile.open(tmp_path / "backup.tar.gz") as archive:
        assert {name.split("/")[0] for name in archive.getnames()} == {MANIFEST, DATABASE, SECRETS, "blobs"}
    findings = examine(killable.folder)
    assert [f.found.split(",")[0] for f in findings if f.what == "shared datasets"] == ["1 with 9 bytes"]
    assert not [finding for finding in findings if finding.advice and finding.what in ("blobs", "state folder")]
    gate.touch()
    wait_for(lambda: run.status in ("Completed", "Failed"), 60)
    assert (run.status, run.metrics()) == ("Completed", {"text": "as it was"})
    restart_much_later()
    assert not list(killable.folder.datasets.iterdir())
    client.close()
