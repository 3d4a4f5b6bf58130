"""The runs of a pipeline as run history keeps them: what the SDK reads of the whole, and what each step is."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from azureml_local.storage.tables import Run
from azureml_local.workspace import Workspace, datastores
from azureml_local.workspace.datasets import files_at
from azureml_local.workspace.jobs import NOTHING, URI_FILE, InputSpec, kept_job, spec_of
from azureml_local.workspace.new_runs import NewRun
from azureml_local.workspace.pipelines import Link, Node, PipelineSpec, kept_pipeline
from azureml_local.workspace.run_kinds import PIPELINE, REUSED, STEP, SWEEP
from azureml_local.workspace.sweeps import kept_sweep

# The properties of a pipeline's run that say which published one it is, and which schedule has started it.
PUBLISHED, SCHEDULE = "azureml.pipelineid", "azureml.scheduleid"
# The property of a step's run that says which node it is (azureml.pipeline.core.run reads the tag of that name).
NODE = "azureml.nodeid"


def parent(
    run_id: str,
    experiment_id: str,
    spec: PipelineSpec,
    run_type: str,
    *,
    properties: Mapping[str, str] | None = None,
    **more: Any,
) -> NewRun:
    """The pipeline's own run. ``run_type`` is who submitted it, in Azure's word (SDK, HTTP, Schedule)."""
    return NewRun(
        run_id=run_id,
        experiment_id=experiment_id,
        run_type=PIPELINE,
        description=spec.description,
        spec=kept_pipeline(spec),
        parameters=spec.parameters,
        properties={
            "azureml.runsource": PIPELINE,
            "runSource": run_type,
            "runType": run_type,
            "azureml.parameters": json.dumps(dict(spec.parameters)),
            "azureml.continue_on_step_failure": str(spec.continue_on_failure),
            "azureml.continue_on_failed_optional_input": "True",
            "azureml.pipelineComponent": "pipelinerun",
            **(properties or {}),
        },
        **more,
    )


def step(
    pipeline: Run, node: Node, inputs: tuple[InputSpec, ...], properties: Mapping[str, str] | None = None
) -> NewRun:
    """The run of a step, which is its job; ``inputs`` are those of its job with their datasets."""
    target = node.job.target
    return NewRun(
        run_id=str(uuid.uuid4()),
        experiment_id=pipeline.experiment_id,
        run_type=STEP,
        target=target,
        script_name=node.job.script,
        definition=node.definition,
        spec=kept_job(replace(node.job, inputs=inputs)),
        snapshot_id=node.snapshot_id,
        parent_id=pipeline.id,
        name=node.name,
        properties={
            "ContentSnapshotId": node.snapshot_id,
            "StepType": node.step_type,
            "ComputeTargetType": "AmlCompute",
            "_azureml.ComputeTargetType": "AmlCompute",
            "azureml.moduleid": node.module_id,
            "azureml.moduleName": node.module_name,
            "azureml.runsource": STEP,
            NODE: node.id,
            "azureml.pipelinerunid": pipeline.id,
            "azureml.pipeline": pipeline.id,
            "azureml.pipelineComponent": "masterescloud",
            **(properties or {}),
        },
        tags={NODE: node.id, "azureml.pipeline": pipeline.id},
    )


def reused(pipeline: Run, node: Node, inputs: tuple[InputSpec, ...], done: Mapping[str, str]) -> NewRun:
    """The run of a step that stands for an earlier run: ``done`` is that run, its node and its pipeline."""
    properties = {
        "azureml.isreused": "true",
        REUSED: done["run_id"],
        "azureml.reusednodeid": done["node_id"],
        "azureml.reusedpipeline": done["pipeline_id"],  # the SDK's
        "azureml.reusedpipelinerunid": done["pipeline_id"],  # what users read
    }
    # Without a target it waits for no node.
    return replace(step(pipeline, node, inputs, properties), target=None)


def swept(pipeline: Run, node: Node, inputs: tuple[InputSpec, ...]) -> NewRun:
    """The run of a step that is a sweep, which is its only child."""
    new = step(pipeline, node, inputs)
    component = {"azureml.pipelineComponent": "masterhyperdrivecloud"}
    return replace(new, target=None, properties={**new.properties, **component})


def sweep_below(step: Run, node: Node) -> NewRun:
    """The sweep of a step's run. Its name is the id of that (azureml.pipeline.steps: HyperDriveStepRun)."""
    assert node.sweep is not None
    own = [each for each in spec_of(step).outputs if each.name not in node.sweep.trained]
    # All its runs write to the one place of the step.
    outputs = tuple(replace(each, destination=each.destination.replace("{run-id}", step.id)) for each in own)
    return NewRun(
        run_id=f"HD_{step.id}",
        experiment_id=step.experiment_id,
        run_type=SWEEP,
        target=node.job.target,
        script_name=node.job.script,
        definition=node.definition,
        spec=kept_sweep(node.sweep.spec, replace(spec_of(step), outputs=outputs)),
        snapshot_id=node.snapshot_id,
        parent_id=step.id,
        name=step.id,
        properties=dict(node.sweep.properties),
        tags=dict(node.sweep.tags),
    )


def place(node: Node, output: str, run_id: str) -> tuple[str, str]:
    """Where an output of a step is, once a run of that id has made it: the datastore, and the path there."""
    spec = next(each for each in node.job.outputs if each.name == node.outputs[output])
    return spec.datastore, spec.destination.replace("{run-id}", run_id).replace("{output-name}", spec.name)


def linked(workspace: Workspace, given: InputSpec, link: Link, maker: Node, run_id: str) -> InputSpec:
    """An input with what another step has made: a run of that id."""
    name = maker.outputs[link.output]
    if not next(each for each in maker.job.outputs if each.name == name).free:
        made = next((use for use in workspace.datasets.uses(run_id, output=True) if use.name == name), None)
        if made is not None:
            return replace(given, dataset_id=made.saved_id)
    datastore, path = place(maker, link.output, run_id)
    return at_place(workspace, given, path, datastore)


def at_place(workspace: Workspace, given: InputSpec, path: str, datastore: str = datastores.DEFAULT) -> InputSpec:
    """An input with a file or a folder of a datastore, whichever is there. Raises NotFound."""
    blobs, container = workspace.blobs, workspace.datastores.get(datastore).local
    url = datastores.dataflow_path(workspace.identity.first, path, datastore)
    kind: str | None = "uri_folder"
    if container is None:  # elsewhere: the SDK's engine finds out what it is
        kind = None
    elif path and blobs.exists(container, path):
        kind = URI_FILE
    elif not blobs.list(container, f"{path}/" if path else "", limit=1):
        kind = NOTHING
    else:
        url = f"{url}/**" if path else f"{url}**"
    dataset = workspace.datasets.save("file", files_at(url), {})
    return replace(given, dataset_id=dataset.id, kind=kind)
