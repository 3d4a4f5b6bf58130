"""What pipelines are made of, as clients leave it before there is a run: modules, data sources, graphs."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from sqlalchemy import select

from azureml_local.storage.clock import now
from azureml_local.storage.database import Database
from azureml_local.storage.tables import Json, PipelinePart
from azureml_local.workspace.errors import NotFound

MODULE, SOURCE, GRAPH, SUBMISSION = "module", "source", "graph", "submission"
# Of `reuse`: what completed under a key, and the last key of a step.
REUSE, STEP_KEY = "reuse", "step"


class PipelineParts:
    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, kind: str, body: Json, key: str | None = None) -> PipelinePart:
        row = PipelinePart(id=str(uuid.uuid4()), kind=kind, key=key, body=body, created=now())
        with self._database.write() as session:
            session.add(row)
        return row

    def get(self, kind: str, part_id: str) -> PipelinePart:
        """Raises NotFound."""
        return self._one(kind, part_id, PipelinePart.id == part_id)

    def newest(self, kind: str, key: str) -> PipelinePart:
        """The last one that was added under a key. Raises NotFound."""
        return self._one(kind, key, PipelinePart.key == key)

    def all(self, kind: str, key: str, limit: int) -> Sequence[PipelinePart]:
        """Those that were added under a key, the newest first."""
        query = select(PipelinePart).where(PipelinePart.kind == kind, PipelinePart.key == key)
        with self._database.read() as session:
            return session.scalars(query.order_by(PipelinePart.order.desc()).limit(limit)).all()

    def _one(self, kind: str, wanted: str, condition: object) -> PipelinePart:
        query = select(PipelinePart).where(PipelinePart.kind == kind, condition)  # type: ignore[arg-type]
        with self._database.read() as session:
            found = session.scalar(query.order_by(PipelinePart.order.desc()).limit(1))
        if found is None:
            raise NotFound(f"There is no {kind} {wanted[:80]!r} of a pipeline in this workspace.")
        return found
