"""Execution of a run's job on a worker of a Dask cluster. The worker needs azureml-local of the server's version, and
Python with the SDK where jobs read datasets; nothing of the server's disk.
"""

from __future__ import annotations

import os
import socket
import tempfile
import time
import uuid
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from azureml_local import __version__
from azureml_local.cluster.remote.reporter import Dismissed, Refused, RemoteReporter, Server, Unreachable
from azureml_local.runtime.environments import EnvironmentBuilder
from azureml_local.runtime.faults import FaultKind
from azureml_local.runtime.inputs import Inputs
from azureml_local.runtime.jobrunner import JobRunner, Task, guarded
from azureml_local.runtime.left import Left, left_in, open_up
from azureml_local.runtime.outputs import COLLECTED, OutputFolders
from azureml_local.runtime.shared import SharedFolders
from azureml_local.storage import short_folders
from azureml_local.storage.folder import cache_folder
from azureml_local.storage.trees import remove_tree
from azureml_local.trust import trusting
from azureml_local.workspace.jobs import JobSpec
from azureml_local.workspace.snapshots import safe_path

CLAIM_SECONDS = 15.0
RETRY_SECONDS = 0.5


class CantRun(Exception):
    """This worker can't run the job; the message becomes the run's error."""


def perform(order: Mapping[str, str], name: str, scratch: str) -> None:
    """Run a job, from its claim to its end. ``name`` is the worker's, ``scratch`` a folder of its own.

    Raises:
        CantRun: another version of azureml-local, or a server that can't be reached from here.
    """
    if order["version"] != __version__:
        raise CantRun(
            f"the worker {name} has azureml-local {__version__}, the server {order['version']}. Install the same one."
        )
    folder = Path(tempfile.mkdtemp(prefix="azureml-local-", dir=scratch))
    try:
        trust = trusting(folder, order["certificate"].encode(), os.environ.get("SSL_CERT_FILE"))
        server = Server(order, uuid.uuid4().hex, trust.bundle)
        try:
            task = _claim(server, order, name)
            if task is not None:
                task["variables"] = {**task["variables"], **trust.variables()}
                _work(server, task, folder)
        finally:
            server.close()
    finally:
        short_folders.remove(folder)
        remove_tree(folder)


def _claim(server: Server, order: Mapping[str, str], name: str) -> dict[str, Any] | None:
    """Claim the run and get its task; None when the run is no longer available."""
    deadline = time.monotonic() + CLAIM_SECONDS
    while True:
        try:
            return server.ask("claim", worker=f"{name} on {socket.gethostname()}")
        except Dismissed:
            return None
        except (Unreachable, Refused) as error:
            if time.monotonic() > deadline or isinstance(error, Refused):
                raise CantRun(
                    f"the worker {name} on {socket.gethostname()} can't reach the workspace at {order['server']}: "
                    f"{error}. On another machine than the server's, the server needs --host."
                ) from error
        time.sleep(RETRY_SECONDS)


def _work(server: Server, task: Mapping[str, Any], folder: Path) -> None:
    home = RemoteReporter(server, task, folder)
    ran = False

    def steps() -> None:
        nonlocal ran
        working = folder / "wd"
        spec = JobSpec.from_json(task["spec"])
        assignment = JobRunner(
            home,
            Task(spec, task["variables"], task["flows"], home.fingerprints, folder, working),
            builder=EnvironmentBuilder(cache_folder() / "environments", host=task["host"]),
            inputs=Inputs(SharedFolders(cache_folder() / "datasets"), None),
            write_files=lambda: home.say(f"Snapshot: {_unpack(server, task['zip'], folder, working)} files."),
            lease=task["cut_off"],
        )
        ran = assignment.run()
        if ran and not home.meets(FaultKind.NODE_LOST):
            home.bring(_left(spec, folder, working))

    try:
        guarded(home, steps)
    finally:
        home.finish(ran=ran)


def _unpack(server: Server, url: str, folder: Path, working: Path) -> int:
    archive = folder / "snapshot.zip"
    server.fetch(url, archive)
    working.mkdir()
    with zipfile.ZipFile(archive) as file:
        names = [info for info in file.infolist() if not info.is_dir()]
        for info in file.infolist():
            target = working / safe_path(info.filename.rstrip("/"))
            if info.is_dir():
                target.mkdir(parents=True, exist_ok=True)
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            with file.open(info) as source, target.open("wb") as copy:
                while data := source.read(1 << 20):
                    copy.write(data)
    archive.unlink()
    return len(names)


def _left(spec: JobSpec, folder: Path, working: Path) -> Left:
    """What is brought: the files of ``outputs`` and ``logs``, and of the output datasets, by their places in the run's
    folder on the server.
    """
    found = Left()
    open_up(folder)
    for name in COLLECTED:
        found.add("wd/", left_in(working, name))
    outputs = OutputFolders(spec.outputs, folder, working)
    for each in spec.outputs:
        found.add("", outputs.left(each, f"output-data/{each.name}"))
    return found
