"""Comparison of runs: their parameters and metrics as columns of a table."""

from __future__ import annotations

import json
import math
import re
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Float, Select, String, case, cast, func, or_, select
from sqlalchemy.orm import aliased, defer, load_only

from azureml_local.storage.database import Database
from azureml_local.storage.tables import Metric, MetricValue, Run
from azureml_local.workspace.metrics import LIST, SCALAR
from azureml_local.workspace.runs import FINAL, ORDER

Cell = str | int | float | bool | None

OWN_TAGS = ("_aml_system_", "hyperparameters")  # what the SDK and sweeps keep for themselves
# An argument that stands for data says nothing that a person would compare (azureml's DatasetConsumptionConfig).
REFERENCE = re.compile(r"Dataset(?:Consumption|Output)Config:")
FLAG = re.compile(r"--?[A-Za-z_][\w.-]*")
METRIC, PARAMETER, TAG = "metric", "parameter", "tag"
# The newest runs, which say what columns there are.
SAMPLE = 200


@dataclass(frozen=True)
class RunQuery:
    """Which runs of an experiment: with these words in their name, id or tags, and of one of these statuses."""

    experiment_id: str
    words: str = ""
    status: str = ""


@dataclass(frozen=True)
class Sorting:
    """``column``: created, duration, status, or the name of a metric, parameter or tag (``kind`` says of which)."""

    column: str = "created"
    kind: str = ""
    descending: bool = True


@dataclass(frozen=True)
class Columns:
    """The names that the newest runs have; each in the order in which it first turns up.

    ``main`` is the metric to look at first: of those that most runs with any have, the last one, since losses come
    before what they are for.
    """

    metrics: list[str]
    parameters: list[str]
    tags: list[str]
    main: str = ""


@dataclass(frozen=True)
class Compared:
    """A run, without its definition, and its cells by name. Of a metric with several values it is the last one."""

    run: Run
    metrics: Mapping[str, Cell]
    parameters: Mapping[str, Cell]
    tags: Mapping[str, str]


