"""A pipeline outlives its server: each step runs once, and gets what the one before it has made."""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from azureml_local.names import DEFAULT_NAME
from tests.durability.servers import KillableServer
from tests.durability.workload import COMPUTE, HERE, HISTORY, Client, prepare

PIPELINES = f"/pipelines/v1.0{DEFAULT_NAME.arm_id}"
SNAPSHOT = "00000000-0000-4000-8000-000000000001"


def make_snapshot(client: Client) -> None:
    tree = {"name": "", "type": "Directory", "hash": "", "children": {}}
    body = {"DirTreeNode": tree, "FileRevisionList": {"FileNodes": []}}
    client.ask("POST", f"/content/v2.0{DEFAULT_NAME.arm_id}/snapshots/{SNAPSHOT}", json=body)


def module(client: Client, name: str, ins: list[str], outs: list[str], **more: Any) -> str:
    interface = {
        "Inputs": [{"Name": each, "DataStoreMode": "mount", "DataTypeIdsList": ["AnyFile"]} for each in ins],
        "Outputs": [{"Name": each, "DataStoreMode": "mount", "DataTypeId": "AnyFile"} for each in outs],
        "Parameters": [{"Name": "Target", "DefaultValue": COMPUTE}, {"Name": "Command", "DefaultValue": ""}],
    }
    body = {"Name": name, "ModuleExecutionType": "escloud", "StorageId": SNAPSHOT, "StructuredInterface": interface}
    body.update(more)
    return str(client.ask("POST", f"{PIPELINES}/Modules", json=body)["Id"])


@pytest.mark.slow
@pytest.mark.parametrize("end", ["kill", "stop"])
def test_a_pipeline_goes_on_after_a_crash_and_after_the_servers_end(
    killable: KillableServer, tmp_path: Path, wait_for: Callable[..., Any], end: str
) -> None:
    evidence = tmp_path / "evidence"
    evidence.touch()
    killable.start()
    client = Client(killable.wait())
    prepare(client)
    make_snapshot(client)
    nodes, edges = [], []
    for number in range(4):
        ins, outs = ["given"] if number else [], [f"made{number}"]
        seen = "cat $given; " if number else ""
        command = f"{seen}echo $AZUREML_RUN_ID >>{evidence}; sleep 1; echo {number} >$made{number}"
        if number:
            command = f"grep -qx {number - 1} $given && {{ {command}; }}"
        parameters = [{"Name": "Command", "Value": command, "ValueType": "0"}]
        nodes.append(
            {
                "Id": f"node{number}",
                "ModuleId": module(client, f"step{number}", ins, outs),
                "ModuleParameters": parameters,
                "Runconfig": json.dumps({"environment": HERE}),
            }
        )
        if number:
            source = {"NodeId": f"node{number - 1}", "PortName": f"made{number - 1}"}
            to = {"NodeId": f"node{number}", "PortName": "given"}
            edges.append({"SourceOutputPort": source, "DestinationInputPort": to})
    sent = {"Graph": {"ModuleNodes": nodes, "Edges": edges}, "GraphInterface": {}, "CreationInfo": {"RunType": "SDK"}}
    create = f"{PIPELINES}/PipelineRuns/Unsubmitted/CreationInfoWithGraph?experimentName=pipelines"
    run_id = client.ask("POST", create, json=sent)["Id"]
    client.ask("POST", f"{PIPELINES}/PipelineRuns/Submit/{run_id}")
    for begun in (1, 3):
        wait_for(lambda begun=begun: len(evidence.read_text().split()) >= begun, 60)
        getattr(killable, end)()
        killable.start()
        client = Client(killable.wait())
    run = f"{HISTORY}/runs/{run_id}"
    wait_for(lambda: client.ask("GET", run)["status"] not in ("NotStarted", "Queued", "Running"), 120)
    assert client.ask("GET", run)["status"] == "Completed", client.ask("GET", run)["error"]
    children = client.ask("GET", f"{run}/children")["value"]
    done = [child for child in children if child["status"] == "Completed"]
    assert sorted(child["name"] for child in done) == ["step0", "step1", "step2", "step3"]
    # Those that the end of the server cut short were started again.
    cut = [child for child in children if child["status"] == "Canceled"]
    assert len(done) + len(cut) == len(children)
    assert len(cut) == (2 if end == "stop" else 0)
    # Each began once, and none was tried again.
    assert sorted(evidence.read_text().split()) == sorted(child["runId"] for child in children)
    killable.stop()


