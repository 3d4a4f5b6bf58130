"""Migration of a store of an earlier format to this one.

Most changes are additions: tables, columns that are nullable or have a ``server_default``, indexes, and triggers. They
need no script for each step: what ``tables.py`` declares is compared with the database, and the difference is added.
Renamed and restructured tables are migrated by `moves`. A test opens a store of each earlier version and compares the
result with a fresh one.
"""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

from sqlalchemy import Connection, Index, Table, inspect
from sqlalchemy.engine.interfaces import ReflectedIndex
from sqlalchemy.schema import CreateColumn

from azureml_local.storage import moves, service_tables  # noqa: F401 (the tables, for Base)
from azureml_local.storage.tables import RUN_ENTRIES, Base, run_entries

# SQL that fills added columns and tables from existing rows; run once, after the addition.
FIRST_NAME = (
    "SELECT '/subscriptions/' || json_extract(value, '$[0][0]') || '/resourceGroups/' || json_extract(value, '$[0][1]')"
    " || '/providers/Microsoft.MachineLearningServices/workspaces/' || json_extract(value, '$[0][2]')"
    " FROM store WHERE key = 'names'"
)
DERIVED: tuple[str, ...] = (
    "UPDATE runs SET folded_id = lower(id) WHERE folded_id IS NULL",
    f"INSERT OR IGNORE INTO run_entries {run_entries('runs', 'runs, ')}",
    # Up to format 3, jobs had the workspace's first name, whichever name the client used.
    f"UPDATE runs SET workspace = ({FIRST_NAME}) WHERE workspace IS NULL",
)


def set_aside(path: Path, version: object) -> Path:
    """Copy a database consistently to ``NAME.version-N`` beside it. Returns the path.

    A copy that an earlier attempt left is replaced: while the store is of that version, its content is the same.

    Raises:
        OSError, sqlite3.Error: the copy can't be made, as on a full disk.
    """
    copy = path.with_name(f"{path.name}.version-{version}")
    unfinished = copy.with_name(copy.name + ".unfinished")
    unfinished.unlink(missing_ok=True)
    try:
        with contextlib.closing(sqlite3.connect(path)) as source, contextlib.closing(sqlite3.connect(unfinished)) as to:
            source.backup(to)
        unfinished.chmod(0o600)
        unfinished.replace(copy)
    finally:
        unfinished.unlink(missing_ok=True)
    return copy


def migrate(connection: Connection) -> None:
    """Add declared but missing objects, and move the rows of restructured tables.

    The caller's transaction makes it all or nothing.
    """
    moves.before(connection)
    there = set(inspect(connection).get_table_names())
    for table in Base.metadata.sorted_tables:
        if table.name in there:
            _add_columns(connection, table)
            _renew_indexes(connection, table)
    Base.metadata.create_all(connection)
    for name, trigger in RUN_ENTRIES.items():
        connection.exec_driver_sql(f"DROP TRIGGER IF EXISTS {name}")
        connection.exec_driver_sql(f"CREATE TRIGGER {name} {trigger}")
    for statement in DERIVED:
        connection.exec_driver_sql(statement)
    moves.after(connection)


def _add_columns(connection: Connection, table: Table) -> None:
    there = {column["name"] for column in inspect(connection).get_columns(table.name)}
    for column in table.columns:
        if column.name not in there:
            declared = str(CreateColumn(column).compile(dialect=connection.dialect))
            for key in column.foreign_keys:
                declared += f' REFERENCES "{key.column.table.name}" ("{key.column.name}")'
            connection.exec_driver_sql(f'ALTER TABLE "{table.name}" ADD COLUMN {declared}')


def _renew_indexes(connection: Connection, table: Table) -> None:
    """Recreate the table's indexes as declared. They hold no data of their own, so an outdated one is dropped."""
    declared = {str(index.name): index for index in table.indexes}
    there = {str(found["name"]): found for found in inspect(connection).get_indexes(table.name)}
    for name, found in there.items():
        if name not in declared or not _same(declared[name], found):
            connection.exec_driver_sql(f'DROP INDEX "{name}"')
    for name, index in declared.items():
        if name not in there or not _same(index, there[name]):
            index.create(connection)


def _same(index: Index, found: ReflectedIndex) -> bool:
    columns = [getattr(expression, "name", None) for expression in index.expressions]
    return columns == list(found["column_names"]) and bool(index.unique) == bool(found["unique"])
