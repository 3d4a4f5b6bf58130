"""Metrics as a person reads them: numbers, lines, tables, a confusion matrix."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from azureml_local.server.studio.render import called
from azureml_local.storage.blobrows import BlobRow
from azureml_local.storage.tables import Run
from azureml_local.workspace import Workspace
from azureml_local.workspace.metrics import INLINE, LIST, SCALAR, TABLE, MetricSeries
from azureml_local.workspace.runs import data_container

MOST_CLASSES = 30
MOST_BYTES = 64 * 1024
MOST_ROWS = 50  # of a table on the page; all of them are the SDK's to get
MOST_POINTS = 1500  # of a line, about as many as a screen has columns
SHADES = 20
# By their first bytes, since a job may call a file what it likes. SVG isn't among them: it can hold scripts.
PICTURES = {b"\x89PNG\r\n\x1a\n": "image/png", b"\xff\xd8\xff": "image/jpeg", b"GIF8": "image/gif"}


@dataclass(frozen=True)
class Cell:
    """One square of a confusion matrix: how many, and how dark, up to `SHADES` for the most frequent mistake."""

    count: int
    shade: int


@dataclass(frozen=True)
class Line:
    """A metric with several values, to be drawn: ``chart`` is for charts.js."""

    name: str
    total: int
    last: object
    chart: Mapping[str, object]


@dataclass(frozen=True)
class Table:
    name: str
    columns: list[str]
    rows: list[list[object]]
    total: int


@dataclass
class Figures:
    """A run's metrics, each as what shows it best. ``pictures`` and ``files`` (what is none) are (metric, file)."""

    scalars: list[tuple[str, object]] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    matrices: list[tuple[str, ConfusionMatrix]] = field(default_factory=list)
    pictures: list[tuple[str, str]] = field(default_factory=list)
    files: list[tuple[str, str]] = field(default_factory=list)

    @property
    def empty(self) -> bool:
        return not any(vars(self).values())


@dataclass(frozen=True)
class ConfusionMatrix:
    labels: list[str]
    rows: list[list[Cell]]


def of_run(workspace: Workspace, run: Run, files: Mapping[str, BlobRow]) -> Figures:
    """All metrics of a run. ``files`` are the run's, by path: some kinds of metric are kept as one of them."""
    found = Figures()
    for series in workspace.metrics.heads(run.id, MOST_ROWS):
        if series.kind in INLINE:
            _add(found, workspace, run.id, series)
        elif (name := _file_of(series, run)) in files:
            path = workspace.artifacts.path(files[name])
            matrix = confusion_matrix(path)
            if matrix is not None:
                found.matrices.append((series.name, matrix))
            else:
                (found.pictures if picture_type(path) else found.files).append((series.name, name))
    return found


def overlaid(workspace: Workspace, runs: Sequence[Run]) -> list[Line]:
    """The metrics that at least two of the runs have several values of, with a line for each run."""
    of_metric: dict[str, list[tuple[Run, Mapping[int, float]]]] = {}
    for run in runs:
        for series in workspace.metrics.heads(run.id, 1):
            if series.kind in (SCALAR, LIST) and series.beyond:
                points, _ = workspace.comparison.series(run.id, series.name, MOST_POINTS)
                values = {place: float(cell) for place, data in points for cell in data.values() if _is_number(cell)}
                of_metric.setdefault(series.name, []).append((run, values))
    found = []
    for name, lines in of_metric.items():
        places = sorted({place for _, values in lines for place in values})
        if len(lines) > 1 and places:
            data = [places, *([values.get(place) for place in places] for _, values in lines)]
            chart = {"kind": "line", "x": "value", "names": [called(run) for run, _ in lines], "data": data}
            found.append(Line(name, len(places), None, {**chart, "gaps": True}))
    return found


def line(points: Sequence[tuple[int, Mapping[str, object]]]) -> Mapping[str, object] | None:
    """A chart of the columns that are numbers, against the first one where that grows from row to row, as a step
    does; None where there is nothing to draw.
    """
    columns = list(dict.fromkeys(key for _, data in points for key in data))
    numbers = [key for key in columns if any(_is_number(data.get(key)) for _, data in points)]
    if not numbers:
        return None
    values = [[data.get(key) if _is_number(data.get(key)) else None for _, data in points] for key in numbers]
    x, places = "value", list[Any](place for place, _ in points)
    if len(numbers) > 1 and numbers[0] == columns[0] and _grows(values[0]):
        x, places, numbers, values = numbers[0], values[0], numbers[1:], values[1:]
    return {"kind": "line", "x": x, "names": numbers, "data": [places, *values]}


def picture_type(path: Path) -> str | None:
    """The media type of a picture that a browser may show; None for anything else."""
    with path.open("rb") as file:
        head = file.read(16)
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "image/webp"
    return next((kind for magic, kind in PICTURES.items() if head.startswith(magic)), None)


def confusion_matrix(path: Path) -> ConfusionMatrix | None:
    """What ``run.log_confusion_matrix`` has written; None for any other file, since a job may write what it likes."""
    if path.stat().st_size > MOST_BYTES:
        return None
    try:
        body = json.loads(path.read_bytes())
        if body["schema_type"] != "confusion_matrix":
            return None
        labels = [str(label) for label in body["data"]["class_labels"]]
        counts = [[int(count) for count in row] for row in body["data"]["matrix"]]
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
        return None
    if not 0 < len(counts) == len(labels) <= MOST_CLASSES or any(len(row) != len(labels) for row in counts):
        return None
    worst = max([1, *(count for i, row in enumerate(counts) for j, count in enumerate(row) if i != j)])
    return ConfusionMatrix(
        labels, [[Cell(count, round(SHADES * min(max(count, 0), worst) / worst)) for count in row] for row in counts]
    )


def _add(found: Figures, workspace: Workspace, run_id: str, series: MetricSeries) -> None:
    total = len(series.values) + series.beyond
    columns = list(series.columns) or list(dict.fromkeys(key for value in series.values for key in value.data))
    if total == 1 and len(series.values[0].data) == 1:
        found.scalars.append((series.name, next(iter(series.values[0].data.values()))))
        return
    points, _ = workspace.comparison.series(run_id, series.name, MOST_POINTS)
    # A table of a few rows is read better than drawn.
    chart = line(points) if total > (1 if series.kind != TABLE else MOST_ROWS // 5) else None
    if chart is not None:
        last = next(iter(points[-1][1].values()), None) if len(columns) == 1 else None
        found.lines.append(Line(series.name, total, last, chart))
    if series.kind == TABLE or chart is None:
        rows = [[value.data.get(column) for column in columns] for value in series.values]
        found.tables.append(Table(series.name, columns, rows, total))


def _file_of(series: MetricSeries, run: Run) -> str:
    """The file that a metric is: its last value says ``aml://artifactId/{origin}/{container}/{file}``
    (azureml.core._metrics, _build_artifact_uri).
    """
    address = str(next(iter(series.values[-1].data.values()), "")) if series.values else ""
    return address.partition(f"/{data_container(run)}/")[2]


def _grows(values: Sequence[Any]) -> bool:
    return None not in values and all(one < other for one, other in itertools.pairwise(values))


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
