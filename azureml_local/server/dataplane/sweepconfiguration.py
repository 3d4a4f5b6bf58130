"""Parser of the SDK's sweep definition to a `sweeps.SweepSpec`, before the run is created.

The description is azureml.train.restclients.hyperdrive.models.CreateExperimentDto.
"""

from __future__ import annotations

import math
import random
import re
from collections.abc import Mapping
from typing import Any

from azureml_local.workspace.errors import Invalid, NotBuilt
from azureml_local.workspace.sweeps import (
    BANDIT,
    BAYESIAN,
    FARTHEST,
    GRID,
    MEDIAN,
    NONE,
    RANDOM,
    SEEDS,
    TRUNCATION,
    Parameter,
    Policy,
    SweepSpec,
)
from azureml_local.workspace.texts import check_text

# Where a parent's definition has the description of its sweep, beside the run configuration of its children.
KEY = "hyperdrive"

# What each sampling takes (azureml.train.hyperdrive.sampling); the random one takes all.
DISTRIBUTIONS = {GRID: {"choice"}, BAYESIAN: {"choice", "uniform", "quniform"}}
# CreateExperimentDto._validation
MOST_RUNS, MOST_CONCURRENT, MOST_MINUTES = 1000, 100, 43200
MOST_PARAMETERS = 100
# Beyond it exp() is no number any more.
LARGEST_EXPONENT = 700.0
PARAMETER = re.compile(r"-{0,2}[A-Za-z_][\w.-]{0,127}", re.ASCII)


def parse_sweep(source: Mapping[str, Any]) -> SweepSpec:
    """Raises Invalid, NotBuilt; the message says what is wrong and what would be right."""
    generator, metric = _part(source, "generator_config"), _part(source, "primary_metric_config")
    sampling = str(generator.get("name") or "").lower()
    if sampling not in (RANDOM, GRID, BAYESIAN):
        raise Invalid(f"{str(generator.get('name'))[:80]!r} is no sampling: RANDOM, GRID or BayesianOptimization.")
    goal = str(metric.get("goal") or "").lower()
    if goal not in ("maximize", "minimize"):
        raise Invalid(f"The primary metric's goal must be MAXIMIZE or MINIMIZE, not {str(metric.get('goal'))[:80]!r}.")
    name = metric.get("name")
    if not isinstance(name, str) or not name:
        raise Invalid("A sweep needs the name of its primary metric, as the script logs it.")
    if source.get("resume_child_runs"):
        raise NotBuilt(
            "HyperDriveConfig(resume_child_runs=...) is not built in azureml-local: it mounts outputs of other runs. "
            "Register them as a dataset and pass that to the script."
        )
    seed = _seed(_part(generator, "properties"))
    total = _count(source, "max_total_jobs", MOST_RUNS, MOST_RUNS)
    policy = _policy(_part(source, "policy_config"))
    if sampling == BAYESIAN and policy.name != NONE:
        raise Invalid("Bayesian sampling doesn't support early termination: leave the policy out.")
    return SweepSpec(
        sampling=sampling,
        seed=random.randrange(SEEDS) if seed is None else seed,
        parameters=_space(_part(generator, "parameter_space"), sampling),
        metric=check_text("The primary metric's name", name),
        maximize=goal == "maximize",
        policy=policy,
        max_total=total,
        max_concurrent=min(total, _count(source, "max_concurrent_jobs", MOST_CONCURRENT, MOST_CONCURRENT)),
        max_minutes=_count(source, "max_duration_minutes", MOST_MINUTES, 10080),
        resume_from=tuple(_resumed(source.get("resume_from"))),
    )


def _space(space: Mapping[str, Any], sampling: str) -> tuple[Parameter, ...]:
    if not 0 < len(space) <= MOST_PARAMETERS:
        raise Invalid(f"A parameter space needs 1 to {MOST_PARAMETERS} parameters, not {len(space)}.")
    parameters = tuple(_parameter(name, expression) for name, expression in space.items())
    for parameter in parameters:
        if parameter.kind not in DISTRIBUTIONS.get(sampling, {parameter.kind}):
            known = ", ".join(sorted(DISTRIBUTIONS[sampling]))
            raise Invalid(f"{parameter.name}: {parameter.kind} is not for this sampling, which takes {known}.")
    if len({parameter.argument for parameter in parameters}) < len(parameters):
        raise Invalid("Two parameters of the space would be the same argument of the script.")
    return parameters


def _parameter(name: str, expression: Any) -> Parameter:
    if not PARAMETER.fullmatch(name):
        raise Invalid(f"{name[:80]!r} is no name of a parameter: use letters, digits, '_', '-' and '.'.")
    if not isinstance(expression, list) or len(expression) != 2 or not isinstance(expression[1], list):
        raise Invalid(f"{name}: a parameter is described by an expression such as uniform(0, 1) or choice(1, 2).")
    kind, values = expression
    if kind == "choice":
        options = values[0] if len(values) == 1 else None
        if not isinstance(options, list) or not options:
            raise Invalid(f"{name}: a choice needs at least one option.")
        for option in options:
            if not isinstance(option, (str, int, float)):
                raise Invalid(f"{name}: the option {str(option)[:80]} is neither a number nor a text.")
            if isinstance(option, str):
                check_text(f"{name}: an option", option)
        return Parameter(name, kind, options=tuple(options))
    checked = tuple(_number(name, value) for value in values)
    if kind not in _EXPRESSIONS:
        raise Invalid(f"{name}: {str(kind)[:80]!r} is no expression; there are choice, {', '.join(_EXPRESSIONS)}.")
    arguments, holds = _EXPRESSIONS[kind]
    if len(checked) != len(arguments.split(", ")) or not holds(*checked):
        raise Invalid(f"{name}: {kind}({', '.join(map(str, values))[:80]}) makes no sense as {kind}({arguments}).")
    return Parameter(name, kind, numbers=checked)


