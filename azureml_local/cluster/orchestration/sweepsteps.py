"""Steps of a pipeline that are sweeps: the step's run ends as its sweep does, with outputs made of the results."""

from __future__ import annotations

import io
import json

from azureml_local.cluster.orchestration.sweeps import Sweeps
from azureml_local.runtime.logs import JOB_LOG
from azureml_local.storage.blobnames import is_name
from azureml_local.storage.tables import Run
from azureml_local.workspace import Workspace, pipeline_runs
from azureml_local.workspace.artifacts import RUN_ORIGIN, path_of
from azureml_local.workspace.errors import WorkspaceError
from azureml_local.workspace.pipelines import Node, NodeSweep
from azureml_local.workspace.run_kinds import SWEEP
from azureml_local.workspace.runs import FINAL, data_container, user_error

# The property of a sweep that is over.
BEST = "best_child_run_id"


class OutputMissing(Exception):
    """An output can't be made; one sentence for the step's error."""


def tend(workspace: Workspace, sweeps: Sweeps, step: Run, node: Node) -> None:
    """Start the sweep of a step's run, or end the step when its sweep has ended. Can be done again at any time."""
    sweep = next((run for run in workspace.runs.list(parent_id=step.id) if run.run_type == SWEEP), None)
    if sweep is None:
        _begin(workspace, sweeps, step, node)
    elif sweep.status in FINAL:
        _end(workspace, step, sweep, node)


def _begin(workspace: Workspace, sweeps: Sweeps, step: Run, node: Node) -> None:
    if step.status == "CancelRequested":
        workspace.runs.advance(step.id, "Canceled")
        return
    try:
        workspace.computes.ready(node.job.target)
    except WorkspaceError as error:
        workspace.runs.advance(step.id, "Failed", error=user_error(str(error)))
        return
    sweep = workspace.runs.create(pipeline_runs.sweep_below(step, node))
    workspace.runs.advance(step.id, "Running")
    sweeps.submit(sweep)


def _end(workspace: Workspace, step: Run, sweep: Run, node: Node) -> None:
    assert node.sweep is not None
    status, error = sweep.status, sweep.error
    said = f"The sweep {sweep.id} is {status}; its log is azureml-logs/hyperdrive.txt there."
    if status == "Completed":
        try:
            said += "".join(_outputs(workspace, step, sweep, node, node.sweep))
        except OutputMissing as missing:
            status, error = "Failed", user_error(str(missing))
            said += f" {missing}"
    workspace.artifacts.open_log(data_container(step), JOB_LOG).write_text(f"{said}\n", encoding="utf-8")
    workspace.artifacts.close_log(data_container(step), JOB_LOG)
    workspace.followers.await_reading(step)
    workspace.runs.advance(step.id, status, error=error)


def _outputs(workspace: Workspace, step: Run, sweep: Run, node: Node, of: NodeSweep) -> list[str]:
    """Write what is made of a sweep's results to the places of the step's outputs. Raises OutputMissing."""
    said = []
    for port, name in node.outputs.items():
        if (trained := of.trained.get(name)) is None:
            continue
        datastore, place = pipeline_runs.place(node, port, step.id)
        container = workspace.datastores.container(datastore)
        if trained.kind == "metrics":
            text = json.dumps(_metrics(workspace, sweep)).encode()
            workspace.blobs.put_file(container, place, io.BytesIO(text))
            said.append(f" Output {name}: the metrics of its runs.")
        else:
            count = _copy(workspace, str(sweep.properties.get(BEST) or ""), trained.file or "", (container, place), of)
            said.append(f" Output {name}: {count} files of the best run, {sweep.properties[BEST]}.")
    return said


def _metrics(workspace: Workspace, sweep: Run) -> dict[str, dict[str, list[object]]]:
    """All metrics of a sweep's runs, as HyperDriveStep has them in its metrics_output."""
    found: dict[str, dict[str, list[object]]] = {}
    for run in workspace.runs.list(parent_id=sweep.id):
        series = workspace.metrics.all(run.id)
        found[run.id] = {each.name: [cell for value in each.values for cell in value.data.values()] for each in series}
    return found


def _copy(workspace: Workspace, run_id: str, path: str, to: tuple[str, str], of: NodeSweep) -> int:
    """Copy a file, or a folder's files, of the best run, ``to`` a place in a container. Returns their number."""
    container, place = to
    if not run_id:
        raise OutputMissing(f"The sweep has no best run: none of its runs logged {of.spec.metric!r}.")
    blobs, path = workspace.blobs, path.removeprefix("./").rstrip("/")
    found = workspace.artifacts.under(RUN_ORIGIN, f"dcid.{run_id}", path)
    if not found:
        raise OutputMissing(f"The best run, {run_id}, has left no file {path!r}.")
    for blob in found:
        below = path_of(blob).removeprefix(path)  # nothing for the file itself
        if not is_name(place + below):
            continue
        _, source = workspace.artifacts.open(blob)
        with source:
            blobs.put_file(container, place + below, source)
    return len(found)
