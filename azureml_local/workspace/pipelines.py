"""Pipelines: jobs that are steps of one whole, each of which starts when those before it have ended well."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from azureml_local.storage.tables import Json, Run
from azureml_local.workspace.jobs import PIPELINE_SPEC, JobSpec, SpecMissing
from azureml_local.workspace.sweeps import SweepSpec


@dataclass(frozen=True)
class Link:
    """The input ``input`` of a node is the output ``output`` of the node ``node``."""

    input: str
    node: str
    output: str


@dataclass(frozen=True)
class Trained:
    """What an output of a sweep's step is made of: ``metrics``, a file with those of all runs, or ``model``, what the
    best run has left at the path ``file``.
    """

    kind: str
    file: str | None = None


@dataclass(frozen=True)
class NodeSweep:
    """The sweep that a step is: its job is that of the runs. ``properties`` and ``tags`` are what a client reads the
    sweep's description from; ``trained`` are the outputs that are made of its results, by the names of `Node.job`.
    """

    spec: SweepSpec
    properties: Mapping[str, str]
    tags: Mapping[str, str]
    trained: Mapping[str, Trained]


@dataclass(frozen=True)
class Node:
    """A step: its job, whose inputs from other steps have no dataset yet, and what it waits for.

    ``definition`` is the run configuration as a client reads it from the step's run. ``after`` are the ids of the nodes
    that it waits for beside those of its links. ``outputs`` are the names of its outputs by those that clients use.
    ``reuse`` are the parts of what an earlier run must have in common with it to be taken in its place, each a text,
    without those that other steps make; None where it is to run in any case.
    """

    id: str
    name: str
    step_type: str
    module_id: str
    module_name: str
    snapshot_id: str
    job: JobSpec
    definition: Json
    links: tuple[Link, ...]
    after: tuple[str, ...]
    outputs: Mapping[str, str]
    reuse: Mapping[str, str] | None = None
    sweep: NodeSweep | None = None

    @property
    def before(self) -> frozenset[str]:
        """The ids of all nodes that it waits for."""
        return frozenset([*self.after, *(link.node for link in self.links)])


@dataclass(frozen=True)
class PipelineSpec:
    """A pipeline. ``outputs`` are those that it names as its own: a node and an output of it.

    ``parameters`` are the values of all of its parameters, as text; ``graph_id`` the graph that it was made from.
    """

    nodes: tuple[Node, ...]
    outputs: Mapping[str, tuple[str, str]]
    parameters: Mapping[str, str]
    graph_id: str
    description: str | None
    continue_on_failure: bool

    def node(self, node_id: str) -> Node | None:
        return next((node for node in self.nodes if node.id == node_id), None)

    def to_json(self) -> Json:
        return asdict(self)

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> PipelineSpec:
        """The spec that `to_json` wrote."""
        nodes = tuple(
            Node(
                **{
                    **each,
                    "job": JobSpec.from_json(each["job"]),
                    "links": tuple(Link(**link) for link in each["links"]),
                    "after": tuple(each["after"]),
                    "sweep": _sweep(each.get("sweep")),
                }
            )
            for each in kept["nodes"]
        )
        outputs = {name: (node, output) for name, (node, output) in kept["outputs"].items()}
        return cls(**{**kept, "nodes": nodes, "outputs": outputs})


def _sweep(kept: Mapping[str, Any] | None) -> NodeSweep | None:
    if kept is None:
        return None
    trained = {name: Trained(**each) for name, each in kept["trained"].items()}
    return NodeSweep(**{**kept, "spec": SweepSpec.from_json(kept["spec"]), "trained": trained})


def kept_pipeline(spec: PipelineSpec) -> Json:
    """The form in which `Run.spec` has a pipeline."""
    return {"kind": PIPELINE_SPEC, PIPELINE_SPEC: spec.to_json()}


def pipeline_of(run: Run) -> PipelineSpec:
    """The pipeline that a run is. Raises SpecMissing."""
    if run.spec is None or PIPELINE_SPEC not in run.spec:
        raise SpecMissing(f"The run {run.id} is no pipeline, or was kept by another version of azureml-local.")
    return PipelineSpec.from_json(run.spec[PIPELINE_SPEC])
