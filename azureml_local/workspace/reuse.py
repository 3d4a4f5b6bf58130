"""Reuse of a pipeline's steps: one that would do again what an earlier run did is not run, and has its outputs.

The parts of a key are those that Azure's behave like (measured with azureml-pipeline 1.62 against a recording server,
and what users report of it): the module's hash, its parameters, where its inputs come from (a data set's definition,
not the files that it finds), the run configuration and the settings of the outputs.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass

from azureml_local.storage.tables import Run
from azureml_local.workspace import Workspace, pipeline_parts, pipeline_runs
from azureml_local.workspace.errors import NotFound, WorkspaceError
from azureml_local.workspace.pipelines import Node
from azureml_local.workspace.run_kinds import REUSED

# So many earlier runs of one key are looked at.
MOST = 20

Parts = Mapping[str, str]


@dataclass(frozen=True)
class Done:
    """A run that did what a step would do: ``pipeline_id`` is its pipeline's run, ``node_id`` its step there."""

    run_id: str
    node_id: str
    pipeline_id: str


def digest(value: object) -> str:
    """A text that is the same for the same JSON."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()


def find(workspace: Workspace, parts: Parts) -> Done | None:
    """The newest run with these parts that completed, and whose outputs are there still."""
    for row in workspace.pipeline_parts.all(pipeline_parts.REUSE, digest(dict(parts)), MOST):
        try:
            run = workspace.runs.get(row.body["run"])
        except NotFound:
            continue
        if run.status == "Completed" and all(_is_there(workspace, *place) for place in row.body["made"]):
            return Done(run.id, row.body["node"], row.body["pipeline"])
    return None


def note(workspace: Workspace, node: Node, parts: Parts, run: Run) -> None:
    """Keep what a completed run did. The same again, of another server, changes nothing."""
    known, key = workspace.pipeline_parts, digest(dict(parts))
    if any(row.body["run"] == run.id for row in known.all(pipeline_parts.REUSE, key, 1)):
        return
    places = [pipeline_runs.place(node, output, run.id) for output in node.outputs]
    made = [place for place in places if _is_there(workspace, *place)]
    body = {"run": run.id, "node": node.id, "pipeline": run.parent_id, "made": made}
    known.add(pipeline_parts.REUSE, body, key)
    known.add(pipeline_parts.STEP_KEY, {"run": run.id, "parts": dict(parts)}, _step_key(node, run.experiment_id))


def differing(workspace: Workspace, node: Node, parts: Parts, experiment_id: str) -> tuple[str, list[str]] | None:
    """The last completed run of a step of this name in the experiment, and which parts were others then."""
    for row in workspace.pipeline_parts.all(pipeline_parts.STEP_KEY, _step_key(node, experiment_id), 1):
        then: Parts = row.body["parts"]
        return row.body["run"], [name for name in {**then, **parts} if then.get(name) != parts.get(name)]
    return None


def origin(run: Run) -> str:
    """The id of the run that really did what a step's run stands for."""
    return str(run.properties.get(REUSED, run.id))


def _step_key(node: Node, experiment_id: str) -> str:
    return f"{experiment_id}/{node.name}"


def _is_there(workspace: Workspace, datastore: str, path: str) -> bool:
    """Whether there is a file at that path, or one in a folder; in a datastore that is gone there is none."""
    try:
        blobs, container = workspace.blobs, workspace.datastores.container(datastore)
    except WorkspaceError:
        return False
    return blobs.exists(container, path) or bool(blobs.list(container, f"{path}/", limit=1))
