"""Submission steps shared by script runs and sweeps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from azureml_local.workspace import Workspace
from azureml_local.workspace.errors import Invalid
from azureml_local.workspace.jobs import JobSpec


def snapshot_of(workspace: Workspace, body: Mapping[str, Any]) -> str:
    """The id of the snapshot that a submission names.

    :raises Invalid: when it names none.
    :raises NotFound: when the workspace doesn't have it.
    """
    snapshot_id = body.get("SnapshotId")
    if not isinstance(snapshot_id, str):
        raise Invalid("A submission needs the id of a snapshot.")
    workspace.snapshots.get(snapshot_id)
    return snapshot_id


def definition_of(workspace: Workspace, configuration: Mapping[str, Any], spec: JobSpec) -> dict[str, Any]:
    """The run configuration as the run keeps it: its environment is the workspace's, with name and version.

    :raises NotFound: when an input's dataset, or an output's datastore, isn't in the workspace.
    :raises NotBuilt: when an output's datastore is elsewhere.
    """
    for output in spec.outputs:
        workspace.datastores.container(output.datastore)
    for item in spec.inputs:
        workspace.datasets.saved(item.dataset_id)
    if isinstance(environment := configuration.get("environment"), dict):
        return {**configuration, "environment": workspace.environments.used(environment)}
    return dict(configuration)
