"""A sweep outlives its server: runs are taken up, and those that are still to come are what they would have been."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from azureml_local.cluster.orchestration.sampling import Sampler
from azureml_local.names import DEFAULT_NAME
from azureml_local.server.dataplane.sweepconfiguration import parse_sweep
from tests.durability.servers import KillableServer
from tests.durability.workload import COMPUTE, HERE, HISTORY, Client, prepare

HYPERDRIVE = f"/hyperdrive/v1.0{DEFAULT_NAME.arm_id}/experiments/sweeping"
SNAPSHOT = "00000000-0000-4000-8000-000000000001"


@pytest.mark.slow
def test_a_sweep_goes_on_after_a_crash(killable: KillableServer, tmp_path: Path, wait_for: Callable[..., Any]) -> None:
    evidence = tmp_path / "evidence"
    evidence.touch()
    killable.start()
    client = Client(killable.wait())
    prepare(client)
    tree = {"name": "", "type": "Directory", "hash": "", "children": {}}
    body = {"DirTreeNode": tree, "FileRevisionList": {"FileNodes": []}}
    client.ask("POST", f"/content/v2.0{DEFAULT_NAME.arm_id}/snapshots/{SNAPSHOT}", json=body)
    job = {"target": COMPUTE, "command": f"echo $AZUREML_RUN_ID >>{evidence}; sleep 1; true", "environment": HERE}
    config = {
        "generator_config": {
            "name": "RANDOM",
            "parameter_space": {"x": ["uniform", [0, 1]]},
            "properties": {"seed": 11},
        },
        "primary_metric_config": {"name": "score", "goal": "MAXIMIZE"},
        "policy_config": {"name": "Default"},
        "platform_config": {"Definition": {"Overrides": job, "SnapshotId": SNAPSHOT}},
        "max_total_jobs": 10,
        "max_concurrent_jobs": 2,
    }
    files = {"config": ("config.json", json.dumps(config))}
    parent = client.ask("POST", f"{HYPERDRIVE}/runs", files=files)["result"]["platform_config"]["ParentRunId"]
    for begun in (2, 5):
        wait_for(lambda begun=begun: len(evidence.read_text().split()) >= begun, 60)
        killable.kill()
        killable.start()
        client = Client(killable.wait())
    run = f"{HISTORY}/runs/{parent}"
    wait_for(lambda: client.ask("GET", run)["status"] == "Completed", 60)
    children = {child["runId"]: child for child in client.ask("GET", f"{run}/children")["value"]}
    assert set(children) == {f"{parent}_{number}" for number in range(10)}
    assert {child["status"] for child in children.values()} == {"Completed"}
    # Each began once, and none was tried again.
    assert sorted(evidence.read_text().split()) == sorted(children)
    sampler = Sampler(parse_sweep(config), 11)
    for number in range(10):
        sample = json.loads(children[f"{parent}_{number}"]["tags"]["hyperparameters"])
        assert sample == sampler.take(number, lambda: [])
    killable.stop()
