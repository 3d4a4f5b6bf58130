"""Trouble on demand, and what the real SDK makes of it. Each is over at the end of its ``with`` block."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import markupsafe
import pytest

from azureml_local.client.instance import LocalServer, ServerError

Wait = Callable[..., Any]
Submit = Callable[..., Any]
EndOf = Callable[[Any], str]
FINAL = ("Completed", "Failed", "Canceled")


@pytest.fixture
def cluster(workspace: Any, request: pytest.FixtureRequest) -> Iterator[Any]:
    """A cluster of the test's own, with one node at most; deleted at its end, with what runs on it."""
    from azureml.core.compute import AmlCompute, ComputeTarget

    configuration = AmlCompute.provisioning_configuration(vm_size="STANDARD_D2_V2", max_nodes=1)
    made = ComputeTarget.create(workspace, f"trouble-{request.node.name[5:26].replace('_', '-')}x", configuration)
    yield made
    made.delete()


@pytest.fixture
def submit_command(experiment: Any, cluster: Any, here: Any, tmp_path: Path) -> Submit:
    from azureml.core import ScriptRunConfig

    (tmp_path / "any").touch()

    def submit(*command: str) -> Any:
        return experiment.submit(
            ScriptRunConfig(str(tmp_path), command=list(command), compute_target=cluster, environment=here)
        )

    return submit


@pytest.fixture
def end_of(wait_for: Wait) -> Callable[[Any], str]:
    """The final status of a run. Its details are what tells the server that somebody follows it."""

    def final(run: Any) -> str:
        return str(wait_for(lambda: (status := run.get_details()["status"]) in FINAL and status, 60))

    return final


def configuration(**options: Any) -> Any:
    from azureml.core.compute import AmlCompute

    return AmlCompute.provisioning_configuration(vm_size="STANDARD_D2_V2", max_nodes=1, **options)


def reason(server: LocalServer, run: Any) -> str:
    """What ``azureml-local status`` says a run waits for; its page must say the same."""
    (row,) = [row for row in server.status()["unfinished"] if row["run_id"] == run.id]
    said = str(row["waiting_for"])
    page = httpx.get(run.get_portal_url()).text
    assert str(markupsafe.escape(said)) in page
    return said


def test_quota_exceeded_fails_the_clusters_creation(
    server: LocalServer, workspace: Any, experiment: Any, here: Any, tmp_path: Path
) -> None:
    from azureml.core import ScriptRunConfig
    from azureml.core.compute import ComputeTarget
    from azureml.core.compute_target import ComputeTargetException

    with server.simulate("quota-exceeded", compute="too-many") as quota:
        other = ComputeTarget.create(workspace, "just-enough", configuration())
        other.wait_for_completion()
        assert quota.happened == 0
        target = ComputeTarget.create(workspace, "too-many", configuration())
        with pytest.raises(ComputeTargetException, match="provisioning state: Failed") as failed:
            target.wait_for_completion(show_output=True)
        assert quota.happened == 1
    assert "StatusCode: 400" in str(failed.value)
    assert "quota of cores for STANDARD_D2_V2" in str(failed.value)
    assert target.provisioning_state == "Failed"
    assert target.provisioning_errors[0]["error"]["code"] == "ClusterCoreQuotaReached"
    assert target.get_status() is None
    errors = {row["name"]: row["error"] for row in server.status()["computes"]}
    assert "Operation results in exceeding" in errors["too-many"]
    assert errors["just-enough"] is None
    # It is there, and of no use, until it is created again.
    (tmp_path / "any").touch()
    job = ScriptRunConfig(str(tmp_path), command=["true"], compute_target="too-many", environment=here)
    with pytest.raises(Exception, match="is in failed state and thus not ready for runs"):
        experiment.submit(job)
    with pytest.raises(ComputeTargetException, match="failed state"):
        target.update(max_nodes=2)
    again = ComputeTarget.create(workspace, "too-many", configuration())
    again.wait_for_completion()
    assert (again.provisioning_state, again.provisioning_errors) == ("Succeeded", None)
    again.delete()
    other.delete()


