"""Termination policies, by the examples of Azure's documentation and by what must hold for any values."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from security.conftest import examples

from azureml_local.cluster.orchestration.policies import reason_to_end
from azureml_local.workspace.sweeps import BANDIT, MEDIAN, NONE, TRUNCATION, Policy

ROWS = st.lists(st.lists(st.floats(-1e6, 1e6), min_size=3, max_size=3), min_size=1, max_size=6)


def ended(policy: Policy, rows: list[list[float]], interval: int, *, maximize: bool = True) -> list[int]:
    """Which runs end at the interval."""
    values = {str(number): row for number, row in enumerate(rows)}
    return [
        number
        for number in range(len(rows))
        if reason_to_end(policy, values, str(number), interval, maximize=maximize) is not None
    ]


@pytest.mark.sdk("BanditPolicy")
def test_bandit_policy_cancels_runs_outside_its_slack() -> None:
    # With a best of 0.8 and a slack factor of 0.2, runs below 0.8 / 1.2 = 0.667 end.
    rows = [[0.8], [0.67], [0.66]]
    assert ended(Policy(BANDIT, slack_factor=0.2), rows, 1) == [2]
    assert ended(Policy(BANDIT, slack_amount=0.135), rows, 1) == [2]
    assert ended(Policy(BANDIT, slack_factor=0.2), [[0.8], [0.95], [0.97]], 1, maximize=False) == [2]
    assert ended(Policy(BANDIT, slack_factor=0.2), [[-10], [-11], [-13]], 1) == [2]
    # Its best value counts, not its last.
    assert ended(Policy(BANDIT, slack_factor=0.2), [[0.8, 0.9], [0.8, 0.1]], 2) == []
    assert ended(Policy(NONE), rows, 1) == []


@pytest.mark.sdk("MedianStoppingPolicy")
def test_median_stopping_policy_cancels_runs_below_the_median() -> None:
    # The averages are 2, 3 and 5; a run that never was better than 3 ends.
    assert ended(Policy(MEDIAN), [[2, 2], [1, 5], [5, 5]], 2) == [0]
    assert ended(Policy(MEDIAN), [[2, 2], [1, 5], [5, 5]], 2, maximize=False) == [2]


@pytest.mark.sdk("TruncationSelectionPolicy")
def test_truncation_selection_policy_cancels_the_given_percentage() -> None:
    rows = [[float(n)] for n in range(10)]
    assert ended(Policy(TRUNCATION, percentage=20), rows, 1) == [0, 1]
    assert ended(Policy(TRUNCATION, percentage=20), rows, 1, maximize=False) == [8, 9]
    assert ended(Policy(TRUNCATION, percentage=50), [[1.0]] * 4, 1) == []


@pytest.mark.parametrize(
    ("interval", "applies"), [(1, False), (3, False), (4, False), (5, True), (6, False), (10, True)]
)
def test_policy_is_applied_at_its_interval_after_its_delay(interval: int, applies: bool) -> None:
    rows = [[1.0] * 10, [0.1] * 10]
    assert bool(ended(Policy(BANDIT, 5, 3, slack_factor=0.1), rows, interval)) is applies
    assert not ended(Policy(BANDIT, 5, 11, slack_factor=0.1), rows, interval)


@examples(200)
@given(ROWS, st.booleans(), st.integers(1, 99))
def test_policy_never_cancels_the_best_run(rows: list[list[float]], maximize: bool, percentage: int) -> None:
    best = max if maximize else min
    first = best(range(len(rows)), key=lambda number: best(rows[number]))
    assert first not in ended(Policy(BANDIT, slack_factor=0.1), rows, 3, maximize=maximize)
    assert first not in ended(Policy(BANDIT, slack_amount=0.0), rows, 3, maximize=maximize)
    assert first not in ended(Policy(MEDIAN), rows, 3, maximize=maximize)
    last = best(range(len(rows)), key=lambda number: rows[number][2])
    assert last not in ended(Policy(TRUNCATION, percentage=percentage), rows, 3, maximize=maximize)
