"""Metrics: one store for every client, readable in both forms that SDK v1 asks for."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import Select, func, insert, select, tuple_
from sqlalchemy.orm import Session

from azureml_local.storage.clock import normal, now
from azureml_local.storage.database import Database, from_json
from azureml_local.storage.tables import Json, Metric, MetricValue, Run
from azureml_local.workspace.errors import Invalid, NotFound
from azureml_local.workspace.filters import Field, Filter, Page, Text, TimeField, condition
from azureml_local.workspace.texts import check_name, check_text

logger = logging.getLogger("azureml_local.workspace")

MAX_NAME = 255
MAX_COLUMNS = 500
# Values in one answer; more come on further pages.
MAX_PAGE = 10_000

SCALAR, LIST, TABLE = "azureml.v1.scalar", "azureml.v1.list", "azureml.v1.table"
INLINE = (SCALAR, LIST, TABLE)
FLOATS = ("double", "float")

# What the older metrics call can be filtered by (azureml._restclient._odata.runs, get_filter_expression).
FIELDS: Mapping[str, Field] = {
    "runid": Text(Metric.run_id),
    "metrictype": Text(Metric.kind),
    "name": Text(Metric.name),
    "createdutc": TimeField(MetricValue.created),
}


Cell = str | int | float | None


class Value(NamedTuple):
    """One value of a metric, or one row of a table: what MetricValue keeps of it."""

    id: int
    metric: int
    client_id: str
    position: int
    created: str
    step: int | None
    data: Json


# Read as columns: with an object of the ORM for each of 10,000 values a page takes three times as long.
VALUE = tuple(getattr(MetricValue, column) for column in Value._fields)
SERIES = "SELECT id, name, kind, columns FROM metrics WHERE run_id = ? ORDER BY id"
HEAD = f"SELECT {', '.join(Value._fields)} FROM metric_values WHERE metric = ? ORDER BY created, id LIMIT ?"
COUNT = "SELECT count(*) FROM metric_values WHERE metric = ?"
ALL = -1  # SQLite's LIMIT for none


@dataclass(frozen=True)
class MetricSeries:
    """A metric with its values, oldest first.

    ``kind`` is the client's ``uxMetricType``, e.g. ``azureml.v1.scalar``. ``next`` is where a further page begins;
    ``beyond``, where somebody counted them, is how many values the further pages have.
    """

    name: str
    kind: str
    columns: Json
    values: list[Value]
    next: str | None = None
    beyond: int = 0


@dataclass(frozen=True)
class NewValue:
    """One value that is logged, or one row of a table: a cell for each column that it has.

    ``time`` is when (ISO 8601), now for None. ``client_id`` tells a value that is sent again from another one.
    """

    data: Mapping[str, Cell]
    step: int | None = None
    time: str | None = None
    client_id: str | None = None


@dataclass(frozen=True)
class MetricBatch:
    """Values for one metric. ``columns`` are the types of its columns: int, double, string, ..."""

    name: str
    kind: str
    columns: Mapping[str, str]
    values: Sequence[NewValue]


@dataclass(frozen=True)
class Refused:
    """A metric of a call that was not kept, and why."""

    name: str
    reason: str


class Metrics:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._listeners: list[Callable[[str], None]] = []

    def listen(self, listener: Callable[[str], None]) -> None:
        """Call this with a run's id whenever something was logged for it."""
        self._listeners.append(listener)

    # Writing ------------------------------------------------------------------------------------------------

    def log(self, run_id: str, name: str, value: Cell, *, step: int | None = None, time: str | None = None) -> None:
        """Add a single value. Raises Invalid for one that can't be kept, or where the metric is no scalar."""
        if refused := self.append(run_id, [scalar(name, value, step=step, time=time)]):
            raise Invalid(refused[0].reason)

    def append(self, run_id: str, values: Iterable[MetricBatch]) -> list[Refused]:
        """Add values, in order; returns the metrics that were refused.

        A value that was kept already (same id, as when a client sends again) isn't kept twice. A column whose values
        have had different types takes the type that holds all of them, so that none is lost.
        """
        batches: list[tuple[MetricBatch, list[dict[str, Any]]]] = []
        refused: list[Refused] = []
        for each in values:
            try:
                batches.append((each, _rows(each)))
            except Invalid as error:
                refused.append(Refused(each.name[:MAX_NAME], str(error)))
        with self._database.write() as session:
            names = {batch.name for batch, _ in batches}
            found = session.scalars(select(Metric).where(Metric.run_id == run_id, Metric.name.in_(names)))
            known = {metric.name: metric for metric in found}
            rows: list[dict[str, Any]] = []
            for batch, new in batches:
                metric = known.get(batch.name)
                if metric is None:
                    metric = known[batch.name] = _new_metric(session, run_id, batch)
                elif _shape(batch.kind) != _shape(metric.kind):
                    reason = f"{batch.name!r} is a {metric.kind} in this run; give the {batch.kind} another name."
                    refused.append(Refused(batch.name, reason))
                    continue
                else:
                    metric.columns = _widened(metric.columns, batch.columns)
                rows += [{"metric": metric.id, **row} for row in new]
            if rows:
                session.execute(insert(MetricValue.__table__).prefix_with("OR IGNORE"), rows)  # type: ignore[arg-type]
        for listener in self._listeners:
            try:
                listener(run_id)
            except Exception:
                logger.exception("A listener failed for metrics of the run %s", run_id)
        return refused

    # Reading ------------------------------------------------------------------------------------------------

    def names(self, run_id: str) -> list[str]:
        with self._database.read() as session:
            return list(session.scalars(select(Metric.name).where(Metric.run_id == run_id).order_by(Metric.id)))

    def series(self, run_id: str, *, after: str | None = None, top: int = 1000) -> Page[Metric]:
        """Some of a run's metrics, without their values, in the order in which they were first logged."""
        query = select(Metric).where(Metric.run_id == run_id).order_by(Metric.id)
        if after is not None:
            query = query.where(Metric.id > _key(after, 1)[0])
        with self._database.read() as session:
            rows = list(session.scalars(query.limit(top + 1)))
        return Page(rows[:top], str(rows[top - 1].id) if len(rows) > top else None)

    def page(
        self,
        run_id: str,
        name: str,
        *,
        after: str | None = None,
        since: str | None = None,
        until: str | None = None,
        top: int = MAX_PAGE,
    ) -> MetricSeries:
        """A metric with some of its values: from ``since`` to ``until``, after what the page before gave as ``next``.

        They are in the order in which the client made them: after a lost connection it sends again, in any order.

        Raises:
            NotFound: the run has no such metric. Invalid: what should be a time or a token is none.
        """
        key = tuple_(MetricValue.created, MetricValue.id)
        query: Select[Any] = select(*VALUE).order_by(MetricValue.created, MetricValue.id)
        if after is not None:
            query = query.where(key > tuple(_key(after, 2)))
        if since is not None:
            query = query.where(MetricValue.created >= _time(since))
        if until is not None:
            query = query.where(MetricValue.created <= _time(until))
        with self._database.read() as session:
            metric = session.scalar(select(Metric).where(Metric.run_id == run_id, Metric.name == name))
            if metric is None:
                raise NotFound(f"The run {run_id!r} has no metric {name[:MAX_NAME]!r}.")
            rows = session.execute(query.where(MetricValue.metric == metric.id).limit(top + 1))
            values = [Value._make(row) for row in rows]
        last = values[top - 1] if len(values) > top else None
        more = f"{last.created}|{last.id}" if last else None
        return MetricSeries(metric.name, metric.kind, metric.columns, values[:top], more)

    def get(self, run_id: str, name: str) -> MetricSeries:
        """A metric with all its values. Raises NotFound."""
        page = self.page(run_id, name)
        values = page.values
        while page.next is not None:
            page = self.page(run_id, name, after=page.next)
            values += page.values
        return MetricSeries(page.name, page.kind, page.columns, values)

    def all(self, run_id: str) -> list[MetricSeries]:
        """A run's metrics with all their values."""
        return self.heads(run_id, ALL)

    def heads(self, run_id: str, most: int) -> list[MetricSeries]:
        """A run's metrics, each with its first values and how many there are besides.

        In SQLite's own words: of thousands of names each would wait for SQLAlchemy three times.
        """
        found = []
        with self._database.rows() as rows:
            for number, name, kind, columns in rows.execute(SERIES, (run_id,)).fetchall():
                values = [Value._make((*row[:-1], from_json(row[-1]))) for row in rows.execute(HEAD, (number, most))]
                total = len(values) if len(values) != most else rows.execute(COUNT, (number,)).fetchone()[0]
                found.append(MetricSeries(name, kind, from_json(columns), values, beyond=total - len(values)))
        return found

    def single_values(self, run_ids: Sequence[str]) -> dict[str, list[MetricSeries]]:
        """Of many runs at once, the metrics that are one value, by run."""
        query: Select[Any] = (
            select(Metric, *VALUE)
            .join(MetricValue, MetricValue.metric == Metric.id)
            .where(Metric.run_id.in_(run_ids), Metric.kind.in_(INLINE))
            .group_by(Metric.id)
            .having(func.count() == 1)
        )
        found: dict[str, list[MetricSeries]] = {run_id: [] for run_id in run_ids}
        with self._database.read() as session:
            for row in session.execute(query):
                metric: Metric = row[0]
                series = MetricSeries(metric.name, metric.kind, metric.columns, [Value._make(row[1:])])
                found[metric.run_id].append(series)
        return found

    def query(
        self, experiment_id: str, wanted: Filter | None, *, after: str | None = None, top: int = MAX_PAGE
    ) -> Page[tuple[Metric, Value]]:
        """Single values of all runs of an experiment that the filter wants, metric by metric.

        Raises Invalid for a filter that values can't be filtered by, and for a token that is none.
        """
        # Without the "+ 0" SQLite would walk along all values there are, since they lie in this order; and without
        # the '+ ""' it would begin with all runs of the experiment, where most filters name a few.
        order = (MetricValue.metric + 0, MetricValue.created, MetricValue.id)
        query: Select[Any] = (
            select(Metric, *VALUE)
            .join(MetricValue, MetricValue.metric == Metric.id)
            .join(Run, Run.id == Metric.run_id)
            .where(Run.experiment_id + "" == experiment_id)
            .order_by(*order)
        )
        if (holds := condition(wanted, FIELDS)) is not None:
            query = query.where(holds)
        if after is not None:
            query = query.where(tuple_(*order) > tuple(_key(after, 3)))
        with self._database.read() as session:
            rows = [(row[0], Value._make(row[1:])) for row in session.execute(query.limit(top + 1))]
        last = rows[top - 1][1] if len(rows) > top else None
        return Page(rows[:top], f"{last.metric}|{last.created}|{last.id}" if last else None)


