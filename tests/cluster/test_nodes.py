"""The nodes of a cluster: made when needed, given back when idle; time is the test's own."""

from __future__ import annotations

import pytest

from azureml_local.cluster.nodes import NodePool
from azureml_local.workspace.computes import ScaleSettings
from azureml_local.workspace.errors import Invalid


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_compute_grows_to_its_maximum_and_no_further(clock: Clock) -> None:
    pool = NodePool(ScaleSettings(0, 2, 60), clock)
    assert pool.size == 0
    assert [pool.acquire(run) is not None for run in "abc"] == [True, True, False]
    assert pool.allocation().counts["running"] == 2
    pool.release("a")
    assert pool.acquire("c") is not None
    assert pool.size == 2


def test_an_idle_node_is_used_before_a_new_one_is_made(clock: Clock) -> None:
    pool = NodePool(ScaleSettings(0, 4, 60), clock)
    first = pool.acquire("a")
    pool.release("a")
    assert pool.acquire("b") is first


def test_idle_nodes_are_released_after_the_idle_time_down_to_the_minimum(clock: Clock) -> None:
    pool = NodePool(ScaleSettings(1, 3, 60), clock)
    pool.fill()
    for run in "abc":
        pool.acquire(run)
    pool.release("a")
    clock.seconds = 50
    pool.release("b")
    assert pool.scale_down() == 10
    clock.seconds = 60
    assert pool.scale_down() == 50
    assert pool.size == 2
    clock.seconds = 200
    assert pool.scale_down() is None
    pool.release("c")
    clock.seconds = 1000
    pool.scale_down()
    assert (pool.size, pool.allocation().counts["idle"]) == (1, 1)


def test_new_limits_leave_running_jobs_alone(clock: Clock) -> None:
    pool = NodePool(ScaleSettings(0, 3, 60), clock)
    for run in "abc":
        pool.acquire(run)
    pool.rescale(ScaleSettings(0, 1, 60))
    assert pool.allocation().counts == {"running": 1, "leaving": 2}
    pool.release("a")
    pool.release("b")
    assert pool.size == 1
    pool.rescale(ScaleSettings(2, 2, 60))
    assert pool.size == 2


@pytest.mark.parametrize("scale", [ScaleSettings(2, 1), ScaleSettings(-1, 1), ScaleSettings(0, 10_000)])
def test_node_limits_invalid_are_refused(scale: ScaleSettings) -> None:
    with pytest.raises(Invalid, match="node counts"):
        scale.check()