class Comparison:
    def __init__(self, database: Database) -> None:
        self._database = database

    def count(self, wanted: RunQuery) -> int:
        with self._database.read() as session:
            return session.scalar(_chosen(select(func.count(Run.number)), wanted)) or 0

    def rows(
        self, wanted: RunQuery, sorting: Sorting | None = None, *, start: int = 0, top: int = 50
    ) -> list[Compared]:
        query = _sorted(wanted, sorting or Sorting()).offset(start).limit(top)
        with self._database.read() as session:
            numbers = list(session.scalars(query))
            whole = select(Run).options(defer(Run.definition), defer(Run.spec)).where(Run.number.in_(numbers))
            runs = {run.number: run for run in session.scalars(whole)}
        return self.compared([runs[number] for number in numbers])

    def points(self, wanted: RunQuery, top: int, metrics: Collection[str]) -> list[Compared]:
        """The newest runs, to be drawn: their numbers, names, tags and parameters, and no more of their metrics than
        these.
        """
        shown = load_only(Run.number, Run.id, Run.name, Run.display_name, Run.tags)
        query = _chosen(select(Run).options(shown), wanted).order_by(Run.number.desc()).limit(top)
        with self._database.read() as session:
            return self.compared(list(session.scalars(query)), metrics)

    def compared(self, runs: Sequence[Run], metrics: Collection[str] | None = None) -> list[Compared]:
        """The runs with their cells; of their metrics those of these names, or all."""
        ids = [run.id for run in runs]
        cells, parameters = self._metrics(ids, metrics), self._parameters(ids)
        return [
            Compared(run, cells.get(run.id, {}), {**parameters.get(run.id, {}), **_sampled(run)}, own_tags(run))
            for run in runs
        ]

    def children(self, parent_id: str, top: int = 500) -> list[Compared]:
        """The newest children of a run, newest first."""
        query = select(Run).options(defer(Run.definition), defer(Run.spec)).where(Run.parent_id == parent_id)
        with self._database.read() as session:
            return self.compared(list(session.scalars(query.order_by(Run.number.desc()).limit(top))))

    def columns(self, experiment_id: str) -> Columns:
        newest = _sorted(RunQuery(experiment_id), Sorting()).limit(SAMPLE)
        shown = load_only(Run.number, Run.id, Run.tags)
        runs = select(Run).options(shown).where(Run.number.in_(newest)).order_by(Run.number.desc())
        with self._database.read() as session:
            others = columns_of(self.compared(list(session.scalars(runs)), metrics=()))
            of_runs = Metric.run_id.in_(select(Run.id).where(Run.number.in_(newest)))
            numbers = select(Metric.name, func.count()).where(of_runs, Metric.kind.in_((SCALAR, LIST)))
            rows = session.execute(numbers.group_by(Metric.name).order_by(func.min(Metric.id)))
            counts = {name: count for name, count in rows}
        most = max(counts.values(), default=0)
        main = next((name for name in reversed(counts) if counts[name] * 2 > most), "")
        return replace(others, metrics=list(counts), main=main)

    def statuses(self, experiment_id: str | None = None) -> dict[str, int]:
        """How many runs have each status, in the order of a run's life."""
        query = select(Run.status, func.count()).group_by(Run.status)
        if experiment_id is not None:
            query = query.where(Run.experiment_id == experiment_id)
        with self._database.read() as session:
            found = {status: count for status, count in session.execute(query)}
        return {status: found[status] for status in ORDER if status in found}

    def per_experiment(self) -> dict[str, tuple[int, int, str]]:
        """By experiment: how many runs it has, how many of them aren't over, and when the newest was made."""
        open_ones = func.sum(case((Run.status.in_(FINAL), 0), else_=1))
        query = select(Run.experiment_id, func.count(), open_ones, func.max(Run.created)).group_by(Run.experiment_id)
        with self._database.read() as session:
            return {row[0]: (row[1], row[2], row[3]) for row in session.execute(query)}

    def series(self, run_id: str, name: str, most: int) -> tuple[list[tuple[int, dict[str, Any]]], int]:
        """Values of a metric as (place, data), evenly thinned out to about so many, and how many there are in all."""
        of_it = select(Metric.id).where(Metric.run_id == run_id, Metric.name == name).scalar_subquery()
        place = func.row_number().over(order_by=(MetricValue.created, MetricValue.id)).label("place")
        numbered = select(place, MetricValue.data.label("data")).where(MetricValue.metric == of_it).subquery()
        with self._database.read() as session:
            count = select(func.count()).select_from(MetricValue).where(MetricValue.metric == of_it)
            total = session.scalar(count) or 0
            step = max(1, math.ceil(total / most))
            kept = select(numbered.c.place, numbered.c.data).order_by(numbered.c.place)
            if step > 1:  # the first and the last are always among them
                kept = kept.where(or_((numbered.c.place - 1) % step == 0, numbered.c.place == total))
            return [(row.place, row.data) for row in session.execute(kept)], total

    def _metrics(self, run_ids: Sequence[str], names: Collection[str] | None) -> dict[str, dict[str, Cell]]:
        if names is not None and not names:
            return {}
        other = aliased(MetricValue)
        last = (
            select(other.id)
            .where(other.metric == Metric.id)
            .order_by(other.created.desc(), other.id.desc())
            .limit(1)
            .correlate(Metric)
            .scalar_subquery()
        )
        query = (
            select(Metric.run_id, Metric.name, MetricValue.data)
            .join(MetricValue, MetricValue.id == last)
            .where(Metric.run_id.in_(run_ids), Metric.kind.in_((SCALAR, LIST)))
            .order_by(Metric.id)
        )
        if names is not None:
            query = query.where(Metric.name.in_(names))
        found: dict[str, dict[str, Cell]] = {}
        with self._database.read() as session:
            for run_id, name, data in session.execute(query):
                found.setdefault(run_id, {})[name] = next(iter(data.values()), None)
        return found

    def _parameters(self, run_ids: Sequence[str]) -> dict[str, dict[str, Cell]]:
        query = select(Run.id, func.json_extract(Run.spec, "$.job.arguments")).where(Run.id.in_(run_ids))
        with self._database.read() as session:
            return {row[0]: parameters(as_list(row[1])) for row in session.execute(query)}


def parameters(arguments: Sequence[object]) -> dict[str, Cell]:
    """A script's arguments by name: ``["--rate", 0.5, "--fast"]`` is rate 0.5 and fast True. Data is left out."""
    found: dict[str, Cell] = {}
    words = deque(arguments)
    while words:
        word = words.popleft()
        if not isinstance(word, str) or not FLAG.fullmatch(word.partition("=")[0]):
            continue
        flag, assigned, value = word.partition("=")
        cell: Cell = _plain(value) if assigned else True
        if not assigned and words and not (isinstance(words[0], str) and FLAG.fullmatch(words[0])):
            cell = _plain(words.popleft())
        if not (isinstance(cell, str) and REFERENCE.match(cell)):
            found[flag.lstrip("-")] = cell
    return found


def columns_of(rows: Sequence[Compared]) -> Columns:
    def names(kind: str) -> list[str]:
        return list(dict.fromkeys(name for row in reversed(rows) for name in getattr(row, kind)))

    return Columns(names("metrics"), names("parameters"), names("tags"))


def _plain(value: object) -> Cell:
    if isinstance(value, str):
        for kind in (int, float):
            try:
                return kind(value)
            except ValueError:
                continue
    return value if isinstance(value, (str, int, float, bool, type(None))) else json.dumps(value)


def _sampled(run: Run) -> dict[str, Cell]:
    """The hyperparameters that a sweep chose for a child (azureml's HyperDrive keeps them in this tag)."""
    try:
        found = json.loads(run.tags.get("hyperparameters") or "{}")
    except (ValueError, TypeError, RecursionError):
        return {}
    return {str(key).lstrip("-"): _plain(value) for key, value in found.items()} if isinstance(found, dict) else {}


