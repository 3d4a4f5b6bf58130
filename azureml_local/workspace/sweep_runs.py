"""The runs of a sweep as run history keeps them: what the SDK reads from the parent, and what each child is."""

from __future__ import annotations

import contextlib
import json
import random
import shlex
import uuid
from collections.abc import Mapping
from typing import Any

from azureml_local.storage.tables import Json, Run
from azureml_local.workspace import sweeps
from azureml_local.workspace.new_runs import NewRun
from azureml_local.workspace.run_kinds import SWEEP
from azureml_local.workspace.sweeps import SweepSpec

# Azure's own tags of a run begin so (azureml.train.hyperdrive.runconfig._get_tag_from_dict).
SYSTEM = "_aml_system_"


def parent(
    run_id: str | None, experiment_id: str, configuration: Json, snapshot_id: str | None, spec: SweepSpec, **more: Any
) -> NewRun:
    """The parent run of a sweep, with the tags and properties that the SDK makes its HyperDriveConfig of again."""
    source = spec.source
    metric = json.dumps(source["primary_metric_config"])
    tags = {
        "max_concurrent_jobs": str(spec.max_concurrent),
        "max_total_jobs": str(spec.max_total),
        "max_duration_minutes": str(spec.max_minutes),
        "policy_config": json.dumps(source["policy_config"]),
        "generator_config": json.dumps(source["generator_config"]),
        "primary_metric_config": metric,
        "platform_config": json.dumps(
            {key: value for key, value in source["platform_config"].items() if key != "Definition"}
        ),
        "resume_child_runs": "null",
        "all_jobs_generated": "false",
        "cancellation_requested": "false",
    }
    kept = {key: value for key, value in source.items() if key != "platform_config"}
    return NewRun(
        run_id=run_id or f"HD_{uuid.uuid4()}",
        experiment_id=experiment_id,
        run_type=SWEEP,
        target=configuration["target"],
        script_name=configuration.get("script"),
        definition={
            **configuration,
            sweeps.KEY: {**kept, "seed": random.randrange(sweeps.SEEDS) if spec.seed is None else spec.seed},
        },
        snapshot_id=snapshot_id,
        properties={
            "primary_metric_config": metric,
            "resume_from": json.dumps(source.get("resume_from")),
            "runTemplate": "HyperDrive",
            "azureml.runsource": "hyperdrive",
            "platform": "AML",
            **({"ContentSnapshotId": snapshot_id} if snapshot_id else {}),
        },
        tags={f"{SYSTEM}{key}": text for key, text in tags.items()},
        **more,
    )


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
        definition=_with_arguments(parent.definition, spec, hyperparameters),
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


def _with_arguments(definition: Mapping[str, Any], spec: SweepSpec, hyperparameters: Mapping[str, Any]) -> Json:
    """The run configuration of one run: its script's arguments end with the hyperparameters, as text, as in Azure."""
    configuration = {key: value for key, value in definition.items() if key != sweeps.KEY}
    words = [word for each in spec.parameters for word in (each.argument, str(hyperparameters[each.name]))]
    if command := configuration.get("command"):
        given = command if isinstance(command, list) else [command]
        configuration["command"] = " ".join([*map(str, given), *map(shlex.quote, words)])
    else:
        given = configuration.get("arguments") or []
        configuration["arguments"] = [*(shlex.split(given) if isinstance(given, str) else given), *words]
    return configuration
