"""Injected faults: what they apply to, and how often."""

from __future__ import annotations

import pytest

from azureml_local.cluster.faultinjection import FaultInjector
from azureml_local.runtime.faults import FaultKind


@pytest.fixture
def faults() -> FaultInjector:
    return FaultInjector()


def test_fault_event_fires_the_given_times_on_the_given_compute(faults: FaultInjector) -> None:
    made = faults.start("node-lost", times=2, compute="cpu")
    assert faults.take(FaultKind.NODE_LOST, "gpu") is None
    assert faults.take(FaultKind.BUILD_FAILED, "cpu") is None
    assert [faults.take(FaultKind.NODE_LOST, "cpu") is not None for _ in range(3)] == [True, True, False]
    assert (made.happened, made.over) == (2, True)
    faults.start("node-lost")
    assert faults.take(FaultKind.NODE_LOST, "gpu") is not None


def test_fault_state_lasts_until_cleared(faults: FaultInjector) -> None:
    told = []
    faults.listen(lambda: told.append(len(faults.list())))
    made = faults.start("queue-stuck")
    assert all(faults.holds(FaultKind.QUEUE_STUCK, "cpu") for _ in range(3))
    assert faults.clear(made.id) == 1
    assert not faults.holds(FaultKind.QUEUE_STUCK, "cpu")
    assert faults.clear(made.id) == 0
    assert told == [1, 0, 0]


def test_faults_of_nodes_and_queues_do_not_apply_to_the_target_local(faults: FaultInjector) -> None:
    for kind in ("queue-stuck", "node-lost", "build-failed"):
        faults.start(kind)
    assert not faults.holds(FaultKind.QUEUE_STUCK, "local")
    assert faults.take(FaultKind.NODE_LOST, "local") is None
    assert faults.take(FaultKind.BUILD_FAILED, "local") is not None
    faults.start("node-lost", compute="local")
    assert faults.take(FaultKind.NODE_LOST, "local") is not None


@pytest.mark.parametrize(
    ("pattern", "met", "not_met"),
    [
        (None, ["GET /a", "PUT /a/b"], ["GET /local/status"]),
        ("*/computes/*", ["GET /w/computes/c", "PUT /w/computes/c"], ["GET /w/computes"]),
        ("PUT */computes/*", ["PUT /w/computes/c"], ["GET /w/computes/c"]),
        ("/history/*", ["GET /history/v1.0/x"], ["GET /metric/history/x"]),
        ("*", ["POST /any"], ["DELETE /local/faults"]),
    ],
)
def test_fault_pattern_selects_the_requests(
    faults: FaultInjector, pattern: str | None, met: list[str], not_met: list[str]
) -> None:
    faults.start("throttled", requests=pattern, times=100)
    assert [request for request in [*met, *not_met] if faults.answer(*request.split(" "))] == met
