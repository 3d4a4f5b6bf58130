"""The queue and its nodes, with jobs that really run: shell commands, so that each takes no time of its own."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete
from submitted import as_job

from azureml_local.cluster.cluster import Cluster
from azureml_local.cluster.runcontext import ClusterServices
from azureml_local.runtime.environments import EnvironmentBuilder
from azureml_local.runtime.inputs import Inputs
from azureml_local.runtime.shared import SharedFolders
from azureml_local.storage.folder import StateFolder
from azureml_local.storage.tables import Run, RunEvent
from azureml_local.workspace import Workspace
from azureml_local.workspace.computes import ClusterRequest, ScaleSettings
from azureml_local.workspace.new_runs import NewRun
from azureml_local.workspace.runs import FINAL, ORDER

NODES = 2
SNAPSHOT = "00000000-0000-0000-0000-00000000000a"


class Local:
    """A workspace with one cluster ("nodes"), every status that each run had, and the last reason given for each."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        state = StateFolder(folder / "state")
        state.create()
        self.workspace = Workspace(state)
        self.seen: dict[str, list[str]] = defaultdict(list)
        self.reasons: dict[str, str | None] = {}
        self.workspace.runs.listen(self._note)
        self.cluster = Cluster(self.services())

    def services(self) -> ClusterServices:
        return ClusterServices(
            workspace=self.workspace,
            builder=EnvironmentBuilder(self.folder / "cache", host=True),
            inputs=Inputs(SharedFolders(self.folder / "datasets"), None),
            job_variables=lambda run: {},
        )

    def submit(self, command: str, target: str = "nodes") -> str:
        number = len(self.seen)
        run = self.workspace.runs.create(
            NewRun(
                run_id=f"run-{number}",
                experiment_id=self.workspace.experiments.get_or_create("tests").id,
                target=target,
                **as_job({"target": target, "command": command, "environment": {}}),
                snapshot_id=SNAPSHOT,
            )
        )
        self.cluster.submit(run)
        return run.id

    def job(self) -> Job:
        return Job(self)

    def status(self, run_id: str) -> str:
        return self.workspace.runs.get(run_id).status

    def wait(self, condition: Callable[[], Any]) -> None:
        deadline = time.monotonic() + 60
        while not condition():
            assert time.monotonic() < deadline, self.seen
            time.sleep(0.01)

    def _note(self, run: Run) -> None:
        self.reasons[run.status] = self.cluster.waiting_for(run)
        self.workspace.runs.followed(run)
        self.seen[run.id].append(run.status)  # last: tests wait for it


class Job:
    """A job that runs until it is let go."""

    def __init__(self, local: Local) -> None:
        self._gate = local.folder / f"gate-{len(local.seen)}"
        self._local = local
        self.id = local.submit(f"sh -c 'until test -e {self._gate}; do sleep 0.02; done'")

    @property
    def status(self) -> str:
        return self._local.status(self.id)

    @property
    def waits_for(self) -> str | None:
        return self._local.cluster.waiting_for(self._local.workspace.runs.get(self.id))

    def let_go(self) -> None:
        self._gate.touch()
        self._local.wait(lambda: self.status in FINAL)
        assert self.status == "Completed"


@pytest.fixture
def local(tmp_path: Path) -> Iterator[Local]:
    made = Local(tmp_path)
    made.workspace.computes.put(ClusterRequest("nodes", "D2", ScaleSettings(0, NODES, 60)))
    made.workspace.snapshots.create(SNAPSHOT, None, {"name": "", "type": "Directory", "children": {}}, {})
    made.cluster.start()
    yield made
    made.cluster.stop()
    made.workspace.close()


