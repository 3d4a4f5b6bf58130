"""A HyperDriveStep, read as a sweep (azureml.pipeline.steps.hyper_drive_step).

Its sweep is described as one that is submitted by itself, as JSON in a parameter; the arguments of the script and the
inputs come through the graph, as those of any step.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from azureml_local.server.dataplane.pipelinemodules import HYPERDRIVE, parts_of
from azureml_local.server.dataplane.sweepconfiguration import KEY, parse_sweep
from azureml_local.server.dataplane.sweepmarks import properties_and_tags
from azureml_local.workspace.errors import Invalid, NotBuilt
from azureml_local.workspace.jobs import LOCAL_TARGET, JobSpec
from azureml_local.workspace.pipelines import NodeSweep, Trained

# The description; HASHED is the same without the id of the snapshot, which is another one at each submission.
CONFIGURATION, HASHED = "HyperDriveRunConfig", "HDReuseHashableRunConfig"


def is_sweep(module: Mapping[str, Any]) -> bool:
    return str(module.get("ModuleExecutionType") or "").lower() == HYPERDRIVE


def description(step: str, values: Mapping[str, str]) -> dict[str, Any]:
    """The sweep as it was sent. Raises Invalid."""
    try:
        found = json.loads(values.get(CONFIGURATION) or "null")
        overrides = found["platform_config"]["Definition"]["Overrides"]
    except (ValueError, RecursionError, TypeError, KeyError) as error:
        raise Invalid(f"The step {step!r} has no description of its sweep ({CONFIGURATION}).") from error
    if not isinstance(overrides, dict):
        raise Invalid(f"The step {step!r} has no run configuration for the runs of its sweep.")
    return dict(found)


def overrides_of(source: Mapping[str, Any]) -> dict[str, Any]:
    """The run configuration of its runs."""
    found: dict[str, Any] = source["platform_config"]["Definition"]["Overrides"]
    return found


def read_sweep(
    step: str,
    source: Mapping[str, Any],
    snapshot_id: str,
    job: JobSpec,
    outputs: Iterable[tuple[str, Mapping[str, Any]]],
) -> tuple[NodeSweep, dict[str, Any]]:
    """The sweep, and what the definition of its run has beside the run configuration; ``outputs`` are the output ports,
    by the names of the job's. Raises Invalid, NotBuilt.
    """
    if job.target == LOCAL_TARGET:
        raise Invalid(f"The sweep of the step {step!r} runs on a cluster: set compute_target to an AmlCompute.")
    spec = parse_sweep(source)
    properties, tags = properties_and_tags(source, spec, snapshot_id)
    trained = {
        name: _trained(step, name, each["TrainingOutput"]) for name, each in outputs if each.get("TrainingOutput")
    }
    kept = {key: value for key, value in source.items() if key != "platform_config"}
    return NodeSweep(spec, properties, tags, trained), {KEY: kept}


def _trained(step: str, name: str, wanted: Any) -> Trained:
    if not isinstance(wanted, Mapping):
        raise Invalid(f"The TrainingOutput of {name!r} of the step {step!r} must be an object.")
    kind = str(wanted.get("TrainingOutputType") or "")
    if kind.lower() in ("metrics", "0"):
        return Trained("metrics")
    if kind.lower() not in ("model", "1"):
        raise NotBuilt(f"The output {name!r} of the step {step!r} is of {kind[:40]!r}; there are Metrics and Model.")
    if not wanted.get("ModelFile"):
        raise Invalid(
            f"The output {name!r} of the step {step!r} needs the path of the model: "
            "TrainingOutput(type='Model', model_file='outputs/...')."
        )
    return Trained("model", str(wanted["ModelFile"]))


def metadata(interface: Mapping[str, Any], node: Mapping[str, Any]) -> dict[str, str]:
    """The parameters of a module that say what its step is, not what its script gets."""
    found = {
        str(each.get("Name")): str(each.get("DefaultValue") or "") for each in parts_of(interface, "MetadataParameters")
    }
    found |= {
        str(each.get("Name")): str(each.get("Value") or "") for each in parts_of(node, "ModuleMetadataParameters")
    }
    return found
