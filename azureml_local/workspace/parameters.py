"""Parameters of runs: a sweep's hyperparameters, literal inputs of a job, what MLflow logs as params."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from azureml_local.storage.database import Database
from azureml_local.storage.tables import Run, RunParameter
from azureml_local.workspace.errors import Invalid, NotFound
from azureml_local.workspace.texts import check_text


class Parameters:
    """Store of run parameters: immutable texts."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def log(self, run_id: str, values: Mapping[str, str]) -> None:
        """Set parameters, all of them or none; one that has this value already stays.

        Raises:
            NotFound: there is no such run. Invalid: a parameter has another value.
        """
        with self._database.write() as session:
            if session.scalar(select(Run.number).where(Run.id == run_id)) is None:
                raise NotFound(f"There is no run {run_id!r} in this workspace.")
            add(session, run_id, values)

    def of(self, run_id: str) -> dict[str, str]:
        """A run's parameters, by name."""
        return self.of_many([run_id])[run_id]

    def of_many(self, run_ids: Sequence[str]) -> dict[str, dict[str, str]]:
        """The same of several runs at once, by their ids."""
        query = select(RunParameter).where(RunParameter.run_id.in_(run_ids)).order_by(RunParameter.name)
        found: dict[str, dict[str, str]] = {run_id: {} for run_id in run_ids}
        with self._database.read() as session:
            for row in session.scalars(query):
                found[row.run_id][row.name] = row.value
        return found


def add(session: Session, run_id: str, values: Mapping[str, str]) -> None:
    """The same as `Parameters.log`, in the caller's transaction."""
    for name, value in values.items():
        known = session.get(RunParameter, (run_id, name))
        if known is not None and known.value != value:
            raise Invalid(
                f"The parameter {name[:80]!r} of the run {run_id!r} has the value {known.value[:80]!r}; parameters "
                "can't be changed. Use a tag for what changes."
            )
        if known is None:
            check_text("A parameter's name", name)
            session.add(RunParameter(run_id=run_id, name=name, value=check_text("A parameter's value", value)))
