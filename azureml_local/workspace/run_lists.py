"""Lists of runs: filter fields, sort order and paging."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

from sqlalchemy import ColumnElement, Connection, Select, Table, select
from sqlalchemy.orm import InstrumentedAttribute

from azureml_local.storage.tables import ENTRY_START, Json, Run, RunEntry
from azureml_local.workspace.errors import Invalid
from azureml_local.workspace.filters import Entries, Field, Filter, Page, Text, TimeField, condition


def _entries(column: InstrumentedAttribute[Json]) -> Entries:
    def among(key: str, value: str | None) -> ColumnElement[bool]:
        known = select(RunEntry.run).where(RunEntry.field == column.key, RunEntry.key == key)
        return Run.number.in_(known if value is None else known.where(RunEntry.start == value[:ENTRY_START]))

    return Entries(column, among)


# What lists of runs can be filtered by (azureml._restclient._odata.runs), and ordered by.
FIELDS: Mapping[str, Field] = {
    "runid": Text(Run.id),
    "parentrunid": Text(Run.parent_id),
    "rootrunid": Text(Run.root_id),
    "status": Text(Run.status),
    "runtype": Text(Run.run_type),
    "target": Text(Run.target),
    "scriptname": Text(Run.script_name),
    "createdutc": TimeField(Run.created),
    "starttimeutc": TimeField(Run.started),
    "endtimeutc": TimeField(Run.ended),
    "tags": _entries(Run.tags),
    "properties": _entries(Run.properties),
}
MAX_PAGE = 1000


class RunRow(NamedTuple):
    """What lists show of a run. A quarter of what a `Run` costs, which has a definition, and is watched for changes."""

    number: int
    id: str
    uuid: str
    experiment_id: str
    parent_id: str | None
    root_id: str
    status: str
    run_type: str | None
    target: str | None
    name: str | None
    display_name: str | None
    description: str | None
    script_name: str | None
    hidden: bool
    created: str
    started: str | None
    ended: str | None
    tags: Json
    properties: Json
    error: Json | None
    warnings: list[Any]


COLUMNS = [cast(Table, Run.__table__).columns[name] for name in RunRow._fields]


@dataclass(frozen=True)
class Listing:
    """Which runs, in the order in which they were made or of their ids, and which part of them.

    ``after`` is what the page before gave as ``next``.
    """

    experiment_id: str | None = None
    parent_id: str | None = None
    by_id: bool = False
    descending: bool = True
    after: str | None = None
    top: int = MAX_PAGE


NEWEST_FIRST = Listing()


def page_of(connection: Connection, wanted: Filter | None, listing: Listing) -> Page[RunRow]:
    """Raises Invalid for a filter that runs can't be filtered by, and for a token that is none."""
    order = Run.id if listing.by_id else Run.number
    query: Select[Any] = select(*COLUMNS)
    query = query.order_by(order.desc() if listing.descending else order)
    if listing.experiment_id is not None:
        query = query.where(Run.experiment_id == listing.experiment_id)
    if listing.parent_id is not None:
        query = query.where(Run.parent_id == listing.parent_id)
    if (holds := condition(wanted, FIELDS)) is not None:
        query = query.where(holds)
    if listing.after is not None:
        key: Any = listing.after if listing.by_id else _number(listing.after)
        query = query.where(order < key if listing.descending else order > key)
    limit = min(listing.top, MAX_PAGE)
    rows = [RunRow._make(row) for row in connection.execute(query.limit(limit + 1)).all()]
    last = rows[limit - 1] if len(rows) > limit else None
    return Page(rows[:limit], (last.id if listing.by_id else str(last.number)) if last else None)


def _number(token: str) -> int:
    if not token.isascii() or not token.isdecimal() or len(token) > 18:
        raise Invalid(f"{token[:40]!r} is no continuation token of this list.")
    return int(token)
