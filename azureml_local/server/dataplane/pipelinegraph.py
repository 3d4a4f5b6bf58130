"""SDK v1's graph of a pipeline, read as what a pipeline is (`pipelines.PipelineSpec`)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from azureml_local.server.dataplane.pipelinemodules import parts_of
from azureml_local.server.dataplane.pipelinesteps import Port, Wiring, read_node
from azureml_local.storage.tables import Json
from azureml_local.workspace import Workspace, datastores, pipeline_parts
from azureml_local.workspace.errors import Invalid
from azureml_local.workspace.pipelines import Node, PipelineSpec


@dataclass(frozen=True)
class Assigned:
    """The values of a graph's parameters: texts, paths in a datastore (name and path), and data set definitions."""

    texts: Mapping[str, str]
    paths: Mapping[str, tuple[str, str]]
    datasets: Mapping[str, Mapping[str, Any]]

    def shown(self) -> dict[str, str]:
        """All that the SDK looks for when it reads a graph back (azureml.pipeline.core._aeva_provider)."""
        return {**self.texts, **{name: f"{store}/{path}" for name, (store, path) in self.paths.items()}}


def assigned(interface: Mapping[str, Any], info: Mapping[str, Any]) -> Assigned:
    """The defaults of a graph's interface, and what a submission gives instead.

    Raises Invalid for a parameter that the graph doesn't have.
    """
    texts = {_name(each): _text(each.get("DefaultValue")) for each in parts_of(interface, "Parameters")}
    paths = {_name(each): _path(each.get("DefaultValue")) for each in parts_of(interface, "DataPathParameters")}
    datasets = {_name(each): each.get("DefaultValue") or {} for each in parts_of(interface, "DataPathParameterList")}
    for key, known in (
        ("ParameterAssignments", texts),
        ("DataPathAssignments", paths),
        ("DataSetDefinitionValueAssignments", datasets),
    ):
        given = info.get(key) or {}
        if not isinstance(given, Mapping):
            raise Invalid(f"{key} must be an object.")
        if unknown := [name for name in given if name not in known and (known is not texts or name not in paths)]:
            names = ", ".join(map(repr, sorted(known))) or "none"
            raise Invalid(f"The pipeline has no parameter {str(unknown[0])[:80]!r}; of this kind it has {names}.")
    for name, value in (info.get("ParameterAssignments") or {}).items():
        if name in texts:
            texts[name] = _text(value)
        else:  # as `Assigned.shown` has told it, and a draft sends it back
            store, _, path = _text(value).partition("/")
            paths[name] = _path({"DataStoreName": store, "RelativePath": path})
    paths |= {name: _path(value) for name, value in (info.get("DataPathAssignments") or {}).items()}
    datasets |= info.get("DataSetDefinitionValueAssignments") or {}
    return Assigned(texts, paths, {name: _definition(name, each) for name, each in datasets.items()})


def read_pipeline(
    workspace: Workspace,
    graph: Mapping[str, Any],
    interface: Mapping[str, Any],
    info: Mapping[str, Any],
    graph_id: str,
) -> PipelineSpec:
    """A graph with the values that a submission gives to its parameters.

    Raises:
        Invalid, NotFound: what can't run. NotBuilt: what doesn't run here.
    """
    try:
        return _read_graph(workspace, graph, assigned(interface, info), info, graph_id)
    except (TypeError, KeyError, AttributeError) as error:
        raise Invalid(f"The graph is malformed ({type(error).__name__}: {str(error)[:120]}).") from error


