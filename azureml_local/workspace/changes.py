"""Change detection for pages that follow a workspace."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import threading
import uuid
from typing import Any

from sqlalchemy import func, select

from azureml_local.storage.blobnames import begins
from azureml_local.storage.database import Database
from azureml_local.storage.tables import AssetVersion, Blob, Metric, MetricValue, Run, RunEvent
from azureml_local.workspace.artifacts import CONTAINER, RUN_ORIGIN, blob_name
from azureml_local.workspace.runs import container_name

# Of a run, what its page shows and its row holds.
SHOWN = (Run.status, Run.tags, Run.properties, Run.display_name, Run.description, Run.error, Run.started, Run.warnings)


class Changes:
    """Marks that differ as soon as something was written. They say that it was, and not what."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._begun = uuid.uuid4().hex[:8]  # a server that is started again counts from 1 again

    def mark(self) -> str:
        """Another one after each commit, whoever made it (SQLite's data_version, which reads no page of the file).

        A connection of its own, since the number counts the commits of the others only.
        """
        with self._lock:
            if self._connection is None:
                self._connection = sqlite3.connect(
                    f"{self._database.path.absolute().as_uri()}?mode=ro", uri=True, check_same_thread=False
                )
            (version,) = self._connection.execute("PRAGMA data_version").fetchone()
        return f"{self._begun}-{version}"

    def mark_of_run(self, run_id: str) -> str:
        """Another one after each change of what a run's pages show: its row, events, metrics, files, models, children.

        A log that grows isn't among them.
        """
        first = blob_name(RUN_ORIGIN, container_name(run_id), "x")[:-1]
        values = select(func.max(MetricValue.id)).join(Metric, Metric.id == MetricValue.metric)
        questions: list[Any] = [
            select(*SHOWN).where(Run.id == run_id),
            select(func.max(RunEvent.id)).where(RunEvent.run_id == run_id),
            values.where(Metric.run_id == run_id),
            select(func.count(), func.max(Blob.modified)).where(Blob.container == CONTAINER, begins(Blob.name, first)),
            select(func.count(), func.max(AssetVersion.modified)).where(AssetVersion.run_id == run_id),
            select(Run.status, func.count()).where(Run.parent_id == run_id).group_by(Run.status).order_by(Run.status),
        ]
        with self._database.read() as session:
            found = [[list(row) for row in session.execute(question)] for question in questions]
        return hashlib.blake2b(json.dumps(found).encode(), digest_size=9).hexdigest()

    def close(self) -> None:
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None