def test_run_states_and_times_are_in_azures_order(local: Local) -> None:
    good, bad = local.submit("true"), local.submit("false")
    # Listeners are called after the store has changed.
    local.wait(lambda: local.seen[good][-1] in FINAL and local.seen[bad][-1] in FINAL)
    order = ["NotStarted", "Queued", "Preparing", "Starting", "Running"]
    assert local.seen == {good: [*order, "Completed"], bad: [*order, "Failed"]}
    events = [event.data["status"] for event in local.workspace.runs.events(bad)]
    assert events == [*order[1:], "Finalizing", "Failed"]
    assert [status for status in ORDER if status in events] == events
    assert {status for status, reason in local.reasons.items() if reason is None} == {"Running", "Completed", "Failed"}
    run = local.workspace.runs.get(good)
    assert run.started is not None
    assert run.ended is not None
    assert run.created <= run.started <= run.ended
    # A final status never changes.
    local.cluster.cancel(good)
    local.workspace.runs.advance(good, "Failed")
    assert local.workspace.runs.get(good).ended == run.ended
    assert local.status(good) == "Completed"


def test_queue_is_first_in_first_out_over_all_nodes(local: Local) -> None:
    jobs = [local.job() for _ in range(NODES + 3)]
    local.wait(lambda: [job.status for job in jobs] == ["Running"] * NODES + ["Queued"] * 3)
    assert jobs[0].waits_for is None
    assert [str(job.waits_for).rsplit(". ")[-1] for job in jobs[NODES:]] == [
        "It is the next one.",
        "1 run is before it.",
        "2 runs are before it.",
    ]
    nodes = local.cluster.allocation("nodes")
    assert (nodes.state, nodes.current, nodes.target, nodes.counts["running"]) == ("Steady", NODES, NODES, NODES)
    # One that gives up lets those behind it move on; the next node goes to the first in the line.
    local.cluster.cancel(jobs[NODES + 1].id)
    assert str(jobs[NODES + 2].waits_for).endswith("1 run is before it.")
    jobs[1].let_go()
    local.wait(lambda: jobs[NODES].status == "Running")
    assert [job.status for job in jobs[NODES:]] == ["Running", "Canceled", "Queued"]
    (taken,) = [node.number for node in local.cluster.nodes("nodes") if node.run_id == jobs[NODES].id]
    assert taken == 2
    jobs[0].let_go()
    jobs[NODES].let_go()
    jobs[NODES + 2].let_go()
    assert local.cluster.allocation("nodes").current == NODES


def test_compute_scaled_down_keeps_its_running_jobs(local: Local) -> None:
    jobs = [local.job() for _ in range(NODES)]
    local.wait(lambda: [job.status for job in jobs] == ["Running"] * NODES)
    local.cluster.resize(local.workspace.computes.rescale("nodes", ScaleSettings(0, 1, 60)))
    nodes = local.cluster.allocation("nodes")
    assert (nodes.state, nodes.current, nodes.target) == ("Resizing", NODES, 1)
    assert (nodes.counts["running"], nodes.counts["leaving"]) == (1, 1)
    jobs[0].let_go()
    local.wait(lambda: local.cluster.allocation("nodes").state == "Steady")
    assert local.cluster.allocation("nodes").current == 1
    local.cluster.resize(local.workspace.computes.rescale("nodes", ScaleSettings(0, 0, 60)))
    jobs[1].let_go()
    last = local.job()
    local.wait(lambda: last.status == "Queued")
    assert "may have no nodes at all (max_nodes=0)" in str(last.waits_for)


