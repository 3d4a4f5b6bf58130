"""Experiments: named groups of runs."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Integer, delete, func, literal_column, select
from sqlalchemy.orm import Session

from azureml_local.storage.clock import now
from azureml_local.storage.database import Database
from azureml_local.storage.tables import (
    AssetVersion,
    Experiment,
    Metric,
    MetricValue,
    Run,
    RunData,
    RunDataset,
    RunEvent,
    RunParameter,
)
from azureml_local.workspace.artifacts import RUN_ORIGIN, Artifacts
from azureml_local.workspace.errors import Conflict, Invalid, NotFound
from azureml_local.workspace.filters import Entries, Field, Filter, Page, Text, TimeField, condition
from azureml_local.workspace.runs import FINAL, container_name
from azureml_local.workspace.texts import check_text, texts

# The rule that the SDK checks too (azureml.core.experiment): 1 to 255 of letters, digits, - and _, beginning
# with a letter or digit.
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,254}")
FIELDS: Mapping[str, Field] = {
    "name": Text(func.coalesce(Experiment.former_name, Experiment.name)),
    "createdutc": TimeField(Experiment.created),
    "tags": Entries(Experiment.tags),
}
MAX_PAGE = 1000
# The order in which they were made, which no clock can change.
MADE = literal_column("experiments.rowid", Integer)


def shown_name(experiment: Experiment) -> str:
    """The name that its users know it by."""
    return experiment.former_name or experiment.name


class Experiments:
    """A name is free again when its experiment is archived: then that one keeps it as its ``former_name`` as soon
    as a new one takes it (azureml.core.Experiment.archive).
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    # Reading ------------------------------------------------------------------------------------------------

    def get(self, name: str) -> Experiment:
        """The one of this name that is not archived, or else the one that was archived last.

        Raises:
            NotFound: there is neither.
        """
        former = select(Experiment).where(Experiment.former_name == name).order_by(Experiment.archived.desc()).limit(1)
        with self._database.read() as session:
            found = session.scalar(select(Experiment).where(Experiment.name == name)) or session.scalar(former)
        if found is None:
            raise NotFound(f"There is no experiment {name!r} in this workspace.")
        return found

    def get_by_id(self, experiment_id: str) -> Experiment:
        with self._database.read() as session:
            found = session.get(Experiment, experiment_id)
        if found is None:
            raise NotFound(f"There is no experiment with the id {experiment_id!r} in this workspace.")
        return found

    def find(self, name_or_id: str) -> Experiment:
        """By name, or else by id: the SDK uses both in the same place."""
        try:
            return self.get(name_or_id)
        except NotFound:
            return self.get_by_id(name_or_id)

    def find_to_write(self, name_or_id: str) -> Experiment:
        """The same, for a new run: under the name of an archived experiment a new one begins, as in Azure."""
        found = self.find(name_or_id)
        return self.get_or_create(name_or_id) if found.archived is not None and found.id != name_or_id else found

    def list(self, *, archived: bool | None = False) -> Sequence[Experiment]:
        """Newest first. ``archived``: only those (True), only the others (False), or all (None)."""
        query = select(Experiment).order_by(MADE.desc())
        if archived is not None:
            query = query.where(Experiment.archived.is_not(None) if archived else Experiment.archived.is_(None))
        with self._database.read() as session:
            return list(session.scalars(query))

    def page(
        self, wanted: Filter | None, *, archived: bool | None, after: str | None = None, top: int = MAX_PAGE
    ) -> Page[Experiment]:
        """Some of the experiments that the filter wants, newest first; ``after`` as the page before gave it.

        Raises Invalid when it didn't, and for a filter that experiments can't be filtered by.
        """
        query = select(Experiment, MADE).order_by(MADE.desc())
        if archived is not None:
            query = query.where(Experiment.archived.is_not(None) if archived else Experiment.archived.is_(None))
        if (holds := condition(wanted, FIELDS)) is not None:
            query = query.where(holds)
        if after is not None:
            if not (after.isascii() and after.isdecimal() and len(after) < 19):
                raise Invalid(f"{after[:40]!r} is no continuation token of this list.")
            query = query.where(int(after) > MADE)
        limit = min(top, MAX_PAGE)
        with self._database.read() as session:
            rows = session.execute(query.limit(limit + 1)).all()
        return Page([row for row, _ in rows[:limit]], str(rows[limit - 1][1]) if len(rows) > limit else None)

    # Writing ------------------------------------------------------------------------------------------------

    def get_or_create(self, name: str) -> Experiment:
        """The one of this name that is not archived; a new one when there is none."""
        if not NAME.fullmatch(name):
            raise Invalid(
                f"{name[:80]!r} is no experiment name: use 1 to 255 letters, digits, '-' and '_', a letter "
                "or digit first."
            )
        with self._database.write() as session:
            found = session.scalar(select(Experiment).where(Experiment.name == name))
            if found is not None and found.archived is not None:
                self._give_name_up(session, found)
                found = None
            if found is None:
                found = Experiment(
                    id=str(uuid.uuid4()), name=name, description=None, tags={}, created=now(), archived=None
                )
                session.add(found)
        return found

    def modify(self, experiment_id: str, changes: Mapping[str, Any]) -> Experiment:
        """Merge tags, set the description, archive or reactivate, as a PATCH of the history service does.

        Raises:
            Conflict: an archived one can't come back, since another one has its name now.
        """
        with self._database.write() as session:
            experiment = self._locked(session, experiment_id)
            experiment.tags = {**experiment.tags, **texts("tags", changes.get("tags"))}
            if isinstance(changes.get("description"), str):
                experiment.description = check_text("description", changes["description"])
            archive = changes.get("archive")
            if archive is True and experiment.archived is None:
                experiment.archived = now()
            elif archive is False and experiment.archived is not None:
                self._reactivate(session, experiment)
        return experiment

    def remove_tags(self, experiment_id: str, keys: Iterable[str]) -> Experiment:
        gone = set(keys)
        with self._database.write() as session:
            experiment = self._locked(session, experiment_id)
            experiment.tags = {key: value for key, value in experiment.tags.items() if key not in gone}
        return experiment

    def delete(self, experiment_id: str, artifacts: Artifacts) -> None:
        """Delete an experiment with its runs, their metrics and their files; files of registered models stay.

        Raises:
            NotFound: there is none. Conflict: some of its runs aren't over.
        """
        of_it = select(Run.id).where(Run.experiment_id == experiment_id)
        series = select(Metric.id).where(Metric.run_id.in_(of_it))
        with self._database.write() as session:
            experiment = self._locked(session, experiment_id)
            if going_on := session.scalar(of_it.where(Run.status.not_in(FINAL)).limit(1)):
                raise Conflict(
                    f"The experiment {shown_name(experiment)!r} has runs that aren't over, {going_on!r} for one. "
                    "Complete or cancel them first."
                )
            kept = set(session.scalars(select(AssetVersion.run_id).where(AssetVersion.run_id.in_(of_it))))
            containers = [container_name(run_id) for run_id in session.scalars(of_it) if run_id not in kept]
            session.execute(delete(MetricValue).where(MetricValue.metric.in_(series)))
            session.execute(delete(Metric).where(Metric.run_id.in_(of_it)))
            for table in (RunDataset, RunEvent, RunParameter, RunData):
                session.execute(delete(table).where(table.run_id.in_(of_it)))
            session.execute(delete(Run).where(Run.experiment_id == experiment_id))
            session.delete(experiment)
            files = [file for container in containers for file in artifacts.forget_all(session, RUN_ORIGIN, container)]
        artifacts.unlink(files)

    def _reactivate(self, session: Session, experiment: Experiment) -> None:
        name = shown_name(experiment)
        owner = session.scalar(select(Experiment).where(Experiment.name == name, Experiment.id != experiment.id))
        if owner is not None and owner.archived is None:
            raise Conflict(f"There is another experiment {name!r} now. Archive or delete that one first.")
        if owner is not None:
            self._give_name_up(session, owner)
        experiment.name, experiment.former_name, experiment.archived = name, None, None

    @staticmethod
    def _give_name_up(session: Session, experiment: Experiment) -> None:
        experiment.former_name, experiment.name = experiment.name, experiment.id
        session.flush()

    @staticmethod
    def _locked(session: Session, experiment_id: str) -> Experiment:
        found = session.get(Experiment, experiment_id)
        if found is None:
            raise NotFound(f"There is no experiment with the id {experiment_id!r} in this workspace.")
        return found
