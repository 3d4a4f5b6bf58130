"""What each rank of a distributed job is told, and where it prints to.

The variables are those that Azure sets for each framework (learn.microsoft.com, "Distributed GPU training guide"):
torch's env:// rendezvous, Open MPI's, and TensorFlow's ``TF_CONFIG``. All nodes are this machine.
"""

from __future__ import annotations

import contextlib
import json
import socket
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from azureml_local.runtime import ranks
from azureml_local.runtime.logs import rank_log
from azureml_local.workspace.jobs import Distribution

HOST = "127.0.0.1"
# Which rank a process is, for what is around its script (job.py).
RANK_VARIABLE = "AZUREML_LOCAL_RANK"
PLAN, FAILED = "ranks.json", "failed_rank"


def rank_variables(spec: Distribution) -> list[dict[str, str]]:
    """The variables of each rank, in the order of their numbers; free ports of this machine are in them."""
    each = _tensorflow(spec) if spec.framework == "tensorflow" else _ranks(spec)
    return [{**variables, RANK_VARIABLE: str(number)} for number, variables in enumerate(each)]


def _ranks(spec: Distribution) -> list[dict[str, str]]:
    """Torch's and Open MPI's: both are given to both, as scripts under MPI start torch too."""
    [port] = _free_ports(1)
    size, on_node = spec.workers, spec.workers // spec.nodes
    found = []
    for rank in range(size):
        node, local = divmod(rank, on_node)
        variables = {
            "MASTER_ADDR": HOST,
            "MASTER_PORT": str(port),
            "AZ_BATCH_MASTER_NODE": f"{HOST}:{port}",
            "AZ_BATCHAI_MPI_MASTER_NODE": HOST,
        }
        if spec.framework == "mpi":
            variables |= {
                "OMPI_COMM_WORLD_RANK": str(rank),
                "OMPI_COMM_WORLD_SIZE": str(size),
                "OMPI_COMM_WORLD_LOCAL_RANK": str(local),
                "OMPI_COMM_WORLD_LOCAL_SIZE": str(on_node),
                "OMPI_COMM_WORLD_NODE_RANK": str(local),
                "OMPI_UNIVERSE_SIZE": str(size),
            }
        else:
            variables |= {
                "RANK": str(rank),
                "WORLD_SIZE": str(size),
                "LOCAL_RANK": str(local),
                "LOCAL_WORLD_SIZE": str(on_node),
                "NODE_RANK": str(node),
            }
        found.append(variables)
    return found


def _tensorflow(spec: Distribution) -> list[dict[str, str]]:
    addresses = [f"{HOST}:{port}" for port in _free_ports(spec.workers + spec.servers)]
    cluster = {"worker": addresses[: spec.workers]}
    if spec.servers:
        cluster["ps"] = addresses[spec.workers :]
    tasks = [("worker", number) for number in range(spec.workers)] + [("ps", number) for number in range(spec.servers)]
    return [
        {"TF_CONFIG": json.dumps({"cluster": cluster, "task": {"type": kind, "index": index}, "environment": "cloud"})}
        for kind, index in tasks
    ]


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind((HOST, 0))
        return [each.getsockname()[1] for each in sockets]


def write_plan(spec: Distribution, argv: Sequence[str], folder: Path, open_log: Callable[[str], Path]) -> list[str]:
    """Write down what is to be started, for `ranks`, in the run's folder. Returns the program that starts it.

    The first rank prints to where that program itself does.
    """
    each = rank_variables(spec)
    (folder / FAILED).unlink(missing_ok=True)
    plan = {
        "argv": list(argv),
        "failed": str(folder / FAILED),
        "ranks": [
            {
                "variables": variables,
                "log": str(open_log(rank_log(number))) if number else None,
                "serves": number >= spec.workers,
            }
            for number, variables in enumerate(each)
        ],
    }
    path = folder / PLAN
    path.touch(mode=0o600)
    path.write_text(json.dumps(plan), encoding="utf-8")
    return [sys.executable, "-I", "-S", ranks.__file__, str(path)]
