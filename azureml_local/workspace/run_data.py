"""Named inputs and outputs of runs: type and URI of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select

from azureml_local.storage.database import Database
from azureml_local.storage.tables import Run, RunData
from azureml_local.workspace.errors import NotFound
from azureml_local.workspace.texts import check_text


@dataclass(frozen=True)
class NamedData:
    """An input or output: a type of SDK v2 (uri_file, uri_folder, mltable, ..) and a URI.

    ``asset_id`` is the version of a data asset or model that it is, if it is one.
    """

    name: str
    type: str
    uri: str | None = None
    asset_id: str | None = None


class NamedDataOfRuns:
    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, run_id: str, data: Sequence[NamedData], *, output: bool) -> None:
        """Keep inputs, or outputs; one that is known is replaced: an output gets its asset when the job ends.

        Raises NotFound when there is no such run.
        """
        with self._database.write() as session:
            if session.scalar(select(Run.number).where(Run.id == run_id)) is None:
                raise NotFound(f"There is no run {run_id!r} in this workspace.")
            for one in data:
                check_text("A name", one.name)
                session.merge(RunData(run_id=run_id, output=output, **vars(one)))

    def of(self, run_id: str, *, output: bool) -> list[NamedData]:
        """A run's inputs, or its outputs, by name."""
        query = select(RunData).where(RunData.run_id == run_id, RunData.output == output).order_by(RunData.name)
        with self._database.read() as session:
            return [NamedData(row.name, row.type, row.uri, row.asset_id) for row in session.scalars(query)]