def own_tags(run: Run) -> dict[str, str]:
    """A run's tags, but for those that the SDK and sweeps keep for themselves."""
    return {
        key: str(value)
        for key, value in run.tags.items()
        # A sweep keeps the hyperparameters of each of its runs under that run's id.
        if not key.startswith((*OWN_TAGS, f"{run.id}_"))
    }


def as_list(arguments: object) -> list[object]:
    """A definition's arguments, which are a list, also as JSON, or one text with all of them."""
    found = arguments
    if isinstance(arguments, str):
        try:
            found = json.loads(arguments)
        except (ValueError, RecursionError):
            found = arguments.split()
    return list(found) if isinstance(found, list) else []


def _chosen(query: Select[Any], wanted: RunQuery) -> Select[Any]:
    query = query.where(Run.experiment_id == wanted.experiment_id)
    if wanted.status:
        query = query.where(Run.status == wanted.status)
    for word in wanted.words.split()[:8]:
        columns = (Run.id, Run.display_name, Run.name, cast(Run.tags, String))
        query = query.where(or_(*(column.icontains(word, autoescape=True) for column in columns)))
    return query


def _sorted(wanted: RunQuery, sorting: Sorting) -> Select[Any]:
    """The numbers of the runs. Empty cells last, whichever way; numbers as numbers; equal ones newest first."""
    cells = _cells(wanted, sorting)
    if cells is None:
        return _chosen(select(Run.number), wanted).order_by(Run.number.desc() if sorting.descending else Run.number)
    # As a table of its own, or SQLite would look the cell up once for each time that it stands in the order.
    keyed = cells.cte("keyed").prefix_with("MATERIALIZED")
    cell = keyed.c.cell
    number = case((func.typeof(cell).in_(("integer", "real")), cell), else_=_number_in(cell))
    keys = (number, cell)
    ordered = [key.desc() if sorting.descending else key for key in keys]
    return select(keyed.c.number).order_by(cell.is_(None), *ordered, keyed.c.number.desc())


def _cells(wanted: RunQuery, sorting: Sorting) -> Select[Any] | None:
    """(number, cell) of each run; None where the runs' own order is what is asked for."""
    cell: Any
    if sorting.kind == PARAMETER:
        # Out of each spec once: it is thirty times as long as its arguments.
        arguments = func.json_extract(Run.spec, "$.job.arguments").label("arguments")
        given = _chosen(select(Run.number, arguments), wanted).cte("given").prefix_with("MATERIALIZED")
        return select(given.c.number, _argument_cell(given.c.arguments, sorting.column).label("cell"))
    if sorting.kind == METRIC:
        cell = _metric_cell(sorting.column)
    elif sorting.kind == TAG:
        entries = func.json_each(Run.tags).table_valued("key", "value")
        cell = select(entries.c.value).where(entries.c.key == sorting.column).limit(1).scalar_subquery()
    elif sorting.column == "duration":
        cell = func.julianday(func.coalesce(Run.ended, func.strftime("%Y-%m-%dT%H:%M:%f", "now"))) - func.julianday(
            Run.started
        )
    elif sorting.column == "status":
        cell = case({status: place for place, status in enumerate(ORDER)}, value=Run.status)
    else:
        return None
    return _chosen(select(Run.number, cell.label("cell")), wanted)


def _readable(column: Any) -> Any:
    """JSON, or nothing: Python writes NaN into it, and not every SQLite reads that."""
    return case((func.json_valid(column), column), else_=None)


def _number_in(cell: Any) -> Any:
    return case((cast(cell, String).op("GLOB")("*[0-9]*"), cast(cell, Float)), else_=None)


def _metric_cell(name: str) -> Any:
    value = (
        select(MetricValue.data)
        .join(Metric, Metric.id == MetricValue.metric)
        .where(Metric.run_id == Run.id, Metric.name == name)
        .order_by(MetricValue.created.desc(), MetricValue.id.desc())
        .limit(1)
        .correlate(Run)
        .scalar_subquery()
    )
    entries = func.json_each(_readable(value)).table_valued("value")
    return select(entries.c.value).limit(1).correlate(Run).scalar_subquery()


def _argument_cell(arguments: Any, name: str) -> Any:
    # Within a list of arguments, the one that follows --name, or what follows it after "=".
    flags = func.json_each(_readable(arguments)).table_valued("key", "value").alias("flags")
    values = func.json_each(_readable(arguments)).table_valued("key", "value").alias("values")
    following = (
        select(values.c.value)
        .select_from(flags.join(values, values.c.key == flags.c.key + 1))
        .where(flags.c.value.in_((f"--{name}", f"-{name}")))
    )
    after_sign = func.instr(flags.c.value, "=") + 1
    assigned = select(func.substr(flags.c.value, after_sign)).where(
        func.substr(flags.c.value, 1, after_sign - 1).in_((f"--{name}=", f"-{name}="))
    )
    return func.coalesce(following.limit(1).scalar_subquery(), assigned.limit(1).scalar_subquery())
