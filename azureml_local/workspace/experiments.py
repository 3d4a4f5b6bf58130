"""Experiments: names that runs are gathered under."""

from __future__ import annotations

import re
import uuid
from collections.abc import Sequence

from sqlalchemy import select

from azureml_local.storage.clock import now
from azureml_local.storage.database import Database
from azureml_local.storage.tables import Experiment
from azureml_local.workspace.errors import Invalid, NotFound

# The rule that the SDK checks too (azureml.core.experiment): 1 to 255 of letters, digits, - and _, beginning
# with a letter or digit.
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,254}")


class Experiments:
    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, name: str) -> Experiment:
        with self._database.read() as session:
            found = session.scalar(select(Experiment).where(Experiment.name == name))
        if found is None:
            raise NotFound(f"There is no experiment {name!r} in this workspace.")
        return found

    def get_by_id(self, experiment_id: str) -> Experiment:
        with self._database.read() as session:
            found = session.get(Experiment, experiment_id)
        if found is None:
            raise NotFound(f"There is no experiment with the id {experiment_id!r} in this workspace.")
        return found

    def get_or_create(self, name: str) -> Experiment:
        if not NAME.fullmatch(name):
            raise Invalid(
                f"{name[:80]!r} is no experiment name: use 1 to 255 letters, digits, '-' and '_', a letter "
                "or digit first."
            )
        with self._database.write() as session:
            found = session.scalar(select(Experiment).where(Experiment.name == name))
            if found is None:
                found = Experiment(
                    id=str(uuid.uuid4()), name=name, description=None, tags={}, created=now(), archived=None
                )
                session.add(found)
        return found

    def list(self, *, archived: bool | None = False) -> Sequence[Experiment]:
        """Newest first. ``archived``: only those (True), only the others (False), or all (None)."""
        query = select(Experiment).order_by(Experiment.created.desc())
        if archived is not None:
            query = query.where(Experiment.archived.is_not(None) if archived else Experiment.archived.is_(None))
        with self._database.read() as session:
            return list(session.scalars(query))