def _exp(low: float, high: float) -> bool:
    return low <= high <= LARGEST_EXPONENT and low >= -LARGEST_EXPONENT


def _exp_normal(mu: float, sigma: float) -> bool:
    return sigma > 0 and abs(mu) + FARTHEST * sigma <= LARGEST_EXPONENT


_EXPRESSIONS: Mapping[str, tuple[str, Any]] = {
    "randint": ("upper", lambda upper: upper >= 1 and upper == int(upper)),
    "uniform": ("min_value, max_value", lambda low, high: low < high),
    "quniform": ("min_value, max_value, q", lambda low, high, q: low < high and q > 0),
    "loguniform": ("min_value, max_value", _exp),
    "qloguniform": ("min_value, max_value, q", lambda low, high, q: _exp(low, high) and q > 0),
    "normal": ("mu, sigma", lambda mu, sigma: sigma > 0),
    "qnormal": ("mu, sigma, q", lambda mu, sigma, q: sigma > 0 and q > 0),
    "lognormal": ("mu, sigma", _exp_normal),
    "qlognormal": ("mu, sigma, q", lambda mu, sigma, q: _exp_normal(mu, sigma) and q > 0),
}


def _policy(policy: Mapping[str, Any]) -> Policy:
    """``{"name": "Bandit", "properties": {...}}`` (azureml.train.hyperdrive.policy)."""
    name, properties = str(policy.get("name") or "").lower(), _part(policy, "properties")
    interval = _count(properties, "evaluation_interval", MOST_MINUTES, 1)
    delay = _count(properties, "delay_evaluation", MOST_MINUTES, 0, least=0)
    if name == BANDIT:
        factor, amount = (_optional(properties, key) for key in ("slack_factor", "slack_amount"))
        if (factor is None) == (amount is None) or min(factor or 0.0, amount or 0.0) < 0:
            raise Invalid("A bandit policy needs slack_factor or slack_amount, one of them, and not below 0.")
        return Policy(name, interval, delay, slack_factor=factor, slack_amount=amount)
    if name == TRUNCATION:
        percentage = _optional(properties, "truncation_percentage")
        if percentage is None or not 1 <= percentage <= 99:
            raise Invalid("A truncation selection policy needs a truncation_percentage from 1 to 99.")
        return Policy(name, interval, delay, percentage=percentage)
    if name in (MEDIAN, NONE):
        return Policy(name, interval, delay)
    raise Invalid(f"{str(policy.get('name'))[:80]!r} is no policy: Bandit, MedianStopping or TruncationSelection.")


def _seed(properties: Mapping[str, Any]) -> int | None:
    unknown = properties.keys() - {"seed"}
    if unknown:
        raise NotBuilt(f"The sampling's property {min(unknown)[:80]!r} is not built in azureml-local; 'seed' is.")
    seed = properties.get("seed")
    if seed is not None and (not isinstance(seed, int) or isinstance(seed, bool) or not 0 <= seed < SEEDS):
        raise Invalid(f"A seed is a whole number from 0 to {SEEDS - 1}, not {str(seed)[:40]!r}.")
    return seed


def _resumed(keys: Any) -> list[str]:
    """The ids of runs, given as RunKeys."""
    if keys is not None and not isinstance(keys, list):
        raise Invalid("resume_from must be a list of runs.")
    found = [_part({"key": key}, "key").get("run_id") for key in keys or []]
    if not all(isinstance(run_id, str) and run_id for run_id in found):
        raise Invalid("resume_from must be a list of runs, each with its run_id.")
    return [str(run_id) for run_id in found]


def _part(value: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = value.get(key)
    if found is not None and not isinstance(found, Mapping):
        raise Invalid(f"{key} must be an object, not {str(found)[:80]!r}.")
    return found or {}


def _number(name: str, value: Any) -> float:
    if not isinstance(value, (int, float)) or isinstance(value, bool) or abs(value) > 1e300 or not math.isfinite(value):
        raise Invalid(f"{name}: {str(value)[:80]!r} is no number that can be sampled with.")
    return value


def _optional(properties: Mapping[str, Any], key: str) -> float | None:
    return None if properties.get(key) is None else _number(key, properties[key])


def _count(source: Mapping[str, Any], key: str, most: int, default: int, *, least: int = 1) -> int:
    value = source.get(key)
    if value is None:
        return default
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise Invalid(f"{key} must be a whole number from {least} to {most}, not {str(value)[:40]!r}.")
    return value
