"""AmlCompute, through the real SDK."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests

from azureml_local.client.instance import LocalServer
from azureml_local.names import DEFAULT_NAME

Wait = Callable[..., Any]


def make(workspace: Any, name: str, **options: Any) -> Any:
    from azureml.core.compute import AmlCompute, ComputeTarget

    options.setdefault("vm_size", "STANDARD_D2_V2")
    options.setdefault("max_nodes", 1)
    target = ComputeTarget.create(workspace, name, AmlCompute.provisioning_configuration(**options))
    target.wait_for_completion(show_output=True, min_node_count=None, timeout_in_minutes=20)
    return target


@pytest.mark.sdk(
    "ComputeTarget.create",
    "AmlCompute.provisioning_configuration",
    "AmlCompute.wait_for_completion",
    "ComputeTarget.list",
    "Workspace.compute_targets",
    "AmlCompute.get",
    "AmlCompute.get_status",
    "AmlCompute.refresh_state",
    "AmlCompute.serialize",
    "AmlCompute.deserialize",
    "AmlCompute.delete",
)
def test_compute_is_created_found_listed_serialized_and_deleted(
    workspace: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    from azureml.core.compute import AmlCompute, ComputeTarget
    from azureml.core.compute_target import ComputeTargetException

    with pytest.raises(ComputeTargetException, match="ComputeTargetNotFound"):
        ComputeTarget(workspace, "short-lived")
    make(
        workspace,
        "short-lived",
        vm_size="Standard_D2_v2",
        vm_priority="lowpriority",
        max_nodes=4,
        idle_seconds_before_scaledown=2_000_000,
        tags={"team": "a"},
        description="of a test",
    )
    assert "Minimum number of nodes requested have been provisioned" in capsys.readouterr().out
    found = ComputeTarget(workspace, "short-lived")
    body = found.serialize()
    assert body["tags"] == {"team": "a"}
    assert body["properties"]["description"] == "of a test"
    assert body["properties"]["provisioningState"] == "Succeeded"
    assert body["properties"]["properties"]["scaleSettings"] == {
        "minNodeCount": 0,
        "maxNodeCount": 4,
        "nodeIdleTimeBeforeScaleDown": "PT2000000S",
    }
    status = found.get_status()
    assert (status.vm_size, status.vm_priority) == ("STANDARD_D2_V2", "lowpriority")
    assert (status.allocation_state, status.current_node_count, status.target_node_count) == ("Steady", 0, 0)
    assert status.creation_time <= status.modified_time <= status.allocation_state_transition_time
    assert AmlCompute.deserialize(workspace, found.get()).serialize()["properties"]["computeType"] == "AmlCompute"
    found.refresh_state()
    assert found.provisioning_errors is None

    assert "short-lived" in workspace.compute_targets
    assert "short-lived" in [target.name for target in ComputeTarget.list(workspace)]
    found.delete()
    assert found.provisioning_state == "Deleting"
    found.wait_for_completion(is_delete_operation=True)
    assert "short-lived" not in workspace.compute_targets
    for operation in (found.get_status, found.delete, found.list_nodes, lambda: found.update(max_nodes=2)):
        with pytest.raises(ComputeTargetException, match="short-lived"):
            operation()


@pytest.mark.sdk("AmlCompute.update", "AmlCompute.list_nodes")
def test_compute_minimum_nodes_are_allocated_and_follow_an_update(workspace: Any) -> None:
    target = make(workspace, "always-on", min_nodes=2, max_nodes=3)
    assert target.get_status().current_node_count == 2
    nodes = target.list_nodes()
    assert [node["nodeState"] for node in nodes] == ["idle", "idle"]
    assert len({node["nodeId"] for node in nodes}) == 2
    target.update(min_nodes=0, max_nodes=1, idle_seconds_before_scaledown=120)
    target.wait_for_completion()
    status = target.get_status()
    assert status.scale_settings.maximum_node_count == 1
    assert status.scale_settings.idle_seconds_before_scaledown == 120
    assert (status.current_node_count, status.allocation_state) == (1, "Steady")
    # Only what is given changes.
    target.update(max_nodes=2)
    assert target.get_status().scale_settings.idle_seconds_before_scaledown == 120
    target.delete()


def test_compute_idle_nodes_are_released_after_the_idle_time(workspace: Any, wait_for: Wait) -> None:
    target = make(workspace, "soon-idle", min_nodes=1, max_nodes=1, idle_seconds_before_scaledown=1)
    target.update(min_nodes=0)
    wait_for(lambda: target.get_status().current_node_count == 0)
    target.delete()


def test_compute_created_again_changes_its_scale_and_refuses_other_changes(workspace: Any) -> None:
    from azureml.core.compute_target import ComputeTargetException

    first = make(workspace, "twice", max_nodes=2)
    second = make(workspace, "twice", max_nodes=3)
    assert (first.id, first.created_on) == (second.id, second.created_on)
    assert first.get_status().scale_settings.maximum_node_count == 3
    for other in ({"vm_size": "STANDARD_NC6"}, {"vm_priority": "lowpriority"}):
        with pytest.raises(ComputeTargetException, match="cannot be changed") as refused:
            make(workspace, "twice", **other)
        assert "Response Code: 409" in str(refused.value)
    first.delete()
    third = make(workspace, "twice", vm_size="STANDARD_NC6")
    assert third.created_on > first.created_on
    assert third.get_status().vm_size == "STANDARD_NC6"
    third.delete()


@pytest.fixture
def submit_to(experiment: Any, here: Any, tmp_path: Path) -> Callable[[Any], Any]:
    """Submit a job that would take ten minutes, from an empty folder: a command needs no file."""
    from azureml.core import ScriptRunConfig

    def submit(target: Any) -> Any:
        command = ["sleep", "600"]
        return experiment.submit(
            ScriptRunConfig(str(tmp_path), command=command, compute_target=target, environment=here)
        )

    return submit


def test_compute_of_four_nodes_runs_four_jobs_and_queues_the_fifth(
    server: LocalServer, workspace: Any, submit_to: Callable[[Any], Any], wait_for: Wait
) -> None:
    target = make(workspace, "four", max_nodes=4)
    runs = [submit_to(target) for _ in range(5)]
    wait_for(lambda: [run.get_status() for run in runs] == ["Running"] * 4 + ["Queued"])
    status = target.get_status()
    assert (status.allocation_state, status.current_node_count, status.target_node_count) == ("Steady", 4, 4)
    assert (status.node_state_counts.running_node_count, status.node_state_counts.idle_node_count) == (4, 0)
    assert [node["runId"] for node in target.list_nodes()] == [run.id for run in runs[:4]]
    # The fifth says why it waits: in its log, which a waiting client is shown, and in `azureml-local status`.
    why = "Waiting for a node: four has all its 4 nodes busy. It is the next one."
    log = wait_for(lambda: runs[4].get_details()["logFiles"].get("azureml-logs/10_queue_log.txt"))
    assert why in requests.get(log).text
    assert why in [row["waiting_for"] for row in server.status()["unfinished"]]
    runs[1].cancel()
    wait_for(lambda: runs[4].get_status() == "Running")
    assert target.list_nodes()[1]["runId"] == runs[4].id
    # Fewer nodes than jobs: nothing is torn down that works.
    target.update(max_nodes=1)
    status = target.get_status()
    assert (status.allocation_state, status.current_node_count, status.target_node_count) == ("Resizing", 4, 1)
    assert status.node_state_counts.leaving_node_count == 3
    for run in runs:
        run.cancel()
    wait_for(lambda: target.get_status().node_state_counts.idle_node_count == 1)
    assert target.get_status().allocation_state == "Steady"
    target.delete()


@pytest.mark.sdk("AmlCompute.get_active_runs", "Run.list_by_compute")
def test_compute_deleted_ends_its_running_and_queued_runs(
    workspace: Any, submit_to: Callable[[Any], Any], wait_for: Wait
) -> None:
    from azureml.core import Run

    target = make(workspace, "busy")
    running, waiting = submit_to(target), submit_to(target)
    wait_for(lambda: (running.get_status(), waiting.get_status()) == ("Running", "Queued"))
    assert {run.run_id for run in target.get_active_runs()} == {running.id, waiting.id}
    assert "node" in waiting.get_detailed_status()["details"]
    assert [run.run_id for run in target.get_active_runs(status="Queued")] == [waiting.id]
    assert [run.run_id for run in Run.list_by_compute(target, status="Running")] == [running.id]
    target.delete()
    wait_for(lambda: (running.get_status(), waiting.get_status()) == ("Canceled", "Canceled"))
    # The name is free again, and the new cluster has nothing of the old one.
    again = make(workspace, "busy")
    assert list(again.get_active_runs()) == []
    assert again.get_status().current_node_count == 0
    again.delete()


@pytest.mark.sdk("AmlCompute.supported_vmsizes")
def test_compute_supported_vm_sizes_are_listed(workspace: Any) -> None:
    from azureml.core.compute import AmlCompute

    sizes = {size["name"].upper(): size for size in AmlCompute.supported_vmsizes(workspace)}
    assert sizes["STANDARD_D2_V2"]["vCPUs"] == 2
    assert sizes["STANDARD_NC6"]["gpus"] == 1


@pytest.mark.sdk_refused("AmlCompute.add_identity", "AmlCompute.remove_identity")
def test_compute_identities_are_refused(workspace: Any) -> None:
    from azureml.core.compute_target import ComputeTargetException

    with pytest.raises(ComputeTargetException, match="Managed identities of a cluster are not built"):
        make(workspace, "with-identity", identity_type="SystemAssigned")
    target = make(workspace, "anonymous")
    with pytest.raises(ComputeTargetException, match="Managed identities of a cluster are not built"):
        target.add_identity("SystemAssigned")
    with pytest.raises(ComputeTargetException, match="no identity assigned"):
        target.remove_identity()
    target.delete()
    assert "with-identity" not in workspace.compute_targets


@pytest.mark.sdk_refused(
    "AmlCompute.list_usages",
    "AmlCompute.list_quotas",
    "AmlCompute.update_quotas",
    "AmlCompute.detach",
    "ComputeInstance.provisioning_configuration",
    "ComputeTarget.attach",
)
def test_compute_quotas_and_other_compute_types_are_refused_with_a_reason(workspace: Any) -> None:
    from azureml.core.compute import (
        AksCompute,
        AmlCompute,
        ComputeInstance,
        ComputeTarget,
        DatabricksCompute,
        KubernetesCompute,
        RemoteCompute,
    )
    from azureml.core.compute_target import ComputeTargetException

    cluster = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Kubernetes/connectedClusters/c"
    created = (
        ComputeInstance.provisioning_configuration(vm_size="STANDARD_D2_V2", ssh_public_access=False),
        AksCompute.provisioning_configuration(),
    )
    attached = (
        RemoteCompute.attach_configuration(address="10.0.0.4", username="u", password="p"),
        KubernetesCompute.attach_configuration(resource_id=cluster),
        DatabricksCompute.attach_configuration("g", "w", access_token="t"),
    )
    refused = [lambda each=each: ComputeTarget.create(workspace, "other", each) for each in created]
    refused += [lambda each=each: ComputeTarget.attach(workspace, "other", each) for each in attached]
    for operation in refused:
        with pytest.raises(ComputeTargetException, match="AmlCompute only, not") as answer:
            operation()
        assert "Response Code: 501" in str(answer.value)
    cluster_here = make(workspace, "own")
    with pytest.raises(ComputeTargetException, match="Detach is not supported"):
        cluster_here.detach()
    cluster_here.delete()
    for question in (AmlCompute.list_usages, AmlCompute.list_quotas, lambda ws: AmlCompute.update_quotas(ws, "f", 1)):
        with pytest.raises(ComputeTargetException, match="is not built in azureml-local"):
            question(workspace)


@pytest.mark.parametrize("name", ["a", "1st", "with_underscore", "ends-", "x" * 33, "amlCompute"])
def test_compute_names_that_azure_refuses_are_refused(workspace: Any, name: str) -> None:
    from azureml.core.compute_target import ComputeTargetException

    with pytest.raises(ComputeTargetException, match=r"no compute name|reserved name") as refused:
        make(workspace, name)
    assert "Response Code: 400" in str(refused.value)


def test_compute_request_invalid_is_refused_with_a_reason(server: LocalServer, workspace: Any) -> None:
    """What the SDK would not send, or not let through."""
    with server._client() as client:

        def put(properties: Any, **more: Any) -> str:
            body = {"properties": {"computeType": "AmlCompute", "properties": properties} | more}
            answer = client.put(f"{DEFAULT_NAME.arm_id}/computes/nonsense", json=body)
            assert answer.status_code == 400, answer.text
            return str(answer.json()["error"]["message"])

        def scaled(**scale: Any) -> str:
            return put({"vmSize": "D2", "scaleSettings": scale})

        assert "node counts make no sense" in scaled(minNodeCount=3, maxNodeCount=1)
        for count in ("a half", 1.5, True, [1]):
            assert "counts must be whole numbers" in scaled(maxNodeCount=count)
        assert "no duration" in scaled(maxNodeCount=1, nodeIdleTimeBeforeScaleDown="soon")
        for forever in ("PT99999999999S", "P" + "9" * 400 + "D"):
            assert "a year is the most" in scaled(maxNodeCount=1, nodeIdleTimeBeforeScaleDown=forever)
        assert "no VM size" in put({})
        assert "must be an object" in put([])
        assert "must be an object" in put({"vmSize": "D2", "scaleSettings": "large"})
        assert "no VM priority" in put({"vmSize": "D2", "vmPriority": "cheap"})
    assert "nonsense" not in workspace.compute_targets
