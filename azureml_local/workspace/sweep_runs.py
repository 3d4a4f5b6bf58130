"""Runs of a sweep in run history: properties that the SDK reads from the parent, and the jobs of the children."""

from __future__ import annotations

import contextlib
import json
import shlex
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from azureml_local.storage.tables import Json, Run
from azureml_local.workspace.jobs import JobSpec, kept_job, spec_of
from azureml_local.workspace.new_runs import NewRun
from azureml_local.workspace.sweeps import SweepSpec

# Azure's own tags of a run begin so (azureml.train.hyperdrive.runconfig._get_tag_from_dict).
SYSTEM = "_aml_system_"


def child(parent: Run, spec: SweepSpec, run_id: str, hyperparameters: Mapping[str, Any]) -> NewRun:
    text = json.dumps(hyperparameters)
    return NewRun(
        run_id=run_id,
        experiment_id=parent.experiment_id,
        run_type="azureml.scriptrun",
        target=parent.target,
        script_name=parent.script_name,
        parameters={
            name: value if isinstance(value, str) else json.dumps(value) for name, value in hyperparameters.items()
        },
        spec=kept_job(_trial(spec_of(parent), spec, hyperparameters)),
        snapshot_id=parent.snapshot_id,
        parent_id=parent.id,
        properties={"ContentSnapshotId": parent.snapshot_id} if parent.snapshot_id else {},
        tags={"hyperparameters": text, f"{SYSTEM}hyperparameters": text},
    )


def hyperparameters_of(run: Run) -> Json | None:
    """Those that a run was started with; None for one that no sweep started. Users may have changed a tag."""
    for name in (f"{SYSTEM}hyperparameters", "hyperparameters"):
        with contextlib.suppress(KeyError, ValueError):
            if isinstance(made := json.loads(run.tags[name]), dict):
                return made
    return None


def _trial(spec: JobSpec, sweep: SweepSpec, hyperparameters: Mapping[str, Any]) -> JobSpec:
    """The job of one run: its script's arguments end with the hyperparameters, as text, as in Azure."""
    words = [word for each in sweep.parameters for word in (each.argument, str(hyperparameters[each.name]))]
    if spec.command is not None:
        return replace(spec, command=" ".join([spec.command, *map(shlex.quote, words)]))
    return replace(spec, arguments=(*spec.arguments, *words))
