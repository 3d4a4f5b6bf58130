"""Sweeps, which Azure calls HyperDrive runs: many runs of one script, with other hyperparameters each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from azureml_local.storage.tables import Json, Run
from azureml_local.workspace.jobs import JOB, SWEEP_SPEC, JobSpec, SpecMissing

RANDOM, GRID, BAYESIAN = "random", "grid", "bayesianoptimization"
BANDIT, MEDIAN, TRUNCATION, NONE = "bandit", "medianstopping", "truncationselection", "default"

# How many standard deviations from its mean a sampled normal value can be.
FARTHEST = 8.0
SEEDS = 2**32


@dataclass(frozen=True)
class Parameter:
    """A hyperparameter and where its values come from (azureml.train.hyperdrive.parameter_expressions).

    ``options`` are those of a choice; ``numbers`` the arguments of any other distribution, in the SDK's order.
    """

    name: str
    kind: str
    options: tuple[Any, ...] = ()
    numbers: tuple[float, ...] = ()

    @property
    def argument(self) -> str:
        return self.name if self.name.startswith("-") else f"--{self.name}"

    @property
    def size(self) -> int | None:
        """How many values it can have; None for one that has any number of them."""
        return len(self.options) if self.kind == "choice" else int(self.numbers[0]) if self.kind == "randint" else None


@dataclass(frozen=True)
class Policy:
    """When a run is ended early. An interval is one value of the primary metric."""

    name: str
    interval: int = 1
    delay: int = 0
    slack_factor: float | None = None
    slack_amount: float | None = None
    percentage: float = 0.0


@dataclass(frozen=True)
class SweepSpec:
    """A sweep: how its runs' hyperparameters are drawn, what they are compared by, and when it ends."""

    sampling: str
    seed: int
    parameters: tuple[Parameter, ...]
    metric: str
    maximize: bool
    policy: Policy
    max_total: int
    max_concurrent: int
    max_minutes: int
    resume_from: tuple[str, ...]

    @property
    def size(self) -> int:
        """How many runs there will be at most: fewer than asked for where there are fewer combinations."""
        combinations = 1
        for parameter in self.parameters:
            if parameter.size is None:
                return self.max_total
            combinations *= parameter.size
        return self.max_total if self.sampling == BAYESIAN else min(self.max_total, combinations)

    def to_json(self) -> Json:
        return asdict(self)

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> SweepSpec:
        """The spec that `to_json` wrote."""
        parameters = tuple(
            Parameter(each["name"], each["kind"], tuple(each["options"]), tuple(each["numbers"]))
            for each in kept["parameters"]
        )
        policy = Policy(**kept["policy"])
        return cls(**{**kept, "parameters": parameters, "policy": policy, "resume_from": tuple(kept["resume_from"])})


def kept_sweep(sweep: SweepSpec, trial: JobSpec) -> Json:
    """The form in which `Run.spec` has a sweep."""
    return {"kind": SWEEP_SPEC, JOB: trial.to_json(), SWEEP_SPEC: sweep.to_json()}


def of_run(run: Run) -> SweepSpec:
    """The sweep that a parent run is. Raises SpecMissing."""
    if run.spec is None or SWEEP_SPEC not in run.spec:
        raise SpecMissing(f"The sweep {run.id} was kept by another version of azureml-local and can't be read.")
    return SweepSpec.from_json(run.spec[SWEEP_SPEC])
