"""The database: SQLite in WAL mode through SQLAlchemy, one writer at a time."""

from __future__ import annotations

import errno
import json
import logging
import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, cast

from sqlalchemy import URL, Connection, create_engine, event, inspect, select
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.orm import Session, sessionmaker

from azureml_local.storage import migration
from azureml_local.storage.folder import StateFolderError
from azureml_local.storage.tables import StoreInfo
from azureml_local.storage.trouble import StateGone, explain

logger = logging.getLogger("azureml_local.storage")

SCHEMA_VERSION = 4


class Vanished(Exception):
    """The parent of a new row was deleted since it was read. Nothing was written."""

    code = "NotFound"

    def __str__(self) -> str:
        return "The object that this belongs to was deleted just now."


class Database:
    """Sessions on one SQLite file.

    ``read()`` never waits for a writer (WAL). ``write()`` takes a lock of this process first, then ``BEGIN IMMEDIATE``:
    writers queue instead of polling SQLite's lock, and what a writer has read stays valid until it commits.

    Raises:
        StateFolderError: the file is not a database, is damaged, or was written by a newer version.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._writing = threading.RLock()
        # Errors contain no values: they are logged, and a value can be a secret of the key vault.
        self._engine = create_engine(
            URL.create("sqlite", database=str(path)),
            connect_args={"check_same_thread": False, "timeout": 30},
            hide_parameters=True,
            # No limit on connections: there are at most as many as threads, and none waits for another's.
            max_overflow=-1,
            json_deserializer=from_json,
        )
        event.listen(self._engine, "connect", _configure_connection)
        event.listen(self._engine, "begin", _begin)
        self._sessions = sessionmaker(self._engine, expire_on_commit=False)
        try:
            self._open()
        except DBAPIError as error:
            trouble = explain(error)
            raise StateFolderError(f"{path} can't be opened. {trouble or error.orig}") from error

    def _open(self) -> None:
        found = self._version()
        if found == SCHEMA_VERSION:
            return
        if found is not None and not (isinstance(found, int) and 1 <= found < SCHEMA_VERSION):
            raise StateFolderError(
                f"{self.path} was written by a newer version of azureml-local (format {found}; this one reads up to "
                f"{SCHEMA_VERSION}). Install that version, or use another state folder: --state FOLDER."
            )
        copy = None if found is None else self._set_aside(found)
        with self.write() as session:
            migration.migrate(session.connection())
            session.merge(StoreInfo(key="schema_version", value=SCHEMA_VERSION))
        if copy is not None:
            logger.warning(
                "The store was of format %s and is of format %s now; its database as it was is kept as %s.",
                *(found, SCHEMA_VERSION, copy),
            )

    def _version(self) -> Any:
        """The store's format number, None for an empty store. Raises StateFolderError when it isn't a store of
        azureml-local.
        """
        version = None
        with self.read() as session:
            tables = inspect(session.connection()).get_table_names()
            if StoreInfo.__tablename__ in tables:
                version = session.scalar(select(StoreInfo.value).where(StoreInfo.key == "schema_version"))
        if tables and version is None:
            raise StateFolderError(
                f"{self.path} is a database of another program. Choose another state folder: --state FOLDER."
            )
        return version

    def _set_aside(self, version: int) -> Path:
        try:
            return migration.set_aside(self.path, version)
        except (OSError, sqlite3.Error) as error:
            raise StateFolderError(
                f"{self.path} is of an older format, and can't be copied before it is changed ({error}). "
                "Nothing was changed; make room or see to the folder's permissions, then try again."
            ) from error

    @contextmanager
    def read(self) -> Iterator[Session]:
        with self._sessions() as session:
            yield session

    def connect(self) -> Connection:
        """A connection for reading with plain statements; an ORM session for one row costs as much as the rest of a
        small request.
        """
        return self._engine.connect()

    @contextmanager
    def write(self) -> Iterator[Session]:
        """Raises Vanished."""
        with self._writing, self._sessions() as session:
            self._check_there()
            session.connection(execution_options={"write": True})
            try:
                yield session
                session.commit()
            except IntegrityError as error:
                if "FOREIGN KEY" in str(error.orig):
                    raise Vanished from error
                raise

    def rows(self) -> AbstractContextManager[sqlite3.Connection]:
        """Read transaction on a raw SQLite connection, for frequent queries in which SQLAlchemy would take most of the
        time.

        Raises sqlite3.Error.
        """
        return self._transaction("BEGIN")

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Write transaction on a raw SQLite connection. Raises sqlite3.Error."""
        with self._writing, self._transaction("BEGIN IMMEDIATE") as connection:
            self._check_there()
            yield connection
            connection.execute("COMMIT")

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[sqlite3.Connection]:
        pooled = self._engine.raw_connection()
        try:
            connection = cast(sqlite3.Connection, pooled.driver_connection)
            connection.execute(begin)
            yield connection
        finally:
            pooled.close()  # and roll back what isn't committed

    def _check_there(self) -> None:
        """Raises StateGone if the database file was removed: an open file can still be written after its folder was
        removed.
        """
        if not self.path.exists():
            raise StateGone(errno.ENOENT, os.strerror(errno.ENOENT), str(self.path))

    def setting(self, key: str) -> Any:
        with self.read() as session:
            return session.scalar(select(StoreInfo.value).where(StoreInfo.key == key))

    def set_setting(self, key: str, value: Any) -> None:
        with self.write() as session:
            session.merge(StoreInfo(key=key, value=value))

    def close(self) -> None:
        self._engine.dispose()


def _configure_connection(connection: Any, _record: Any) -> None:
    # The driver must not open transactions by itself: _begin does, so that a write transaction has its lock from its
    # first statement.
    connection.isolation_level = None
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON", "busy_timeout=30000"):
        connection.execute(f"PRAGMA {pragma}")


def _begin(connection: Any) -> None:
    if connection.get_execution_options().get("write"):
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    else:
        # On the raw connection: SQLAlchemy takes a sixth of the time of a small read. This BEGIN takes no lock, and
        # can't fail.
        connection.connection.driver_connection.execute("BEGIN")


def from_json(text: str) -> Any:
    # Most of a run's columns are empty: a list of runs takes a third less time without parsing them.
    if text == "null":
        return None
    return {} if text == "{}" else [] if text == "[]" else json.loads(text)
