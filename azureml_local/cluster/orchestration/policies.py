"""When a run of a sweep is ended early, by the rules that Azure documents for its termination policies.

An interval is one value of the primary metric: a run that has logged five of them is at its interval 5.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean, median

from azureml_local.workspace.sweeps import BANDIT, MEDIAN, NONE, TRUNCATION, Policy

Values = Mapping[str, Sequence[float]]


def reason_to_end(policy: Policy, values: Values, run: str, interval: int, *, maximize: bool) -> str | None:
    """Why a run ends at an interval that it has reached, in words; None for one that goes on.

    ``values`` are what each run of the sweep has logged so far, ended ones included.
    """
    if policy.name == NONE or interval < max(1, policy.delay) or interval % policy.interval:
        return None
    # All as if it was to be as large as possible.
    sign = 1.0 if maximize else -1.0
    so_far = {name: [sign * value for value in row[:interval]] for name, row in values.items() if row}
    rule = {BANDIT: _bandit, MEDIAN: _median, TRUNCATION: _truncation}[policy.name]
    return rule(policy, so_far, run, interval, sign)


def _bandit(policy: Policy, so_far: Values, run: str, interval: int, sign: float) -> str | None:
    """Its best value isn't within the slack of the best value of any run at this interval."""
    mine, best = max(so_far[run]), max(max(row) for row in so_far.values())
    if policy.slack_amount is not None:
        least = best - policy.slack_amount
    else:
        # Away from the best one: a value below 0 (as all are here that should be small) is so by being multiplied.
        factor = 1 + (policy.slack_factor or 0.0)
        least = best / factor if best > 0 else best * factor
    return f"{sign * mine:g} is not within the slack of the best, {sign * best:g}" if mine < least else None


def _median(policy: Policy, so_far: Values, run: str, interval: int, sign: float) -> str | None:
    """Its best value is worse than the median of all runs' averages up to this interval."""
    middle = median(fmean(row) for row in so_far.values() if len(row) == interval)
    mine = max(so_far[run])
    return f"{sign * mine:g} is worse than the median of the averages, {sign * middle:g}" if mine < middle else None


def _truncation(policy: Policy, so_far: Values, run: str, interval: int, sign: float) -> str | None:
    """It is among the worst of those that have come to this interval, so many of a hundred."""
    row = sorted(values[-1] for values in so_far.values() if len(values) == interval)
    out = int(len(row) * policy.percentage / 100)
    mine = so_far[run][-1]
    return f"{sign * mine:g} is among the worst {out} of {len(row)} runs" if mine < row[out] else None