def scalar(name: str, value: Cell, *, step: int | None = None, time: str | None = None) -> MetricBatch:
    """A single value. ``time`` is when it was logged (ISO 8601), now for None; NaN and the infinities are floats."""
    kind = "int" if isinstance(value, int) else "double" if isinstance(value, float) else "string"
    return MetricBatch(name, SCALAR, {name: kind}, [NewValue({name: value}, step, time)])


def _rows(batch: MetricBatch) -> list[dict[str, Any]]:
    """The rows of MetricValue, without their metric. Raises Invalid, with the reason as the client is told it."""
    if not 0 < len(batch.name) <= MAX_NAME:
        raise Invalid(f"A metric's name must be a text of 1 to {MAX_NAME} characters.")
    check_name("A metric's name", batch.name)
    if len(batch.columns) > MAX_COLUMNS:
        raise Invalid(f"The metric {batch.name!r} has {len(batch.columns)} columns; {MAX_COLUMNS} are the most.")
    for column in batch.columns:
        check_name("A metric's column", column)
    return [_row(batch, value, position) for position, value in enumerate(batch.values)]


def _row(batch: MetricBatch, value: NewValue, position: int) -> dict[str, Any]:
    name, step = batch.name, value.step
    for column, cell in value.data.items():
        if column not in batch.columns:
            raise Invalid(f"The metric {name!r} has a value in a column {str(column)[:80]!r} that it doesn't declare.")
        if not isinstance(cell, (str, int, float, type(None))):
            raise Invalid(f"The metric {name!r} has a value that is neither a number nor a text.")
        if isinstance(cell, str):
            check_text("A metric's value", cell)
    if step is not None and abs(step) >= 2**63:
        raise Invalid(f"The metric {name!r} has a step that is no number of 64 bits.")
    return {
        # Without an id of its own a value must not be taken for another one that is sent again.
        "client_id": value.client_id or str(uuid.uuid4()),
        "position": position,
        "created": now() if value.time is None else _time(value.time),
        "step": step,
        "data": dict(value.data),
    }