def test_allocation_that_fails_leaves_runs_waiting_and_says_so(
    server: LocalServer,
    workspace: Any,
    cluster: Any,
    submit_command: Submit,
    wait_for: Wait,
    end_of: EndOf,
    capsys: Any,
) -> None:
    from azureml.core.compute import ComputeTarget

    with server.simulate("allocation-failed", compute=cluster.name):
        assert cluster.get_status().errors is None  # nothing is wanted yet
        run = submit_command("true")
        wait_for(lambda: run.get_status() == "Queued")
        status = cluster.get_status()
        assert status.errors[0]["error"]["code"] == "AllocationFailed"
        assert (status.allocation_state, status.current_node_count, status.target_node_count) == ("Steady", 0, 1)
        assert "their allocation fails (a simulation" in reason(server, run)
    assert end_of(run) == "Completed"
    assert cluster.get_status().errors is None

    with server.simulate("allocation-failed"):
        needy = ComputeTarget.create(workspace, "needs-one", configuration(min_nodes=1))
        needy.wait_for_completion(show_output=True)
        assert "There were errors reported from AmlCompute" in capsys.readouterr().out
    wait_for(lambda: needy.get_status().current_node_count == 1)
    needy.delete()


def test_fault_queue_stuck_keeps_runs_queued(
    server: LocalServer, cluster: Any, submit_command: Submit, wait_for: Wait, end_of: EndOf, tmp_path: Path
) -> None:
    with server.simulate("queue-stuck", compute=cluster.name):
        first, second = submit_command("true"), submit_command("true")
        wait_for(lambda: (first.get_status(), second.get_status()) == ("Queued", "Queued"))
        status = cluster.get_status()
        assert (status.allocation_state, status.current_node_count, status.target_node_count) == ("Resizing", 0, 1)
        why = f"Waiting for a node: the queue of {cluster.name} doesn't move (a simulation"
        wait_for(lambda: reason(server, second).startswith(why))
        assert reason(server, second).endswith("1 run is before it.")
        first.cancel()
        wait_for(lambda: reason(server, second).endswith("It is the next one."))
        assert second.get_status() == "Queued"
    assert end_of(second) == "Completed"
    # Times in order, and an end that nothing changes.
    details = second.get_details()
    assert details["startTimeUtc"] <= details["endTimeUtc"]
    second.cancel()
    second.fail()
    first.complete()
    after = second.get_details()
    assert after | {"logFiles": ...} == details | {"logFiles": ...}  # the links are signed anew each time
    assert first.get_status() == "Canceled"
    second.download_file("azureml-logs/10_queue_log.txt", str(tmp_path / "log"))
    lines = (tmp_path / "log").read_text().splitlines()
    assert lines[0].endswith(" ends it). 1 run is before it.")
    assert lines[1].endswith(" ends it). It is the next one.")
    assert lines[-1].endswith("Node 1 takes it.")


def test_fault_build_failed_fails_the_run(
    server: LocalServer, cluster: Any, submit_command: Submit, end_of: EndOf
) -> None:
    with server.simulate("build-failed", compute=cluster.name) as build:
        run = submit_command("true")
        assert end_of(run) == "Failed"
        assert build.happened == 1
    details = run.get_details()
    assert details["error"]["error"]["message"] == "The environment's packages could not be installed (a simulation)."
    assert "azureml-logs/20_image_build_log.txt" in details["logFiles"]
    assert "startTimeUtc" not in details
    assert end_of(submit_command("true")) == "Completed"


