"""The hyperparameters of each run of a sweep. Optuna samples; this says what, in its words, and reads its answers."""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

from azureml_local.workspace.sweeps import BAYESIAN, FARTHEST, GRID, Parameter, SweepSpec

if TYPE_CHECKING:
    import optuna

# The tails that a uniform number can't be turned into a normal one from: 8 standard deviations from the mean.
TAIL = NormalDist().cdf(-FARTHEST)

Hyperparameters = dict[str, Any]


@dataclass(frozen=True)
class Past:
    """A run that there is already: its hyperparameters, and its best value of the primary metric so far, if any."""

    hyperparameters: Mapping[str, Any]
    value: float | None
    running: bool = False


class Sampler:
    """The hyperparameters of run after run, the same ones for the same seed.

    Those of the Bayesian sampling depend on how the runs before went, too.
    """

    def __init__(self, spec: SweepSpec, seed: int) -> None:
        self._spec = spec
        self._seed = seed
        self._made: list[Hyperparameters] = []
        self._sequence = self._grid() if spec.sampling == GRID else self._random()

    def take(self, number: int, past: Callable[[], Sequence[Past]]) -> Hyperparameters | None:
        """The hyperparameters of a run, counted from 0; None when there are no more."""
        if number >= self._spec.size:
            return None
        if self._spec.sampling == BAYESIAN:
            return self._bayesian(number, past())
        while len(self._made) <= number:
            self._made.append(next(self._sequence))
        return self._made[number]

    def _grid(self) -> Iterator[Hyperparameters]:
        """All combinations, the last parameter changing fastest."""
        names = [parameter.name for parameter in self._spec.parameters]
        options = [parameter.options for parameter in self._spec.parameters]
        return (dict(zip(names, values, strict=True)) for values in itertools.product(*options))

    def _random(self) -> Iterator[Hyperparameters]:
        import optuna

        study = _study(optuna.samplers.RandomSampler(self._seed), maximize=self._spec.maximize)
        space = _distributions(self._spec.parameters)
        # Where there is a number of combinations, none comes twice.
        countable = all(each.size is not None for each in self._spec.parameters)
        seen: set[tuple[Any, ...]] = set()
        while True:
            asked = study.ask(space).params
            if countable:
                if tuple(asked.values()) in seen:
                    continue
                seen.add(tuple(asked.values()))
            yield _values(self._spec.parameters, asked)

    def _bayesian(self, number: int, past: Sequence[Past]) -> Hyperparameters:
        import optuna

        with warnings.catch_warnings():
            # Of a run that goes on it takes the worst for granted, so that two at once don't try the same.
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            sampler = optuna.samplers.TPESampler(seed=(self._seed + number) % 2**32, constant_liar=True)
        study = _study(sampler, maximize=self._spec.maximize)
        space = _distributions(self._spec.parameters)
        for run in past:
            if run.value is None and not run.running:
                continue
            study.add_trial(
                optuna.trial.create_trial(
                    state=optuna.trial.TrialState.RUNNING if run.running else optuna.trial.TrialState.COMPLETE,
                    params={each.name: _asked(each, run.hyperparameters[each.name]) for each in self._spec.parameters},
                    distributions=space,
                    value=None if run.running else run.value,
                )
            )
        return _values(self._spec.parameters, study.ask(space).params)


def _study(sampler: optuna.samplers.BaseSampler, *, maximize: bool) -> optuna.Study:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna.create_study(sampler=sampler, direction="maximize" if maximize else "minimize")


def _distributions(parameters: Sequence[Parameter]) -> dict[str, optuna.distributions.BaseDistribution]:
    """What Optuna samples: places of options, numbers, exponents, and for normal values their probability."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    space: dict[str, optuna.distributions.BaseDistribution] = {}
    for each in parameters:
        if each.kind == "choice":
            space[each.name] = CategoricalDistribution(range(len(each.options)))
        elif each.kind == "randint":
            space[each.name] = IntDistribution(0, int(each.numbers[0]) - 1)
        elif each.kind.endswith("normal"):
            space[each.name] = FloatDistribution(TAIL, 1 - TAIL)
        else:
            space[each.name] = FloatDistribution(each.numbers[0], each.numbers[1])
    return space


def _values(parameters: Sequence[Parameter], asked: Mapping[str, Any]) -> Hyperparameters:
    return {each.name: _value(each, asked[each.name]) for each in parameters}


def _value(parameter: Parameter, asked: Any) -> Any:
    """By the formulas of azureml.train.hyperdrive.parameter_expressions."""
    kind = parameter.kind
    if kind == "choice":
        return parameter.options[asked]
    if kind == "randint":
        return asked
    if kind.endswith("normal"):
        mu, sigma = parameter.numbers[:2]
        asked = mu + sigma * NormalDist().inv_cdf(asked)
    if "log" in kind:
        asked = math.exp(asked)
    return round(asked / parameter.numbers[2]) * parameter.numbers[2] if kind.startswith("q") else asked


def _asked(parameter: Parameter, value: Any) -> Any:
    """What Optuna must have answered for a value, of the three kinds that the Bayesian sampling takes."""
    if parameter.kind == "choice":
        places = range(len(parameter.options))
        # True is 1 for Python, and no text.
        return next(n for n in places if (type(parameter.options[n]), parameter.options[n]) == (type(value), value))
    low, high = parameter.numbers[:2]
    return min(max(float(value), low), high)  # rounding may lead out of the range
