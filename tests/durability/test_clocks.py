"""The clock is set while a server, its clients and its jobs are at work: by seconds and by days, both ways."""

from __future__ import annotations

import json
import os
import signal
import ssl
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from azureml_local import processes
from azureml_local.client.instance import LocalServer
from azureml_local.names import DEFAULT_NAME
from azureml_local.processes import identity_of
from azureml_local.server.access import certificates as tls
from azureml_local.server.access.certificates import Certificates
from azureml_local.storage.clock import elapsed, text_of
from azureml_local.storage.folder import StateFolder
from azureml_local.workspace import Workspace
from azureml_local.workspace.housekeeping import clean

# A start-up hook of a server: its wall clock, and the boot time that psutil counts from, are off by what a file says.
HOOK = """
import datetime, os, pathlib, sys, time
def off(file=pathlib.Path(os.environ.get("TEST_CLOCK", "/nowhere"))):
    try:
        return float(file.read_text() or 0)
    except (OSError, ValueError):
        return 0.0
if "azureml_local" in sys.orig_argv:
    real, Real = time.time, datetime.datetime
    class Moved(Real):
        @classmethod
        def now(cls, tz=None):
            return cls.fromtimestamp(time.time(), tz)
    time.time = lambda: real() + off()
    datetime.datetime = Moved
    import psutil
    booted = psutil._psplatform.boot_time
    psutil._psplatform.boot_time = lambda: booted() + off()
"""

JOB = """
import pathlib, sys, time
from azureml.core import Run
run = Run.get_context(allow_offline=False)
stop, number = pathlib.Path(sys.argv[1]), 0
while not stop.exists():
    run.log("n", number)
    run.flush()
    number += 1
    time.sleep(0.1)
run.log("last", number)
"""

CLIENT = """
import pathlib, sys, time
from azureml.core import Environment, Experiment, ScriptRunConfig, Workspace
from azureml.core.compute import AmlCompute, ComputeTarget
clock, folder, names, steps = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), sys.argv[3:6], sys.argv[6:]
workspace = Workspace(*names)
options = AmlCompute.provisioning_configuration(vm_size="STANDARD_D2_V2", max_nodes=1)
target = ComputeTarget.create(workspace, "cpu", options)
here = Environment("here")
here.python.user_managed_dependencies = True
experiment = Experiment(workspace, "clocks")
script = ScriptRunConfig(str(folder / "source"), script="job.py", arguments=[str(folder / "stop")],
                         compute_target=target, environment=here)
job = experiment.submit(script)

def more():
    def count():
        found = job.get_metrics("n").get("n", [])
        return len(found) if isinstance(found, list) else 1
    before, end = count(), time.monotonic() + 60
    while count() < before + 2:
        assert job.get_status() in ("NotStarted", "Queued", "Preparing", "Starting", "Running"), job.get_details()
        assert time.monotonic() < end, "nothing more is logged"
        time.sleep(0.2)

more()
for step in steps:
    clock.write_text(step)
    more()
    run = experiment.start_logging(snapshot_directory=None)
    run.log("step", float(step))
    run.upload_file("outputs/step", __file__)
    run.complete()
    details = run.get_details()
    assert details["startTimeUtc"] < details["endTimeUtc"], details
    assert run.get_metrics() == {"step": float(step)}
    run.download_file("outputs/step", str(folder / "step"))
print("stepped", flush=True)
sys.stdin.readline()
more()
(folder / "stop").touch()
job.wait_for_completion()
values = job.get_metrics()
assert values["n"] == list(range(values["last"])), values
assert job.get_details()["startTimeUtc"] < job.get_details()["endTimeUtc"]
assert [run.type for run in experiment.get_runs()][-1] == "azureml.scriptrun"
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StateFolder:
    (tmp_path / "hook").mkdir()
    (tmp_path / "hook" / "sitecustomize.py").write_text(HOOK)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "hook"))
    monkeypatch.setenv("TEST_CLOCK", str(tmp_path / "clock"))
    return StateFolder(tmp_path / "state")


@pytest.mark.slow
@pytest.mark.case("lost-connections")
def test_clients_and_jobs_go_on_when_the_clock_steps(folder: StateFolder, tmp_path: Path) -> None:
    days = 24 * 3600
    server = LocalServer.start(folder, "--port", "0", "--environments", "host")
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "job.py").write_text(JOB)
    (tmp_path / "client.py").write_text(CLIENT)
    steps = [-120, 0, 3 * days, -3 * days, 400 * days, -400 * days]
    names = DEFAULT_NAME.subscription_id, DEFAULT_NAME.resource_group, DEFAULT_NAME.name
    words = [sys.executable, "-W", "ignore", tmp_path / "client.py", tmp_path / "clock", tmp_path, *names]
    client = subprocess.Popen(
        [*map(str, [*words, *steps])],
        env={**os.environ, **server.variables()},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with client:
        try:
            assert client.stdout is not None
            assert client.stdout.readline() == "stepped\n"
            # Another server, to which the machine and all that runs on it began at another time.
            os.kill(server.instance.pid, signal.SIGKILL)
            assert server._child is not None
            server._child.wait()
            (tmp_path / "clock").write_text("2")
            server = LocalServer.start(folder, "--environments", "host")
            client.communicate("go on\n", timeout=120)
            assert client.returncode == 0
        finally:
            (tmp_path / "stop").touch()
            client.kill()
            server.stop()


def test_an_upload_goes_on_after_a_step_of_days_and_a_new_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = StateFolder(tmp_path / "state")
    folder.create()
    workspace = Workspace(folder)
    clean(workspace)
    with workspace.blobs.writer() as writer:
        writer.write(b"half")
        workspace.blobs.stage_block("c", "big", "one", writer.finish())
    for days in (30, 60, -30):
        monkeypatch.setattr("azureml_local.storage.clock.time.time", lambda days=days: 1.8e9 + days * 24 * 3600)
        clean(workspace)
    assert workspace.blobs.commit_blocks("c", "big", [("Latest", "one")]).size == 4
    workspace.close()


@pytest.fixture
def wall_clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Sets the clock of this process, in seconds since 1970."""

    def step(to: float) -> None:
        began = elapsed()
        monkeypatch.setattr("azureml_local.storage.clock.time.time", lambda: to + elapsed() - began)

    return step


