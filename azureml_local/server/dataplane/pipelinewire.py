"""What pipelines' runs, nodes and graphs look like on the wire (azureml.pipeline.core._restclients.aeva.models)."""

from __future__ import annotations

from typing import Any

from azureml_local.server.context import Context
from azureml_local.server.dataplane.pipelinegraph import dataset_of
from azureml_local.server.dataplane.pipelinemodules import data_location, parts_of
from azureml_local.storage.tables import Run
from azureml_local.workspace import Workspace, pipeline_runs, reuse
from azureml_local.workspace.experiments import shown_name
from azureml_local.workspace.pipelines import Node, PipelineSpec, pipeline_of
from azureml_local.workspace.runs import FINAL

Json = dict[str, Any]

# Of a pipeline's run and of a node's: every other status is one of a run that waits.
PIPELINE_CODES = {"NotStarted": "0", "Failed": "2", "Completed": "3", "Canceled": "4"}
NODE_CODES = {"NotStarted": "0", "Failed": "3", "Completed": "4", "Canceled": "5"}
NODE_CODES |= dict.fromkeys(("Running", "Finalizing", "CancelRequested"), "2")


def unsubmitted(run_id: str, experiment: str, spec: PipelineSpec) -> Json:
    return _entity(run_id, experiment, spec, {"StatusCode": "0", "StatusDetail": None})


def run(ctx: Context, row: Run) -> Json:
    status = {
        "StatusCode": PIPELINE_CODES.get(row.status, "1"),
        "StatusDetail": (row.error or {}).get("error", {}).get("message"),
        "CreationTime": row.created,
        "EndTime": row.ended,
    }
    experiment = shown_name(ctx.workspace.experiments.get_by_id(row.experiment_id))
    return {**_entity(row.id, experiment, pipeline_of(row), status, row), "CreatedDate": row.created}


def _entity(run_id: str, experiment: str, spec: PipelineSpec, status: Json, row: Run | None = None) -> Json:
    return {
        "Id": run_id,
        "Description": spec.description,
        "GraphId": spec.graph_id,
        "RunHistoryExperimentName": experiment,
        "PipelineId": None if row is None else row.properties.get(pipeline_runs.PUBLISHED),
        "ParameterAssignments": dict(spec.parameters),
        "DataSetDefinitionValueAssignments": {},
        "TotalRunSteps": len(spec.nodes),
        "Status": status,
        "EntityStatus": "Active",
    }


def node_status(parent: Run, step: Run | None) -> str:
    """A node that never began is not begun while its pipeline goes on, and cancelled after that."""
    if step is None:
        return NODE_CODES["Canceled" if parent.status in FINAL else "NotStarted"]
    return NODE_CODES.get(step.status, "1")


def reuse_info(step: Run | None) -> Json | None:
    """Of which run and node of a pipeline a step has its outputs; None where it ran itself."""
    if step is None or reuse.origin(step) == step.id:
        return None
    known = step.properties
    return {
        "RunId": known["azureml.reusedpipeline"],
        "NodeId": known["azureml.reusednodeid"],
        "ExperimentId": step.experiment_id,
    }


def node_output(workspace: Workspace, node: Node, port: str, run_id: str) -> Json:
    datastore, path = pipeline_runs.place(node, port, run_id)
    file = workspace.blobs.exists(workspace.datastores.container(datastore), path)
    return {
        "DataTypeId": "AnyFile" if file else "AnyDirectory",
        "DataLocation": data_location(datastore, path),
        "LogicalSizeInBytes": 0,
        "PhysicalSizeInBytes": 0,
        "Hash": None,
    }


def graph(workspace: Workspace, graph_id: str, sent: Json) -> Json:
    """A graph as it was sent, but for registered data sets: reading such a reference back calls a method that the SDK
    has no more (azureml.core.Dataset.get), and one of a saved data set works.
    """
    return {
        **sent,
        "DatasetNodes": [_data_node(workspace, each) for each in parts_of(sent, "DatasetNodes")],
        "Id": graph_id,
    }


def _data_node(workspace: Workspace, node: Any) -> Json:
    definition = node.get("DataSetDefinition") or {}
    value = definition.get("Value") or {}
    if not value.get("DataSetReference"):
        return dict(node)
    saved = {"SavedDataSetReference": {"Id": dataset_of(workspace, value)}}
    return {**node, "DataSetDefinition": {**definition, "Value": saved}}