def test_fault_node_lost_fails_the_running_job(
    server: LocalServer, cluster: Any, submit_command: Submit, wait_for: Wait, end_of: EndOf, tmp_path: Path
) -> None:
    from azureml.exceptions import ActivityFailedException

    (tmp_path / "job.sh").write_text("mkdir -p outputs; echo half > outputs/half; echo begun; sleep 600")
    run = submit_command("sh", "job.sh")
    wait_for(lambda: "user_logs/std_log.txt" in (files := run.get_details()["logFiles"]) and _read(files))
    with server.simulate("node-lost", compute=cluster.name) as lost:
        with pytest.raises(ActivityFailedException, match="NodeLost: the node 1 of"):
            run.wait_for_completion()
        assert lost.happened == 1
    details = run.get_details()
    assert details["error"]["error"]["code"] == "ServiceError"
    # The log is kept as far as it came; what was not uploaded is gone, and so is the node.
    assert _read(details["logFiles"]) == "begun\n"
    assert "outputs/half" not in run.get_file_names()
    wait_for(lambda: cluster.get_status().current_node_count == 0)
    assert end_of(submit_command("true")) == "Completed"
    assert [node["nodeId"][-2:] for node in cluster.list_nodes()] == ["-2"]


def _read(files: dict[str, str]) -> str:
    import requests

    return requests.get(files["user_logs/std_log.txt"]).text


def test_fault_throttled_and_unavailable_are_retried_by_the_sdk(
    server: LocalServer, workspace: Any, experiment: Any
) -> None:
    from azureml.core import Run

    run = experiment.start_logging(snapshot_directory=None)
    # The history client's transport waits as long as Retry-After says (urllib3), and asks again.
    for kind in ("throttled", "unavailable"):
        with server.simulate(kind, requests=f"GET /history/*/runs/{run.id}") as trouble:
            assert Run.get(workspace, run.id).get_status() == "Running"
            assert trouble.happened == 1
    run.complete()


def test_fault_429_and_503_have_azures_wire_format(server: LocalServer) -> None:
    with server._client() as client:
        path = "/subscriptions?api-version=2022-12-01"
        for kind, status, code in (("throttled", 429, "TooManyRequests"), ("unavailable", 503, "ServiceUnavailable")):
            with server.simulate(kind, requests="/subscriptions", times=2) as trouble:
                for _ in range(2):
                    answer = client.get(path)
                    assert (answer.status_code, answer.headers["Retry-After"]) == (status, "1")
                    assert answer.json()["error"]["code"] == code
                assert client.get(path).status_code == 200
                assert client.get("/local/simulations").json()["value"][0]["over"] is True
                assert trouble.happened == 2
        with server.simulate("throttled", requests="GET /azureml/*"):
            answer = client.get("/azureml/any")
            assert (answer.status_code, answer.headers["x-ms-error-code"]) == (503, "ServerBusy")


def test_fault_that_cannot_be_simulated_is_refused_with_a_reason(server: LocalServer) -> None:
    for words, asked in (
        ("There is no simulation 'earthquake'. Choose one of: quota-exceeded,", {"kind": "earthquake"}),
        ("lasts until it is cleared", {"kind": "queue-stuck", "times": 2}),
        ("must be from 1 to", {"kind": "node-lost", "times": 0}),
        ("applies to requests, not a compute", {"kind": "throttled", "compute": "any"}),
        ("applies to a compute, not requests", {"kind": "node-lost", "requests": "*"}),
        ("is no pattern of requests", {"kind": "throttled", "requests": "all of them"}),
    ):
        with pytest.raises(ServerError, match=words):
            server.simulate(**asked)
    assert server.simulations() == []
    for kind in ("node-lost", "build-failed"):
        server.simulate(kind, compute="a")
    assert server.clear_simulations("node-lost") == 1
    assert [each["kind"] for each in server.simulations()] == ["build-failed"]
    assert server.clear_simulations() == 1
    with server.simulate("node-lost", compute="a") as gone:
        server.clear_simulations()
        with pytest.raises(ServerError, match="There is no simulation"):
            _ = gone.happened