SWEEP = {
    "generator_config": {"name": "GRID", "parameter_space": {"x": ["choice", [[1, 2]]]}, "properties": {}},
    "primary_metric_config": {"name": "score", "goal": "MAXIMIZE"},
    "policy_config": {"name": "Default"},
    "max_total_jobs": 2,
    "max_concurrent_jobs": 2,
}


def chain(client: Client, evidence: Path, number: int) -> dict[str, Any]:
    """A graph: a step that may be reused, a sweep after it, and a step after that."""

    def command(seconds: float) -> str:
        told = f"echo begin $AZUREML_RUN_ID >>{evidence}; sleep {seconds}; echo end $AZUREML_RUN_ID >>{evidence}"
        return f"{told}; : #"  # a trial's hyperparameters stand behind it

    job = {"target": COMPUTE, "command": command(0.2), "environment": HERE}
    sweep = {**SWEEP, "platform_config": {"Definition": {"Overrides": job, "SnapshotId": SNAPSHOT}}}
    nodes = [
        {
            "Id": "first",
            "ModuleId": module(
                client, "first", [], ["made"], IsDeterministic=True, IdentifierHash="the first", StepType="CommandStep"
            ),
            "ModuleParameters": [{"Name": "Command", "Value": command(0.3), "ValueType": "0"}],
            "Runconfig": json.dumps({"environment": HERE}),
        },
        {
            "Id": "sweep",
            "ModuleId": module(client, "sweep", ["_run_after_input_0"], [], ModuleExecutionType="HyperDriveCloud"),
            "ModuleMetadataParameters": [{"Name": "HyperDriveRunConfig", "Value": json.dumps(sweep), "ValueType": "0"}],
        },
        {
            "Id": "last",
            "ModuleId": module(client, f"last{number}", ["_run_after_input_0"], []),
            "ModuleParameters": [{"Name": "Command", "Value": command(0.1), "ValueType": "0"}],
            "Runconfig": json.dumps({"environment": HERE}),
        },
    ]
    edges = [
        {
            "SourceOutputPort": {"NodeId": source, "PortName": "_run_after_output"},
            "DestinationInputPort": {"NodeId": to, "PortName": "_run_after_input_0"},
        }
        for source, to in (("first", "sweep"), ("sweep", "last"))
    ]
    return {"ModuleNodes": nodes, "Edges": edges}


@pytest.mark.slow
def test_pipelines_end_truthfully_whenever_the_server_is_killed(
    killable: KillableServer, tmp_path: Path, wait_for: Callable[..., Any]
) -> None:
    """``AZUREML_LOCAL_KILLS`` says how often. Each pipeline completes, and no job of it runs twice."""
    kills, rng = int(os.environ.get("AZUREML_LOCAL_KILLS", "8")), random.Random(7)
    evidence = tmp_path / "evidence"
    evidence.touch()
    killable.start()
    client = Client(killable.wait())
    prepare(client)
    make_snapshot(client)
    ids = []
    for number in range(max(3, kills // 3)):
        sent = {"Graph": chain(client, evidence, number), "GraphInterface": {}, "CreationInfo": {"RunType": "SDK"}}
        create = f"{PIPELINES}/PipelineRuns/Unsubmitted/CreationInfoWithGraph?experimentName=pipelines"
        ids.append(client.ask("POST", create, json=sent)["Id"])
        client.ask("POST", f"{PIPELINES}/PipelineRuns/Submit/{ids[-1]}")
    for _ in range(kills):
        time.sleep(rng.uniform(0.0, 1.5))
        killable.kill()
        killable.start()
        client = Client(killable.wait())
    for run_id in ids:
        wait_for(lambda run_id=run_id: client.ask("GET", f"{HISTORY}/runs/{run_id}")["endTimeUtc"], 120)
        run = client.ask("GET", f"{HISTORY}/runs/{run_id}")
        assert run["status"] == "Completed", run["error"]
        steps = client.ask("GET", f"{HISTORY}/runs/{run_id}/children")["value"]
        assert sorted(step["name"] for step in steps) == sorted(["first", "sweep", f"last{ids.index(run_id)}"])
        assert {step["status"] for step in steps} == {"Completed"}
        (tuned,) = (step for step in steps if step["name"] == "sweep")
        (sweep,) = client.ask("GET", f"{HISTORY}/runs/{tuned['runId']}/children")["value"]
        assert sweep["name"] == tuned["runId"]
        assert len(client.ask("GET", f"{HISTORY}/runs/{sweep['runId']}/children")["value"]) == 2
    lines = [tuple(line.split()) for line in evidence.read_text().splitlines()]
    # A job that began has ended once, and none began twice: not even for another server.
    assert len(lines) == len(set(lines))
    assert {run for word, run in lines if word == "begin"} == {run for word, run in lines if word == "end"}
    killable.stop()