def test_a_blob_changed_after_a_step_back_has_another_time(
    tmp_path: Path, wall_clock: Callable[[float], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = StateFolder(tmp_path / "state")
    folder.create()
    workspace = Workspace(folder)
    seen = []
    for seconds in (0, -2, -86_400, -2):
        wall_clock(1.9e9 + seconds)
        blob = workspace.blobs.put_bytes("c", "n", b"x")
        seen.append((blob.modified, blob.etag, workspace.experiments.get_or_create(f"e{len(seen)}").created))
    assert [time for time, _, _ in seen] == sorted({time for time, _, _ in seen})
    assert len({etag for _, etag, _ in seen}) == 4
    # The times that are wrong now would be those of the whole test process.
    monkeypatch.setattr("azureml_local.storage.clock._ahead", 0.0)
    monkeypatch.setattr("azureml_local.storage.clock._last", 0)
    workspace.close()


def test_experiments_are_in_the_order_of_their_making_after_a_step_between_two_servers(tmp_path: Path) -> None:
    from azureml_local.storage.tables import Experiment

    folder = StateFolder(tmp_path / "state")
    folder.create()
    workspace = Workspace(folder)
    for name in ("first", "second", "third"):
        made = workspace.experiments.get_or_create(name)
        if name == "first":
            with workspace.database.write() as session:
                row = session.get(Experiment, made.id)
                assert row is not None
                row.created = text_of(tls.datetime.datetime(2099, 1, 1))
    assert [each.name for each in workspace.experiments.list()] == ["third", "second", "first"]
    page = workspace.experiments.page(None, archived=False, top=2)
    assert [each.name for each in page.items] == ["third", "second"]
    assert [e.name for e in workspace.experiments.page(None, archived=False, after=page.next).items] == ["first"]
    workspace.close()


def handshake(server: ssl.SSLContext, ca: Path) -> dict[str, Any]:
    """The certificate that a client with this CA accepts."""
    client = ssl.create_default_context(cafile=str(ca))
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    one = client.wrap_bio(to_client, to_server, server_hostname="localhost")
    other = server.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(10):
        for side in (one, other):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    return dict(one.getpeercert() or {})


def test_certificate_that_runs_out_is_renewed_by_a_running_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(tls, "LIFETIME", tls.RENEW_BEFORE * 0.9)
        certificates = Certificates(tmp_path, None)
        context = certificates.context()
        old = certificates.ca.read_bytes()
        patch.undo()
        found = handshake(context, certificates.ca) if certificates.are_good() else None
    assert found is None
    with pytest.raises(ssl.SSLCertVerificationError):  # the first one only has the new one made
        handshake(context, certificates.ca)
    assert handshake(context, certificates.ca)["notBefore"].endswith("2020 GMT")
    assert certificates.ca.read_bytes() != old
    assert certificates.are_good()
    assert (tmp_path / "trusted.pem").read_bytes().endswith(certificates.ca.read_bytes())


def test_server_file_with_another_processs_number_is_no_server(folder: StateFolder) -> None:
    """Of a killed server; the number is that of a process that has the words of one in its command line."""
    server = LocalServer.start(folder, "--port", "0", "--environments", "host")
    known = json.loads(folder.instance.read_text())
    os.kill(server.instance.pid, signal.SIGKILL)
    assert server._child is not None
    server._child.wait()
    words = ["-c", "import time; time.sleep(600)", "azureml_local", "serve", "--state", str(folder.root)]
    with subprocess.Popen([sys.executable, *words]) as other:
        try:
            folder.instance.write_text(json.dumps({**known, "pid": other.pid}))
            assert identity_of(other.pid) != known["identity"]
            assert LocalServer.find(folder) is None
            server.stop()
            command = [sys.executable, "-m", "azureml_local"]
            down = subprocess.run([*command, "down", "--state", str(folder.root)], capture_output=True, text=True)
            assert other.poll() is None, down.stdout
            again = LocalServer.start(folder, "--environments", "host")
            assert LocalServer.find(folder) is not None
            again.stop()
            assert other.poll() is None
        finally:
            other.kill()


def test_identity_of_a_process_that_has_ended_is_none() -> None:
    with subprocess.Popen(["true"]) as child:
        identity = identity_of(child.pid)
        assert identity is not None
        child.wait()
    assert identity_of(child.pid) is None
    assert processes.find(child.pid, identity) is None
    own = identity_of(os.getpid())
    assert own is not None
    assert processes.find(os.getpid(), own) is not None
    assert processes.find(os.getpid(), identity) is None
