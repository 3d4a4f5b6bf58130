"""The database: SQLite in WAL mode through SQLAlchemy, one writer at a time."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine, event, select
from sqlalchemy.exc import DatabaseError
from sqlalchemy.orm import Session, sessionmaker

from azureml_local.storage.folder import StateFolderError
from azureml_local.storage.tables import Base, StoreInfo

SCHEMA_VERSION = 1


class Database:
    """Sessions on one SQLite file.

    ``read()`` never waits for a writer (WAL). ``write()`` takes a lock of this process first, then ``BEGIN
    IMMEDIATE``: a writer waits its turn in a queue instead of polling SQLite's lock, and what it read stays
    true until it commits.

    Raises:
        StateFolderError: the file is no database, damaged, or of a newer version.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._writing = threading.RLock()
        self._engine = create_engine(f"sqlite:///{path}", connect_args={"check_same_thread": False, "timeout": 30})
        event.listen(self._engine, "connect", _configure_connection)
        event.listen(self._engine, "begin", _begin)
        self._sessions = sessionmaker(self._engine, expire_on_commit=False)
        try:
            self._open()
        except DatabaseError as error:
            raise StateFolderError(
                f"{path} can't be opened as a workspace database ({error.orig}). "
                "`azureml-local reset` starts a new workspace; copy the folder first if you need what is in "
                "it."
            ) from error

    def _open(self) -> None:
        with self.write() as session:
            Base.metadata.create_all(session.connection())
            found = session.get(StoreInfo, "schema_version")
            if found is None:
                session.add(StoreInfo(key="schema_version", value=SCHEMA_VERSION))
            elif found.value != SCHEMA_VERSION:
                raise StateFolderError(
                    f"{self.path} was written by another version of azureml-local (format {found.value}, "
                    "this one reads "
                    f"{SCHEMA_VERSION}). Install that version, or start a new workspace with `azureml-local "
                    "reset`."
                )

    @contextmanager
    def read(self) -> Iterator[Session]:
        with self._sessions() as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        with self._writing, self._sessions() as session:
            session.connection(execution_options={"write": True})
            yield session
            session.commit()

    def setting(self, key: str) -> Any:
        with self.read() as session:
            return session.scalar(select(StoreInfo.value).where(StoreInfo.key == key))

    def set_setting(self, key: str, value: Any) -> None:
        with self.write() as session:
            session.merge(StoreInfo(key=key, value=value))

    def close(self) -> None:
        self._engine.dispose()


def _configure_connection(connection: Any, _record: Any) -> None:
    # The driver must not open transactions by itself: _begin does, so that a writer is one from its first
    # statement.
    connection.isolation_level = None
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON", "busy_timeout=30000"):
        connection.execute(f"PRAGMA {pragma}")


def _begin(connection: Any) -> None:
    write = connection.get_execution_options().get("write")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")
