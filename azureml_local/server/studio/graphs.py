"""A pipeline as a graph: its steps in layers from the left to the right, and what waits for what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from azureml_local.storage.tables import Run
from azureml_local.workspace.jobs import SpecMissing
from azureml_local.workspace.pipeline_runs import NODE
from azureml_local.workspace.pipelines import Node, PipelineSpec, pipeline_of
from azureml_local.workspace.run_kinds import PIPELINE, REUSED, cut_short

WIDTH, HEIGHT, GAP, ROW = 180, 46, 56, 64
MOST_NODES = 200
MOST_TEXT = 18


@dataclass(frozen=True)
class Box:
    """A step: ``status`` is that of its newest run, *Waiting* without one, whose ``run_id`` is None."""

    name: str
    title: str
    x: int
    y: int
    status: str
    run_id: str | None
    reused: bool


@dataclass(frozen=True)
class Graph:
    """``wires`` are the paths (of SVG) between the boxes."""

    boxes: list[Box]
    wires: list[str]
    width: int
    height: int
    left_out: int


def graph_of(run: Run, children: Sequence[Run]) -> Graph | None:
    """The graph of a pipeline's run, with the state of each step; None for any other run."""
    if run.run_type != PIPELINE:
        return None
    try:
        spec = pipeline_of(run)
    except SpecMissing:
        return None
    nodes = spec.nodes[:MOST_NODES]
    newest = {child.properties[NODE]: child for child in reversed(children) if NODE in child.properties}
    places = _places(spec, nodes)
    boxes = [_box(node, places[node.id], newest.get(node.id)) for node in nodes]
    wires = [
        _wire(places[before], places[node.id]) for node in nodes for before in sorted(node.before) if before in places
    ]
    right = max((x for x, _ in places.values()), default=0)
    low = max((y for _, y in places.values()), default=0)
    return Graph(boxes, wires, right + WIDTH + 2, low + HEIGHT + 2, len(spec.nodes) - len(nodes))


def _places(spec: PipelineSpec, nodes: Sequence[Node]) -> dict[str, tuple[int, int]]:
    """Where each box begins: a layer further to the right than all that it waits for."""
    layers: dict[str, int] = {}
    waiting = list(spec.nodes)
    while waiting:
        ready = [node for node in waiting if all(before in layers for before in node.before)]
        if not ready:  # the edge refuses steps that wait for one another
            break
        for node in ready:
            layers[node.id] = 1 + max((layers[before] for before in node.before), default=-1)
        waiting = [node for node in waiting if node.id not in layers]
    rows: dict[int, int] = {}
    places = {}
    for node in sorted(nodes, key=lambda node: layers.get(node.id, 0)):
        layer = layers.get(node.id, 0)
        rows[layer] = rows.get(layer, -1) + 1
        places[node.id] = (1 + layer * (WIDTH + GAP), 1 + rows[layer] * ROW)
    return places


def _box(node: Node, place: tuple[int, int], run: Run | None) -> Box:
    name = node.name if len(node.name) <= MOST_TEXT else f"{node.name[: MOST_TEXT - 1]}…"
    reused = run is not None and REUSED in run.properties
    status = "Waiting" if run is None or cut_short(run) else run.status
    title = f"{node.name}: {status}{', reused' if reused else ''}"
    return Box(name, title, *place, status, run.id if run is not None else None, reused)


def _wire(source: tuple[int, int], to: tuple[int, int]) -> str:
    """A curve from the right side of a box to the left side of another."""
    x, y = source[0] + WIDTH, source[1] + HEIGHT // 2
    end_x, end_y = to[0], to[1] + HEIGHT // 2
    middle = (x + end_x) // 2
    return f"M{x} {y} C{middle} {y} {middle} {end_y} {end_x} {end_y}"
