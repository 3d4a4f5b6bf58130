"""The graph of a pipeline: where its steps stand, and what is said of each."""

from __future__ import annotations

from typing import Any

from azureml_local.server.studio.graphs import GAP, ROW, WIDTH, graph_of
from azureml_local.storage.tables import Run
from azureml_local.workspace.jobs import JobSpec
from azureml_local.workspace.pipelines import Link, Node, PipelineSpec, kept_pipeline
from azureml_local.workspace.run_kinds import PIPELINE


def node(name: str, *after: str, links: tuple[Link, ...] = ()) -> Node:
    job = JobSpec("c", None, (), "true", {}, {}, (), (), None, ())
    return Node(name, name, "CommandStep", "m", name, "s", job, {}, links, after, {})


def run(run_id: str, **more: Any) -> Run:
    return Run(id=run_id, **{"properties": {}, "process": None, **more})


def test_steps_stand_in_layers_and_show_their_newest_run() -> None:
    nodes = (
        node("last", "left", links=(Link("i", "right", "o"),)),
        node("left", "first"),
        node("right", "first"),
        node("first"),
    )
    spec = PipelineSpec(nodes, {}, {}, "g", None, False)
    parent = run("p", run_type=PIPELINE, spec=kept_pipeline(spec))
    children = [  # the newest first
        run("b", status="Running", properties={"azureml.nodeid": "left"}),
        run("c", status="Canceled", properties={"azureml.nodeid": "right"}, process={"stopped": True}),
        run("a2", status="Completed", properties={"azureml.nodeid": "first", "azureml.reusedrunid": "z"}),
        run("a1", status="Canceled", properties={"azureml.nodeid": "first"}),
    ]
    graph = graph_of(parent, children)
    assert graph is not None
    boxes = {box.name: box for box in graph.boxes}
    assert {name: (box.x, box.y) for name, box in boxes.items()} == {
        "first": (1, 1),
        "left": (1 + WIDTH + GAP, 1),
        "right": (1 + WIDTH + GAP, 1 + ROW),
        "last": (1 + 2 * (WIDTH + GAP), 1),
    }
    assert {name: (box.status, box.run_id, box.reused) for name, box in boxes.items()} == {
        "first": ("Completed", "a2", True),
        "left": ("Running", "b", False),
        "right": ("Waiting", "c", False),  # the end of a server cut it short: it starts again
        "last": ("Waiting", None, False),
    }
    assert len(graph.wires) == 4


def test_other_runs_have_no_graph() -> None:
    assert graph_of(run("x", run_type="azureml.scriptrun"), []) is None
