"""Runs' figures as a person reads them on a page."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from azureml_local.storage.clock import parse
from azureml_local.storage.tables import Run
from azureml_local.workspace.metrics import MetricSeries

MOST_CLASSES = 30
MOST_BYTES = 64 * 1024
MOST_VALUES = 20


@dataclass(frozen=True)
class Cell:
    """One square of a confusion matrix: how many, and how many of the most frequent mistake's, in percent."""

    count: int
    shade: int


@dataclass(frozen=True)
class ConfusionMatrix:
    labels: list[str]
    rows: list[list[Cell]]


def duration(run: Run) -> str:
    """How long it ran, as text; empty while it isn't over."""
    if run.started is None or run.ended is None:
        return ""
    seconds = (parse(run.ended) - parse(run.started)).total_seconds()
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def metric(series: MetricSeries) -> str:
    """The values as short text."""
    cells = [", ".join(_number(v) for v in value.data.values()) for value in series.values[:MOST_VALUES]]
    total = len(series.values) + series.beyond
    more = f" … ({total} values)" if total > MOST_VALUES else ""
    return "; ".join(cells) + more


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
        labels, [[Cell(count, round(100 * min(max(count, 0), worst) / worst)) for count in row] for row in counts]
    )


def _number(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
