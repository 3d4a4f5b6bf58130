"""Charts of many runs: scatter plots and parallel coordinates."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from azureml_local.server.studio.render import called
from azureml_local.storage.clock import now, parse_time
from azureml_local.workspace.activity import ActivityPoint
from azureml_local.workspace.comparison import Cell, Compared, columns_of

MOST_AXES, MOST_LINES, MOST_TICKS = 8, 300, 6
WIDTH, HEIGHT, TOP, BOTTOM, LEFT, RIGHT = 900, 300, 34, 22, 110, 110
SHADES = 10


@dataclass(frozen=True)
class Axis:
    """One of several upright axes. ``ticks`` are (height, text)."""

    name: str
    x: float
    ticks: list[tuple[float, str]]


@dataclass(frozen=True)
class Strand:
    """A run's way across the axes. ``shade`` from 0 to `SHADES` is its place between the worst and the best value."""

    run_id: str
    points: str
    shade: int
    title: str


@dataclass(frozen=True)
class Parallel:
    axes: list[Axis]
    strands: list[Strand]
    metric: str
    width: int = WIDTH
    height: int = HEIGHT


def points(rows: Sequence[Compared], x: str, y: str, base: str) -> Mapping[str, object] | None:
    """A chart of one cell of each run against another, for charts.js; None where no run has both.

    ``x`` and ``y`` are columns' keys, as in the table's address; "run" is the order in which the runs were made.
    """
    found = []
    for row in rows:
        one, other = _number(cell(row, x)), _number(cell(row, y))
        if one is not None and other is not None:
            found.append((one, other, row))
    if not found:
        return None
    found.sort(key=lambda point: point[0])
    return {
        "kind": "points",
        "x": label(x),
        "names": [label(y)],
        "data": [[point[0] for point in found], [point[1] for point in found]],
        "titles": [called(point[2].run) for point in found],
        "links": [f"{base}/runs/{quote(point[2].run.id, safe='')}" for point in found],
        "log": _spans_decades([point[0] for point in found]),
    }


def activity(moments: Sequence[ActivityPoint]) -> Mapping[str, object] | None:
    """How many nodes of a cluster were busy, and how many runs waited, over time; None where nothing ever happened."""
    if not moments:
        return None
    last = moments[-1]._replace(time=parse_time(now()).timestamp())
    times, *counts = (list(each) for each in zip(*moments, last, strict=True))
    return {"kind": "steps", "x": "time", "names": ["busy nodes", "runs that wait"], "data": [times, *counts]}


def cell(row: Compared, key: str) -> Cell:
    kind, _, name = key.partition(".")
    if key == "run":
        return row.run.number
    side: Mapping[str, Cell] = {"m": row.metrics, "p": row.parameters, "t": row.tags}.get(kind, {})
    return side.get(name)


def label(key: str) -> str:
    return "runs, oldest first" if key == "run" else key.partition(".")[2]


def parallel(children: Sequence[Compared], primary: str = "") -> Parallel | None:
    """Parameters as upright axes, the metric as the last one, a line for each run that has all of them.

    The metric is the primary one of the sweep; of children that are none's, the first that several have.
    """
    columns = columns_of(children)
    metric = primary if primary in columns.metrics else next(iter(columns.metrics), "")
    if not metric:
        return None
    values = {name: {row.parameters.get(name) for row in children} for name in columns.parameters}
    names = [name for name, found in values.items() if len(found) > 1][: MOST_AXES - 1]
    whole = [row for row in children if row.parameters.keys() >= {*names}]
    rows = [row for row in whole if _number(row.metrics.get(metric)) is not None][:MOST_LINES]
    if len(rows) < 2 or not names:
        return None
    sides: list[tuple[str, list[Cell]]] = [(name, [row.parameters[name] for row in rows]) for name in names]
    sides.append((metric, [row.metrics[metric] for row in rows]))
    axes, heights = [], []
    for place, (name, cells) in enumerate(sides):
        ticks, of_rows = _scaled(cells)
        axes.append(Axis(name, LEFT + place * (WIDTH - LEFT - RIGHT) / (len(sides) - 1), ticks))
        heights.append(of_rows)
    worst, best = max(heights[-1]), min(heights[-1])
    strands = [
        Strand(
            row.run.id,
            " ".join(f"{axis.x:.1f},{heights[place][number]:.1f}" for place, axis in enumerate(axes)),
            round(SHADES * (worst - heights[-1][number]) / (worst - best)) if worst > best else SHADES,
            f"{called(row.run)}: " + ", ".join(f"{name} {_text(cells[number])}" for name, cells in sides),
        )
        for number, row in enumerate(rows)
    ]
    return Parallel(axes, sorted(strands, key=lambda strand: strand.shade), metric)


def _scaled(cells: Sequence[Cell]) -> tuple[list[tuple[float, str]], list[float]]:
    """Ticks, and a height for each cell: numbers by size (in powers of ten where they span several), others by name."""
    low, high = HEIGHT - BOTTOM, TOP
    numbers = [_number(each) for each in cells]
    if all(number is not None for number in numbers):
        known = [number for number in numbers if number is not None]
        by_power = _spans_decades(known)
        scaled = [math.log10(number) if by_power else number for number in known]
        least, most = min(scaled), max(scaled)
        span = (most - least) or 1.0
        middle = (low + high) / 2
        heights = [low + (high - low) * (value - least) / span if most > least else middle for value in scaled]
        places = [0.0, 0.5, 1.0] if most > least else [0.5]
        ticks = [least + span * place for place in places] if most > least else [least]
        texts = [f"{10**tick if by_power else tick:.4g}" for tick in ticks]
        return [(low + (high - low) * place, text) for place, text in zip(places, texts, strict=True)], heights
    words = sorted({_text(each) for each in cells})
    step = (low - high) / max(1, len(words) - 1)
    at = {word: low - place * step if len(words) > 1 else (low + high) / 2 for place, word in enumerate(words)}
    every = math.ceil(len(words) / MOST_TICKS)
    return [(at[word], word[:16]) for word in words[::every]], [at[_text(each)] for each in cells]


def _spans_decades(numbers: Sequence[float]) -> bool:
    return min(numbers) > 0 and max(numbers) / min(numbers) >= 50


def _number(value: Cell) -> float | None:
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return None
    return float(value) if isinstance(value, (int, float)) and abs(value) < 1e300 and math.isfinite(value) else None


def _text(value: Cell) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
