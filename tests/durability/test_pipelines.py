"""A pipeline outlives its server: each step runs once, and gets what the one before it has made."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from azureml_local.names import DEFAULT_NAME
from tests.durability.servers import KillableServer
from tests.durability.workload import COMPUTE, HERE, HISTORY, Client, prepare

PIPELINES = f"/pipelines/v1.0{DEFAULT_NAME.arm_id}"
SNAPSHOT = "00000000-0000-4000-8000-000000000001"


def module(client: Client, name: str, ins: list[str], outs: list[str]) -> str:
    interface = {
        "Inputs": [{"Name": each, "DataStoreMode": "mount", "DataTypeIdsList": ["AnyFile"]} for each in ins],
        "Outputs": [{"Name": each, "DataStoreMode": "mount", "DataTypeId": "AnyFile"} for each in outs],
        "Parameters": [{"Name": "Target", "DefaultValue": COMPUTE}, {"Name": "Command", "DefaultValue": ""}],
    }
    body = {"Name": name, "ModuleExecutionType": "escloud", "StorageId": SNAPSHOT, "StructuredInterface": interface}
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
    tree = {"name": "", "type": "Directory", "hash": "", "children": {}}
    body = {"DirTreeNode": tree, "FileRevisionList": {"FileNodes": []}}
    client.ask("POST", f"/content/v2.0{DEFAULT_NAME.arm_id}/snapshots/{SNAPSHOT}", json=body)
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
