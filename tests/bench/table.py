"""Measurements, and the one table that shows them."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field

from rich.console import Console
from rich.markup import escape
from rich.table import Table

ENOUGH_FOR_P95 = 20


@dataclass(frozen=True)
class Row:
    """One thing measured, several times.

    ``values`` are in ``unit``: "s" for seconds, "ms" for milliseconds, "" for a plain number. ``beside`` says what was
    measured beside it in the same run, ``yardstick`` are that thing's values, in the same unit; the ratio is that of
    the medians.
    """

    what: str
    values: Sequence[float]
    unit: str = "s"
    beside: str = ""
    yardstick: Sequence[float] = ()

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def ratio(self) -> float | None:
        beside = statistics.median(self.yardstick) if self.yardstick else 0.0
        return self.median / beside if beside else None


@dataclass
class Part:
    """A part of the bench: its rows, and in ``remarks`` what to know about them, or why there are none."""

    title: str
    rows: list[Row] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


def show(parts: Sequence[Part], console: Console) -> None:
    table = Table(highlight=False, header_style="bold", pad_edge=False)
    table.add_column("Measured")
    table.add_column("Median", justify="right", no_wrap=True)
    table.add_column("p95, or range", justify="right", no_wrap=True)
    table.add_column("Times", justify="right", no_wrap=True)
    table.add_column("Beside it, in the same run")
    table.add_column("Ratio", justify="right", no_wrap=True)
    for part in parts:
        table.add_section()
        table.add_row(f"[bold]{escape(part.title)}[/bold]")
        for row in part.rows:
            table.add_row(escape(f"  {row.what}"), *_cells(row))
        for remark in part.remarks:
            table.add_row(f"  [dim]{escape(remark)}[/dim]")
    console.print(table)


def percentile(values: Sequence[float], percent: int) -> float:
    """The smallest value that at least so many percent of the values don't exceed."""
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)]


def _cells(row: Row) -> tuple[str, ...]:
    if len(row.values) >= ENOUGH_FOR_P95:
        spread = _figure(percentile(row.values, 95), row.unit)
    elif len(row.values) > 1:
        least, most = _figure(min(row.values), row.unit), _figure(max(row.values), row.unit)
        spread = f"{least.split()[0]} to {most}"
    else:
        spread = ""
    beside = f"{row.beside}: {_figure(statistics.median(row.yardstick), row.unit)}" if row.yardstick else row.beside
    ratio = "" if row.ratio is None else f"{row.ratio:.{3 if row.ratio < 0.1 else 2 if row.ratio < 10 else 0}f}"
    return _figure(row.median, row.unit), spread, str(len(row.values)), escape(beside), ratio


def _figure(value: float, unit: str) -> str:
    digits = 2 if abs(value) < 10 else 1
    if not unit:
        digits = 0 if float(value).is_integer() else 4
    return f"{value:.{digits}f} {unit}".rstrip()
