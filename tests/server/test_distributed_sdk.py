"""Jobs of several processes, through the real SDK: what each is told, where it prints, and how they end together."""

from __future__ import annotations

import gc
import json
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

Start = Callable[..., Any]

# The ranks meet as torch's env:// does: the first listens where the others are told to look for it.
MEET = """
import os, socket, time
rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
place = (os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]))
if rank == 0:
    with socket.create_server(place) as server:
        total = 0
        for _ in range(size - 1):
            connection, _ = server.accept()
            total += int(connection.makefile().readline())
    print("the sum is", total)
else:
    while True:
        try:
            connection = socket.create_connection(place)
            break
        except ConnectionRefusedError:
            time.sleep(0.05)
    connection.sendall(b"%d\\n" % rank)
    connection.close()
names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "NODE_RANK")
print("I am", *(os.environ[name] for name in names))
open("outputs/rank-%d" % rank, "w").write("x")
"""

SHOW = """
import os, time
mpi = [os.environ.get("OMPI_COMM_WORLD_" + name) for name in ("RANK", "SIZE", "LOCAL_RANK")]
print(os.environ.get("TF_CONFIG") or mpi, flush=True)
if '"ps"' in os.environ.get("TF_CONFIG", "").partition("task")[2]:
    open("logs/here", "w").close()
    time.sleep(600)
while "TF_CONFIG" in os.environ and not os.path.exists("logs/here"):
    time.sleep(0.05)
"""

ONE_FAILS = """
import os, sys, time
open("logs/pid-" + os.environ["RANK"], "w").write(str(os.getpid()))
if os.environ["RANK"] == "1":
    while not os.path.exists("logs/pid-0"):
        time.sleep(0.05)
    sys.exit(3)
time.sleep(600)
"""

FOREVER = """
import os, time
print("up", os.getpid())
time.sleep(600)
"""


END_TOGETHER = """
import os, time
open("outputs/rank-" + os.environ["RANK"], "w").write("x")
while len(os.listdir("outputs")) < 2:
    time.sleep(0.01)
"""


@pytest.fixture
def start(experiment: Any, compute: Any, here: Any, tmp_path: Path) -> Iterator[Start]:
    """Submit a script with a distributed_job_config; as a command, its processes don't import the SDK."""
    from azureml.core import ScriptRunConfig

    runs = []

    def submit(script: str, how: Any, *, command: bool = False) -> Any:
        folder = tmp_path / "source"
        folder.mkdir(exist_ok=True)
        (folder / "go.py").write_text(script)
        what = {"command": "python go.py"} if command else {"script": "go.py"}
        config = ScriptRunConfig(
            str(folder), compute_target=compute, environment=here, distributed_job_config=how, **what
        )
        runs.append(experiment.submit(config))
        return runs[-1]

    yield submit
    for run in runs:
        if run.get_status() not in ("Completed", "Failed", "Canceled"):
            run.cancel()
    gc.collect()


def log_of(run: Any, rank: int, tmp_path: Path) -> str:
    with suppress(FileNotFoundError):
        (tmp_path / "log").unlink()
    run.download_file(f"user_logs/std_log_process_{rank}.txt", str(tmp_path / "log"))
    return (tmp_path / "log").read_text()


def ended(run: Any, wait_for: Callable[..., Any]) -> str:
    wait_for(lambda: run.get_status() in ("Completed", "Failed", "Canceled"), seconds=150)
    return str(run.get_status())


def test_ranks_that_end_at_the_same_moment_leave_all_their_files(start: Start, wait_for: Callable[..., Any]) -> None:
    from azureml.core.runconfig import PyTorchConfiguration

    run = start(END_TOGETHER, PyTorchConfiguration(process_count=2))
    assert ended(run, wait_for) == "Completed", run.get_details()["error"]
    assert {"outputs/rank-0", "outputs/rank-1"} <= set(run.get_file_names())


@pytest.mark.sdk("PyTorchConfiguration")
def test_pytorch_ranks_meet_and_have_a_log_each(start: Start, wait_for: Callable[..., Any], tmp_path: Path) -> None:
    from azureml.core.runconfig import PyTorchConfiguration

    run = start(MEET, PyTorchConfiguration(process_count=4, node_count=2), command=True)
    assert ended(run, wait_for) == "Completed", run.get_details()
    assert {f"outputs/rank-{rank}" for rank in range(4)} <= set(run.get_file_names())
    assert "user_logs/std_log.txt" not in run.get_file_names()
    texts = [log_of(run, rank, tmp_path) for rank in range(4)]
    assert "the sum is 6" in texts[0]
    for rank, where in enumerate(("0 4 0 2 0", "1 4 1 2 0", "2 4 0 2 1", "3 4 1 2 1")):
        assert f"I am {where}\n" in texts[rank]
        assert texts[rank].count("I am") == 1


@pytest.mark.sdk("MpiConfiguration", "TensorflowConfiguration")
def test_mpi_and_tensorflow_ranks_are_told_who_they_are(
    start: Start, wait_for: Callable[..., Any], tmp_path: Path
) -> None:
    from azureml.core.runconfig import MpiConfiguration, TensorflowConfiguration

    mpi = start(SHOW, MpiConfiguration(process_count_per_node=1, node_count=2), command=True)
    flow = start(SHOW, TensorflowConfiguration(worker_count=2, parameter_server_count=1), command=True)
    assert ended(mpi, wait_for) == "Completed", mpi.get_details()
    assert "['0', '2', '0']" in log_of(mpi, 0, tmp_path)
    assert "['1', '2', '0']" in log_of(mpi, 1, tmp_path)
    # The parameter server, which would go on for ten minutes, ends with the last worker.
    assert ended(flow, wait_for) == "Completed", flow.get_details()
    configs = [
        json.loads(next(line for line in log_of(flow, rank, tmp_path).splitlines() if line.startswith("{")))
        for rank in range(3)
    ]
    assert [tuple(each["task"].values()) for each in configs] == [("worker", 0), ("worker", 1), ("ps", 0)]
    assert configs[0]["cluster"] == configs[2]["cluster"]
    assert len({*configs[0]["cluster"]["worker"], *configs[0]["cluster"]["ps"]}) == 3


def test_one_rank_that_fails_ends_the_others_and_is_the_reason(
    start: Start, wait_for: Callable[..., Any], tmp_path: Path
) -> None:
    from azureml.core.runconfig import PyTorchConfiguration

    run = start(ONE_FAILS, PyTorchConfiguration(process_count=3), command=True)
    assert ended(run, wait_for) == "Failed"
    error = run.get_details()["error"]["error"]
    assert error["code"] == "UserError"
    assert "process 1 (the first that failed" in error["message"]
    assert "exited with status 3" in error["message"]
    assert "std_log_process_1.txt" in error["message"]
    run.download_file("logs/pid-0", str(tmp_path / "pid"))
    assert not Path(f"/proc/{(tmp_path / 'pid').read_text()}").exists()


def test_cancel_ends_all_ranks(start: Start, wait_for: Callable[..., Any], tmp_path: Path) -> None:
    from azureml.core.runconfig import MpiConfiguration

    run = start(FOREVER, MpiConfiguration(process_count_per_node=2), command=True)
    wait_for(lambda: run.get_status() == "Running", seconds=150)
    for rank in range(2):
        wait_for(lambda rank=rank: "up " in log_of(run, rank, tmp_path), seconds=150)
    pids = [int(log_of(run, rank, tmp_path).partition("up ")[2].split()[0]) for rank in range(2)]
    for pid in pids:
        os.kill(pid, 0)
    run.cancel()
    assert ended(run, wait_for) == "Canceled"
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)
