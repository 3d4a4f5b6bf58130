"""What pipelines are made of, as clients leave it before there is a run: modules, data sources, graphs; and
what is kept of them to be run again: published pipelines, their endpoints, drafts.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence

from sqlalchemy import delete, select

from azureml_local.storage.clock import now
from azureml_local.storage.database import Database
from azureml_local.storage.tables import Json, PipelinePart
from azureml_local.workspace.errors import NotFound

MODULE, SOURCE, GRAPH, SUBMISSION = "module", "source", "graph", "submission"
# Of `reuse`: what completed under a key, and the last key of a step.
REUSE, STEP_KEY = "reuse", "step"
PUBLISHED, ENDPOINT, DRAFT, GRAPH_DRAFT = "published pipeline", "pipeline endpoint", "draft", "draft's graph"
NAMED_MODULE, MODULE_VERSION = "named module", "module version"

# What a user knows it by.
SHOWN = {
    MODULE: "module of a pipeline",
    SOURCE: "data source of a pipeline",
    GRAPH: "graph of a pipeline",
    SUBMISSION: "submission of a pipeline",
    DRAFT: "pipeline draft",
    GRAPH_DRAFT: "graph of a pipeline draft",
    NAMED_MODULE: "module",
}


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

    def list(self, kind: str) -> Sequence[PipelinePart]:
        """All of a kind, the newest first."""
        with self._database.read() as session:
            query = select(PipelinePart).where(PipelinePart.kind == kind).order_by(PipelinePart.order.desc())
            return session.scalars(query).all()

    def change(self, kind: str, part_id: str, change: Callable[[Json], Json], key: str | None = None) -> PipelinePart:
        """Give a part another body, made of the present one in the same transaction, and another key where one is
        named. Raises NotFound.
        """
        with self._database.write() as session:
            row = session.scalar(select(PipelinePart).where(PipelinePart.kind == kind, PipelinePart.id == part_id))
            if row is None:
                raise _missing(kind, part_id)
            row.body = change(dict(row.body))
            row.key = key if key is not None else row.key
        return row

    def remove(self, kind: str, part_id: str) -> None:
        """Nothing, for one that is gone."""
        with self._database.write() as session:
            session.execute(delete(PipelinePart).where(PipelinePart.kind == kind, PipelinePart.id == part_id))

    def _one(self, kind: str, wanted: str, condition: object) -> PipelinePart:
        query = select(PipelinePart).where(PipelinePart.kind == kind, condition)  # type: ignore[arg-type]
        with self._database.read() as session:
            found = session.scalar(query.order_by(PipelinePart.order.desc()).limit(1))
        if found is None:
            raise _missing(kind, wanted)
        return found


def _missing(kind: str, wanted: str) -> NotFound:
    return NotFound(f"There is no {SHOWN.get(kind, kind)} {wanted[:80]!r} in this workspace.")
