"""AmlCompute, through the real SDK."""

from __future__ import annotations

from typing import Any

import pytest

from azureml_local.instance import LocalServer
from azureml_local.workspace.identity import DEFAULT_NAME


def make(workspace: Any, name: str, **options: Any) -> Any:
    from azureml.core.compute import AmlCompute, ComputeTarget

    options.setdefault("vm_size", "STANDARD_D2_V2")
    target = ComputeTarget.create(workspace, name, AmlCompute.provisioning_configuration(**options))
    target.wait_for_completion(show_output=True, min_node_count=None, timeout_in_minutes=20)
    return target


def test_created_found_listed_and_deleted(workspace: Any) -> None:
    from azureml.core.compute import ComputeTarget
    from azureml.core.compute_target import ComputeTargetException

    make(workspace, "short-lived", min_nodes=0, max_nodes=4)
    found = ComputeTarget(workspace, "short-lived")
    status = found.get_status().serialize()
    assert status["vmSize"] == "STANDARD_D2_V2"
    assert status["currentNodeCount"] == 0
    assert status["scaleSettings"]["maxNodeCount"] == 4
    assert "short-lived" in workspace.compute_targets
    found.delete()
    with pytest.raises(ComputeTargetException, match="ComputeTargetNotFound"):
        ComputeTarget(workspace, "short-lived")


def test_creating_it_again_keeps_it(workspace: Any) -> None:
    first = make(workspace, "twice", min_nodes=0, max_nodes=2)
    second = make(workspace, "twice", min_nodes=0, max_nodes=2)
    assert first.id == second.id


def test_minimum_nodes_are_there_and_follow_an_update(workspace: Any) -> None:
    target = make(workspace, "always-on", min_nodes=2, max_nodes=3)
    assert target.get_status().current_node_count == 2
    assert len(target.list_nodes()) == 2
    target.update(min_nodes=0, max_nodes=1, idle_seconds_before_scaledown=120)
    status = target.get_status()
    assert status.scale_settings.maximum_node_count == 1
    assert status.current_node_count <= 1
    target.delete()


@pytest.mark.parametrize(
    ("name", "scale", "words"),
    [
        ("upside-down", {"minNodeCount": 3, "maxNodeCount": 1}, "node counts make no sense"),
        ("half-a-node", {"maxNodeCount": "a half"}, "counts must be whole numbers"),
        ("bad_name", {"maxNodeCount": 1}, "no compute name"),
        ("soon", {"maxNodeCount": 1, "nodeIdleTimeBeforeScaleDown": "soon"}, "no duration"),
    ],
)
def test_a_request_that_makes_no_sense_is_refused_with_a_reason(
    server: LocalServer, workspace: Any, name: str, scale: dict[str, Any], words: str
) -> None:
    body = {"properties": {"computeType": "AmlCompute", "properties": {"vmSize": "D2", "scaleSettings": scale}}}
    with server._client() as client:
        answer = client.put(f"{DEFAULT_NAME.arm_id}/computes/{name}", json=body)
    assert answer.status_code == 400
    assert words in answer.json()["error"]["message"]
    assert name not in workspace.compute_targets