def _read_graph(
    workspace: Workspace, graph: Mapping[str, Any], given: Assigned, info: Mapping[str, Any], graph_id: str
) -> PipelineSpec:
    nodes = {str(each.get("Id")): each for each in parts_of(graph, "ModuleNodes")}
    if not nodes:
        raise Invalid("The pipeline has no steps.")
    data = {str(each.get("Id")): each for each in parts_of(graph, "DatasetNodes")}
    wiring: dict[str, Wiring] = {node_id: Wiring() for node_id in nodes}
    outputs: dict[str, tuple[str, str]] = {}
    for edge in parts_of(graph, "Edges"):
        source, to = _port(edge, "SourceOutputPort"), _port(edge, "DestinationInputPort")
        node_id, port = str(source.get("NodeId")), str(source.get("PortName"))
        if to.get("GraphPortName"):
            outputs[str(to["GraphPortName"])] = (node_id, port)
            continue
        if str(to.get("NodeId")) not in wiring or (node_id not in nodes and node_id not in data):
            raise Invalid("An edge of the graph leads from or to a node that isn't there.")
        into = wiring[str(to["NodeId"])]
        if node_id in nodes:
            into.steps[str(to.get("PortName"))] = (node_id, port)
        else:
            into.data[str(to.get("PortName"))] = _source(workspace, data[node_id], given)
    read = tuple(read_node(workspace, node, wiring[node_id], given.texts) for node_id, node in nodes.items())
    _check_wires(read, outputs.values())
    return PipelineSpec(
        nodes=read,
        outputs=outputs,
        parameters=given.shown(),
        graph_id=graph_id,
        description=_optional(info.get("Description")),
        continue_on_failure=bool(info.get("ContinueExperimentOnNodeFailure")),
    )


def _check_wires(nodes: tuple[Node, ...], outputs: Iterable[tuple[str, str]]) -> None:
    """Raises Invalid for an output that no step has, and for steps that wait for one another."""
    known = {node.id: node for node in nodes}
    wires = [(link.node, link.output) for node in nodes for link in node.links]
    for node_id, output in [*wires, *outputs]:
        if node_id not in known or output not in known[node_id].outputs:
            raise Invalid(f"The graph uses the output {output[:80]!r}, which none of its steps has.")
    done: set[str] = set()
    while ready := [node.id for node in nodes if node.id not in done and node.before <= done]:
        done |= set(ready)
    if stuck := [node.name for node in nodes if node.id not in done]:
        raise Invalid(f"The steps {', '.join(map(repr, stuck[:10]))} wait for one another.")


def _source(workspace: Workspace, node: Mapping[str, Any], given: Assigned) -> Port:
    """What a data node stands for: a saved dataset, or a path in a datastore."""
    if node.get("DatasetId"):
        body: Json = workspace.pipeline_parts.get(pipeline_parts.SOURCE, str(node["DatasetId"])).body
        path = _path({"DataStoreName": body.get("DataStoreName"), "RelativePath": body["PathOnDataStore"]})
        return Port(path=path, name=_optional(body.get("Name")))
    if name := node.get("DataPathParameterName"):
        if str(name) not in given.paths:
            raise Invalid(f"The pipeline has no data path {str(name)[:80]!r}.")
        return Port(path=given.paths[str(name)])
    definition = node.get("DataSetDefinition") or {}
    if name := definition.get("ParameterName"):
        if str(name) not in given.datasets:
            raise Invalid(f"The pipeline has no data set {str(name)[:80]!r}.")
        value = given.datasets[str(name)]
    else:
        value = definition.get("Value") or {}
    return Port(dataset_id=dataset_of(workspace, value))


def dataset_of(workspace: Workspace, value: Mapping[str, Any]) -> str:
    """The saved dataset of a definition's value. Raises NotFound."""
    if saved := value.get("SavedDataSetReference"):
        return workspace.datasets.saved(str(saved.get("Id"))).id
    registered = value.get("DataSetReference") or {}
    version = registered.get("Version")
    detail = workspace.datasets.by_id(str(registered.get("Id") or ""), None if version is None else str(version))
    return detail.saved.id


def _definition(name: str, value: Any) -> Mapping[str, Any]:
    """The value of a data set definition. Raises Invalid."""
    found = value.get("Value") if isinstance(value, Mapping) and "Value" in value else value
    if not isinstance(found, Mapping):
        raise Invalid(f"The parameter {name[:80]!r} must be a data set.")
    return found


def _path(value: Any) -> tuple[str, str]:
    if not isinstance(value, Mapping):
        raise Invalid("A data path must be an object with a datastore and a path.")
    store = str(value.get("DataStoreName") or datastores.DEFAULT)
    return store, datastores.clean_path(str(value.get("RelativePath") or ""))


def _port(edge: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = edge.get(key)
    if not isinstance(found, Mapping):
        raise Invalid(f"An edge of the graph has no {key}.")
    return found


def _name(each: Mapping[str, Any]) -> str:
    return str(each.get("Name"))


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def _optional(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None
