"""Workers, hosts and servers that are lost in the middle of a job: what becomes of the run, and of the process."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from machines.hosts import SLOW, Client, DaskCluster, ImpatientServer, Submitted, far_host

pytestmark = pytest.mark.slow

# Names for processes: nobody else sleeps for so many seconds.
NAPS = {name: f"{86400 + number}.{os.getpid()}" for number, name in enumerate(("cut", "dead", "stop"))}


def asleep(name: str) -> list[psutil.Process]:
    return [p for p in psutil.process_iter(["cmdline"]) if NAPS[name] in (p.info["cmdline"] or ())]


def nap(name: str) -> str:
    return f"import subprocess; print('begun', flush=True); subprocess.run(['sleep', '{NAPS[name]}'])"


def has(run: Submitted, status: str) -> Callable[[], bool]:
    return lambda: run.status == status


WHERE = """
import os
from azureml.core import Run
run = Run.get_context(allow_offline=False)
run.log("network", os.stat("/proc/self/ns/net").st_ino)
run.log("store", len(os.listdir(HIDDEN)))
run.experiment.workspace.get_default_datastore().upload_files(["script.py"], target_path="far", show_progress=False)
os.makedirs("outputs", exist_ok=True)
with open("outputs/model", "wb") as file:
    file.write(bytes(range(256)) * 40000)
"""


@pytest.mark.case("lost-connections", "unruly-jobs")
def test_a_host_that_is_cut_off_in_mid_run(tmp_path: Path, wait_for: Callable[..., Any]) -> None:
    with contextlib.ExitStack() as stack:
        far = stack.enter_context(far_host())
        dask = DaskCluster(tmp_path / "dask", far.here)
        stack.callback(dask.close)
        made = ImpatientServer(tmp_path, dask.address, far.here)
        server = made.start()
        stack.callback(made.stop)
        assert far.here in server.instance.endpoints.api
        client = Client(tmp_path, server)
        stack.callback(client.close)
        dask.worker("far", *far.words(made.folder.root))
        run = client.submit(WHERE.replace("HIDDEN", repr(str(made.folder.root))))
        wait_for(has(run, "Completed"), SLOW)
        metrics = run.metrics()
        assert metrics["network"] != Path("/proc/self/ns/net").stat().st_ino
        assert metrics["store"] == 0  # it sees nothing of this host's disk
        assert run.file("outputs/model") == bytes(range(256)) * 40000

        cut = client.submit(nap("cut"))
        wait_for(lambda: asleep("cut"), SLOW)
        wait_for(has(cut, "Running"), SLOW)
        far.pull_the_cable()
        wait_for(lambda: not asleep("cut"), SLOW)  # ended there, where nobody can tell it to
        wait_for(has(cut, "Failed"), SLOW)
        assert "NodeLost" in cut.error
        assert "the worker far" in cut.error
        assert "Nothing was heard of the worker far" in cut.log()
        # Another worker goes on.
        dask.worker("near")
        after = client.submit("print('after')")
        wait_for(has(after, "Completed"), SLOW)
        assert "the worker near" in after.log()


KEPT = """
import os, time
from azureml.core import Run
run = Run.get_context(allow_offline=False)
print("before", flush=True)
for gate in GATES:
    while not os.path.exists(gate):
        time.sleep(0.1)
    print("between", flush=True)
run.log("after", 1)
print("after", flush=True)
"""


@pytest.mark.case("lost-connections", "unruly-jobs")
def test_workers_and_servers_that_are_killed(tmp_path: Path, wait_for: Callable[..., Any]) -> None:
    with contextlib.ExitStack() as stack:
        dask = DaskCluster(tmp_path / "dask")
        stack.callback(dask.close)
        made = ImpatientServer(tmp_path, dask.address)
        server = made.start()
        stack.callback(made.stop)
        client = Client(tmp_path, server)
        stack.callback(client.close)
        dead = client.submit(nap("dead"))
        wait_for(lambda: server.status()["unfinished"][0]["waiting_for"] == "Waiting for a free worker.", SLOW)
        dask.worker("first")
        wait_for(lambda: asleep("dead"), SLOW)
        wait_for(has(dead, "Running"), SLOW)
        dask.stop("first")
        wait_for(lambda: not asleep("dead"), SLOW)  # its supervisor has ended it
        # The scheduler starts the task anew, on a worker that finds the run taken.
        dask.worker("second")
        wait_for(has(dead, "Failed"), SLOW)
        assert "NodeLost" in dead.error
        assert not asleep("dead")

        # A server that dies, and the next one: the job goes on meanwhile, and what it prints and logs is all there.
        made.stop()
        made.patience = 120
        made.start()
        gates = [tmp_path / "gate 1", tmp_path / "gate 2"]
        kept = client.submit(KEPT.replace("GATES", repr([str(gate) for gate in gates])))
        wait_for(has(kept, "Running"), SLOW)
        made.kill()
        gates[0].touch()
        server = made.start()
        # The worker that is still at it isn't taken for a free one.
        dask.worker("third")
        others = [client.submit("print('beside')") for _ in range(3)]
        for other in others:
            wait_for(has(other, "Completed"), SLOW)
            assert "the worker third" in other.log()
        assert kept.status == "Running"
        gates[1].touch()
        wait_for(has(kept, "Completed"), SLOW)
        printed = kept.file("user_logs/std_log.txt").decode().splitlines()
        assert printed[:4] == ["before", "between", "between", "after"]
        assert kept.metrics() == {"after": 1}
        assert "A new server waits to hear of the worker second" in kept.log()

        dask.stop("third")
        # A server that stops: what runs is cancelled, what waits for a worker goes on waiting.
        running, waiting = client.submit(nap("stop")), client.submit("print('at last')")
        wait_for(lambda: asleep("stop"), SLOW)
        made.stop()
        assert not asleep("stop")
        server = made.start()
        assert running.status == "Canceled"
        wait_for(has(waiting, "Completed"), SLOW)
        assert "at last" in waiting.file("user_logs/std_log.txt").decode()
