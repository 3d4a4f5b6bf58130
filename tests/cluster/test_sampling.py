"""The hyperparameters of a sweep: within their bounds, the same for the same seed, by the SDK's formulas."""

from __future__ import annotations

import itertools
import math
import statistics
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from security.conftest import examples

from azureml_local.cluster.orchestration.sampling import Past, Sampler
from azureml_local.server.dataplane.sweepconfiguration import parse_sweep
from azureml_local.workspace.errors import WorkspaceError
from azureml_local.workspace.sweeps import SweepSpec

NUMBER = st.one_of(st.integers(-50, 50), st.floats(-50, 50, allow_subnormal=False))
STEP = st.integers(1, 9)


def sweep(space: dict[str, Any], sampling: str = "RANDOM", **more: Any) -> SweepSpec:
    return parse_sweep(
        {
            "generator_config": {"name": sampling, "parameter_space": space},
            "primary_metric_config": {"name": "score", "goal": "MAXIMIZE"},
            "policy_config": {"name": "Default"},
            "max_total_jobs": 1000,
            **more,
        }
    )


def samples(spec: SweepSpec, count: int, seed: int = 1) -> list[dict[str, Any]]:
    sampler = Sampler(spec, seed)
    taken = [sampler.take(number, lambda: []) for number in range(count)]
    return [sample for sample in taken if sample is not None]


@pytest.mark.sdk("RandomParameterSampling")
@examples(60)
@given(st.tuples(NUMBER, NUMBER).filter(lambda pair: pair[0] < pair[1]), STEP, st.integers(0, 2**32 - 1))
def test_sampling_expressions_stay_within_their_bounds(bounds: tuple[float, float], step: int, seed: int) -> None:
    import azureml.train.hyperdrive as sdk

    low, high = bounds
    sigma = max(0.01, abs(high))
    space = {
        "choice": sdk.choice("a", 2, 3.5, True),
        "randint": sdk.randint(step),
        "uniform": sdk.uniform(low, high),
        "quniform": sdk.quniform(low, high, step),
        "loguniform": sdk.loguniform(low, high),
        "qloguniform": sdk.qloguniform(low, high, step),
        "normal": sdk.normal(low, sigma),
        "qnormal": sdk.qnormal(low, sigma, step),
        "lognormal": sdk.lognormal(low, sigma),
        "qlognormal": sdk.qlognormal(low, sigma, step),
    }
    for sample in samples(sweep(space), 3, seed):
        assert list(sample) == list(space)
        assert any(sample["choice"] is option for option in ("a", 2, 3.5, True))
        assert sample["randint"] in range(step)
        assert low <= sample["uniform"] <= high
        assert low - step / 2 <= sample["quniform"] <= high + step / 2
        assert math.exp(low) <= sample["loguniform"] * (1 + 1e-9)
        assert sample["loguniform"] <= math.exp(high) * (1 + 1e-9)
        assert abs(sample["normal"] - low) <= 8.01 * sigma
        for kind in ("quniform", "qloguniform", "qnormal", "qlognormal"):
            assert sample[kind] % step == 0
            assert isinstance(sample[kind], int)
        assert sample["lognormal"] > 0
        assert sample["qlognormal"] >= 0


def test_sampling_normal_has_its_mean_and_deviation() -> None:
    values = [sample["x"] for sample in samples(sweep({"x": ["normal", [5, 2]]}), 1000)]
    assert statistics.fmean(values) == pytest.approx(5, abs=0.25)
    assert statistics.stdev(values) == pytest.approx(2, abs=0.2)
    assert sum(abs(value - 5) < 2 for value in values) / 1000 == pytest.approx(0.683, abs=0.05)


def test_sampling_with_a_seed_is_the_same_in_any_order() -> None:
    spec = sweep({"x": ["uniform", [0, 1]], "y": ["randint", [1000]]})
    first = samples(spec, 20, seed=7)
    assert samples(spec, 20, seed=7) == first
    assert samples(spec, 20, seed=8) != first
    # As a server does that goes on with a sweep of another one.
    assert Sampler(spec, 7).take(13, lambda: []) == first[13]


def test_random_sampling_of_few_combinations_repeats_none() -> None:
    space = {"x": ["choice", [[1, 2, 3]]], "y": ["randint", [4]]}
    random = samples(sweep(space), 100)
    every = [{"x": x, "y": y} for x, y in itertools.product((1, 2, 3), range(4))]
    assert random != every
    assert sorted(random, key=str) == sorted(every, key=str)
    grid = {"x": ["choice", [[1, 2, 3]]], "y": ["choice", [["a", "b"]]]}
    assert samples(sweep(grid, "GRID"), 100) == [{"x": x, "y": y} for x in (1, 2, 3) for y in ("a", "b")]


def test_bayesian_sampling_favours_the_better_region() -> None:
    spec = sweep({"x": ["uniform", [0, 1]], "kind": ["choice", [["good", "bad"]]]}, "BayesianOptimization")
    past: list[Past] = []
    sampler = Sampler(spec, 5)
    for number in range(40):
        sample = sampler.take(number, lambda: past)
        assert sample is not None
        past.append(Past(sample, -abs(sample["x"] - 0.8) - (sample["kind"] == "bad")))
    late = past[25:]
    assert statistics.median(abs(run.hyperparameters["x"] - 0.8) for run in late) < 0.2  # by chance it would be 0.3
    assert sum(run.hyperparameters["kind"] == "good" for run in late) > len(late) * 0.7
    # Runs that go on, and those that logged nothing, are no obstacle.
    strange = [*past, Past({"x": 0.5, "kind": "bad"}, None, running=True), Past({"x": 0.5, "kind": "bad"}, None)]
    assert sampler.take(40, lambda: strange) is not None


SCALAR = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=9))
ANY = st.recursive(
    SCALAR,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=9), inner, max_size=3)),
    max_leaves=8,
)
KINDS = ["choice", "randint", "uniform", "quniform", "loguniform", "qloguniform", "normal", "qnormal", "lognormal"]
EXPRESSION = st.one_of(ANY, st.tuples(st.sampled_from([*KINDS, "x"]), st.lists(SCALAR, max_size=4)).map(list))
PROPERTIES = st.one_of(
    ANY,
    st.dictionaries(
        st.sampled_from(["seed", "slack_factor", "slack_amount", "evaluation_interval", "truncation_percentage"]),
        SCALAR,
    ),
)


@examples(300)
@given(
    st.sampled_from(["RANDOM", "grid", "BayesianOptimization", "", 3]),
    st.one_of(ANY, st.dictionaries(st.sampled_from(["x", "--x", "y", "Ä", ""]), EXPRESSION, max_size=3)),
    st.sampled_from(["Default", "bandit", "MedianStopping", "TruncationSelection", None]),
    PROPERTIES,
    SCALAR,
)
def test_sampling_configuration_of_any_json_is_parsed_or_refused(
    sampling: Any, space: Any, policy: Any, properties: Any, total: Any
) -> None:
    try:
        spec = parse_sweep(
            {
                "generator_config": {"name": sampling, "parameter_space": space, "properties": properties},
                "primary_metric_config": {"name": "score", "goal": "minimize"},
                "policy_config": {"name": policy, "properties": properties},
                "max_total_jobs": total,
            }
        )
    except WorkspaceError:
        return
    # What is understood can be sampled.
    assert samples(spec, 2) != []