def _new_metric(session: Session, run_id: str, batch: MetricBatch) -> Metric:
    metric = Metric(run_id=run_id, name=batch.name, kind=batch.kind, columns=dict(batch.columns))
    session.add(metric)
    session.flush()
    return metric


def _shape(kind: str) -> str:
    """Single values and lists of them are read alike; each other kind only as itself."""
    return SCALAR if kind == LIST else kind


def _widened(known: Json, new: Mapping[str, str]) -> Json:
    types = {**new, **known}
    for column in new.keys() & known.keys():
        types[column] = _common(known[column], new[column])
    return types if types != known else known


def _common(one: str, other: str) -> str:
    if one == other or other == "none":
        return one
    if one == "none":
        return other
    return "double" if {one, other} <= {"int", *FLOATS} else "string"


def _time(text: str) -> str:
    try:
        return normal(text)
    except ValueError as error:
        raise Invalid(str(error)) from None


def _key(token: str, parts: int) -> Sequence[int | str]:
    """A token as the key that it stands for: numbers, and a time as the last but one of several."""
    words = token.split("|")
    numbers = [word for place, word in enumerate(words) if parts == 1 or place != parts - 2]
    if len(words) != parts or not all(word.isascii() and word.isdecimal() and len(word) < 19 for word in numbers):
        raise Invalid(f"{token[:40]!r} is no continuation token of this list.")
    return [word if parts > 1 and place == parts - 2 else int(word) for place, word in enumerate(words)]
