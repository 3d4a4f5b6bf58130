"""What a node of another machine may say, who may say it, and what becomes of it when it is said twice."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from security.conftest import Inside
from submitted import as_job

from azureml_local.cluster.execution import Execution
from azureml_local.cluster.remote.executor import RemoteExecutor
from azureml_local.cluster.runcontext import RunContext
from azureml_local.names import DEFAULT_NAME
from azureml_local.runtime.logs import JOB_LOG
from azureml_local.server.dataplane.runconfiguration import parse_run_configuration
from azureml_local.workspace.new_runs import NewRun

RUN, OTHER = "on-a-node", "of-the-same-tree"
SNAPSHOT = "00000000-0000-0000-0000-00000000000b"
DEFINITION = {"target": "nodes", "command": "true", "environment": {}}


class Node:
    """A node that speaks to the server of a test, with the token of a run."""

    def __init__(self, inside: Inside, who: str, *, run: str = RUN, token_of: str = RUN) -> None:
        self._inside = inside
        self._who = {"attempt": "1", "who": who}
        self._base = f"/node/v1.0{DEFAULT_NAME.arm_id}/runs/{run}"
        token = inside.context.tokens.for_run(token_of).text
        self._headers = {"Authorization": f"Bearer {token}"}

    def ask(self, what: str, **body: Any) -> httpx.Response:
        return self._inside.anonymous.request(
            "POST", f"{self._base}/{what}", json={**self._who, **body}, headers=self._headers
        )

    def send(self, data: bytes, offset: int = 0, **place: str) -> httpx.Response:
        headers = {**self._headers, "Content-Type": "application/octet-stream"}
        return self._inside.anonymous.request(
            "PUT", f"{self._base}/bytes", params={**self._who, "offset": offset, **place}, content=data, headers=headers
        )


@pytest.fixture
def part(inside: Inside) -> Iterator[RemoteExecutor]:
    workspace, cluster = inside.context.workspace, inside.context.cluster
    experiment = workspace.experiments.get_or_create("nodes").id
    workspace.snapshots.create(SNAPSHOT, None, {"name": "", "type": "Directory", "children": {}}, {})
    with_run = NewRun(RUN, experiment, target="nodes", **as_job(DEFINITION), snapshot_id=SNAPSHOT)
    run = workspace.runs.create(with_run)
    workspace.runs.create(NewRun(OTHER, experiment, parent_id=RUN))
    part = RemoteExecutor(RunContext(cluster._services, run, "1"), cluster.registry)
    part._attempt = "1"
    cluster.registry.expect(RUN, part)
    yield part
    cluster.registry.forget(RUN)
    workspace.runs.advance(RUN, "Completed")


@pytest.mark.case("tokens", "path-traversal", "lost-connections")
def test_node_reports_are_accepted_only_from_the_runs_own_node(inside: Inside, part: RemoteExecutor) -> None:
    node, stranger = Node(inside, "a"), Node(inside, "b")
    # Before it has claimed the run; with the token of another run of the same tree; and a client.
    assert node.ask("report", first=0, events=[]).status_code == 409
    assert Node(inside, "a", token_of=OTHER).ask("claim", worker="w").status_code == 403
    address = f"/node/v1.0{DEFAULT_NAME.arm_id}/runs/{RUN}/claim"
    claim = {"attempt": "1", "who": "a", "worker": "w"}
    assert inside.client.request("POST", address, json=claim).status_code == 403
    assert Node(inside, "a", run=OTHER, token_of=OTHER).ask("claim", worker="w").status_code == 409

    task = node.ask("claim", worker="w")
    assert task.status_code == 200
    assert task.json()["spec"] == parse_run_configuration(DEFINITION).to_json() | {
        "arguments": [],
        "inputs": [],
        "outputs": [],
        "notes": [],
    }
    assert inside.anonymous.request("GET", task.json()["zip"].split("8843", 1)[1]).status_code == 200
    assert node.ask("claim", worker="w").status_code == 200  # its answer may have been lost
    for refused in (stranger.ask("claim", worker="w"), stranger.ask("report", first=0, events=[])):
        assert refused.status_code == 409
    assert stranger.send(b"x", log="job").status_code == 409

    # What was sent is not sent twice, and nothing is left out.
    said = [{"say": "one"}, {"stage": "Preparing"}]
    assert node.ask("report", first=0, events=said).json() == {"cancel": False, "lose": False}
    node.ask("report", first=0, events=[*said, {"say": "two"}])
    log = part._record._node_log
    assert log is not None
    assert [line.split(" ", 1)[1] for line in log.read_text().splitlines()][1:] == ["one", "two"]
    assert inside.context.workspace.runs.get(RUN).status == "Preparing"
    assert node.send(b"hello ", log="job").json() == {"size": 6}
    assert node.send(b"hello world", log="job").json() == {"size": 11}
    assert node.send(b"!", 11, log="job").json() == {"size": 12}
    assert part._record.job_log(JOB_LOG).read_bytes() == b"hello world!"
    assert node.send(b"!", 20, log="job").status_code == 400

    # Files go below the run's own folder, and only where a job leaves some.
    for path in ("wd/outputs/a/b", "wd/logs/x", "output-data/result/t.csv"):
        assert node.send(b"x", path=path).status_code == 200
    for path in (
        *("", "x", "wd/x", "wd/outputs", "exit_status", "wd/outputs/../../../../x", "/etc/passwd", "wd/outputs/../x"),
        *("wd/outputs/" + "x" * 300, "wd/outputs/a", "wd/outputs/a/b/c", "wd/outputs/\0", "wd/outputs\\x"),
    ):
        assert node.send(b"x", path=path).status_code == 400, path
    assert node.send(b"x", log="node").status_code == 400
    brought = {str(p.relative_to(part._record.folder)) for p in part._record.folder.rglob("*") if p.is_file()}
    assert brought == {"wd/outputs/a/b", "wd/logs/x", "output-data/result/t.csv"}
    assert node.ask("fingerprints").json() == {"fingerprints": {}}  # of a run without inputs
    assert stranger.ask("fingerprints").status_code == 409
    files = {"wd/outputs/a/b": 1, "wd/outputs/new": 3}
    assert node.ask("wanted", files=files).json() == {"files": list(files)}

    for events in ([{"stage": "Completed"}], [{"say": 1}], [{}], ["x"], [{"ran": 1}], "x", None):
        assert node.ask("report", first=3, events=events).status_code == 400, events
    for first in (-1, True, "0", None):
        assert node.ask("report", first=first, events=[]).status_code == 400, first
    answer = node.ask("report", first=3, events=[{"fail": "why", "code": "UserError"}], renew=True).json()
    assert inside.context.tokens.check(f"Bearer {answer['token']}").run_id == RUN

    # The end is kept before it is acknowledged; a new server needs no node to tell it again.
    assert node.ask("report", first=4, events=[{"ran": True}]).status_code == 200
    assert node.ask("report", first=5, events=[]).status_code == 409
    known = inside.context.workspace.runs.get(RUN)
    again = RemoteExecutor(RunContext(inside.context.cluster._services, known, "1"), inside.context.cluster.registry)
    assert again.resume()
    assert known.error is not None
    assert known.error["error"]["message"] == "why"


def test_node_cannot_report_success_of_a_job_that_never_began(inside: Inside) -> None:
    workspace = inside.context.workspace
    experiment = workspace.experiments.get_or_create("nodes").id
    workspace.runs.create(NewRun("never-began", experiment, target="nodes", **as_job(DEFINITION)))
    workspace.runs.note_process("never-began", {"attempt": "1", "who": "a", "worker": "w", "ran": False})
    Execution(inside.context.cluster._services, workspace.runs.get("never-began"), "1", lambda: None).resume()
    run = workspace.runs.get("never-began")
    assert run.status == "Failed"
    assert "never began" in str(run.error)


def test_a_file_of_a_zip_that_leaves_its_folder_is_refused(tmp_path: Path) -> None:
    import zipfile

    from azureml_local.cluster.remote.worker import _unpack
    from azureml_local.workspace.errors import Invalid

    class Served:
        def fetch(self, url: str, target: Path) -> None:
            with zipfile.ZipFile(target, "w") as file:
                file.writestr("deep/a.txt", "a")
                file.writestr(url, "b")

    with pytest.raises(Invalid):
        _unpack(Served(), "../out.txt", tmp_path, tmp_path / "bad")  # type: ignore[arg-type]
    assert not (tmp_path / "out.txt").exists()
    assert _unpack(Served(), "b.txt", tmp_path, tmp_path / "good") == 2  # type: ignore[arg-type]
    assert (tmp_path / "good" / "deep" / "a.txt").read_text() == "a"