def test_scheduler_goes_on_after_a_fault(
    local: Local, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    advance, faults = local.workspace.runs.advance, iter([OSError("No space left on device")])

    def failing_once(*words: Any, **more: Any) -> Run:
        for fault in faults:
            raise fault
        return advance(*words, **more)

    monkeypatch.setattr(local.workspace.runs, "advance", failing_once)
    run = local.submit("true")
    local.wait(lambda: local.status(run) == "Completed")
    assert "The queue of nodes can't be served" in caplog.text
    assert local.cluster.allocation("nodes").current == 1  # the node that the fault had taken is not lost


def test_run_deleted_while_queued_harms_no_other_run_and_no_other_queue(
    local: Local, caplog: pytest.LogCaptureFixture
) -> None:
    local.workspace.computes.put(ClusterRequest("others", "D2", ScaleSettings(0, 1, 60)))
    local.cluster.resize(local.workspace.computes.get("others"))
    jobs = [local.job() for _ in range(NODES + 1)]
    local.wait(lambda: jobs[NODES].status == "Queued")
    never_queued = replace_id(local.workspace.runs.get(jobs[NODES].id), "never-made")
    local.cluster.submit(never_queued)
    with local.workspace.database.write() as session:
        session.execute(delete(RunEvent).where(RunEvent.run_id == jobs[NODES].id))
        session.execute(delete(Run).where(Run.id == jobs[NODES].id))
    behind, elsewhere = local.submit("true"), local.submit("true", "others")
    local.wait(lambda: local.status(elsewhere) == "Completed")
    jobs[0].let_go()
    local.wait(lambda: local.status(behind) == "Completed")
    jobs[1].let_go()
    assert "was deleted while it waited" in caplog.text
    assert "can't be served" not in caplog.text


def test_row_that_cannot_be_read_harms_no_other_run_of_an_earlier_server(local: Local) -> None:
    job, waiting = local.job(), [local.job() for _ in range(NODES)]
    local.wait(lambda: waiting[-1].status == "Queued")
    local.cluster.stop()
    experiment = local.workspace.experiments.get("tests").id
    for number, process in enumerate(({"pid": "x", "started": None}, {"who": 5, "ran": "?"}, ["no", "object"])):
        odd = NewRun(f"odd-{number}", experiment, target="nodes", definition={"target": "nodes"}, snapshot_id=SNAPSHOT)
        local.workspace.runs.create(odd)
        local.workspace.runs.note_process(odd.run_id, process)  # type: ignore[arg-type]
        local.workspace.runs.advance(odd.run_id, "Running")
    local.cluster = Cluster(local.services())
    local.cluster.start()
    waiting[-1].let_go()
    local.wait(lambda: local.status("odd-0") == local.status("odd-2") == "Failed")
    assert job.status == "Canceled"


def test_listener_that_fails_keeps_no_other_from_hearing(local: Local, caplog: pytest.LogCaptureFixture) -> None:
    heard: list[str] = []

    def fails(run: Run) -> None:
        raise ValueError(run.id)

    local.workspace.runs.listen(fails)
    local.workspace.runs.listen(lambda run: heard.append(run.status))
    run = local.submit("true")
    local.wait(lambda: heard and heard[-1] == "Completed")
    assert local.status(run) == "Completed"
    assert "A listener failed" in caplog.text


def replace_id(run: Run, run_id: str) -> Run:
    """A run of this id that no row has: its submission stood still while it was deleted."""
    run.id = run_id
    return run


def test_queued_runs_are_run_after_a_restart(local: Local) -> None:
    job, waiting = local.job(), [local.job() for _ in range(NODES)]
    local.wait(lambda: waiting[-1].status == "Queued")
    local.cluster.stop()
    assert (job.status, waiting[-1].status) == ("Canceled", "Queued")
    experiment = local.workspace.experiments.get("tests").id
    gone = local.workspace.runs.create(
        NewRun(
            "orphan",
            experiment,
            target="deleted",
            snapshot_id=SNAPSHOT,
            **as_job({"target": "deleted", "command": "true"}),
        )
    )
    local.cluster = Cluster(local.services())
    local.cluster.start()
    waiting[-1].let_go()
    orphan = local.workspace.runs.get(gone.id)
    assert orphan.status == "Failed"
    assert "'deleted' was deleted before the run could wait" in orphan.error["error"]["message"]  # type: ignore[index]
    log = local.workspace.artifacts.get("ExperimentRun", f"dcid.{waiting[-1].id}", "azureml-logs/10_queue_log.txt")
    lines = local.workspace.artifacts.path(log).read_text().splitlines()
    assert lines[0].endswith("Waiting for a node: nodes has all its 2 nodes busy. It is the next one.")
    assert lines[-1].endswith("takes it.")


def test_compute_deleted_and_created_again_has_no_runs_of_the_old_one(local: Local) -> None:
    jobs = [local.job() for _ in range(NODES + 1)]
    local.wait(lambda: jobs[NODES].status == "Queued")
    compute = local.workspace.computes.get("nodes")
    local.cluster.remove("nodes")
    local.cluster.resize(compute)
    assert local.cluster.allocation("nodes").current == 0
    again = local.submit("true")
    local.wait(lambda: local.status(again) == "Completed")
    local.wait(lambda: all(job.status == "Canceled" for job in jobs))
    assert local.cluster.allocation("nodes").current == 1
