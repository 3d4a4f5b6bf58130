"""Environments: named, versioned definitions of what a job runs in."""

from __future__ import annotations

from sqlalchemy import select

from azureml_local.storage.clock import now
from azureml_local.storage.database import Database
from azureml_local.storage.tables import Environment, Json
from azureml_local.workspace.errors import Invalid, NotFound


class Environments:
    def __init__(self, database: Database) -> None:
        self._database = database

    def register(self, name: str, definition: Json, version: str | None = None) -> Environment:
        """Keep a definition.

        Without a version, a new one is made only when the definition changed, as Azure does.
        """
        if not name or len(name) > 255 or "/" in name:
            raise Invalid(f"{name[:80]!r} is no environment name.")
        definition = {key: value for key, value in definition.items() if key not in ("name", "version")}
        with self._database.write() as session:
            latest = session.scalar(
                select(Environment).where(Environment.name == name).order_by(Environment.order.desc()).limit(1)
            )
            if version is None and latest is not None and latest.definition == definition:
                return latest
            order = latest.order + 1 if latest else 1
            row = Environment(
                name=name, version=version or str(order), order=order, definition=definition, created=now()
            )
            return session.merge(row)

    def get(self, name: str, version: str | None = None) -> Environment:
        """The latest version unless one is named."""
        query = select(Environment).where(Environment.name == name).order_by(Environment.order.desc()).limit(1)
        if version is not None:
            query = query.where(Environment.version == version)
        with self._database.read() as session:
            found = session.scalar(query)
        if found is not None:
            return found
        if name.startswith("AzureML-"):
            raise NotFound(
                f"The curated environment {name!r} is a container image of Azure's, which a local workspace "
                "can't have. "
                "Define the packages yourself, e.g. Environment.from_pip_requirements(name, file)."
            )
        which = f"version {version!r} of the environment" if version else "environment"
        raise NotFound(f"There is no {which} {name!r} in this workspace.")

    def latest(self) -> list[Environment]:
        """The latest version of each, by name."""
        with self._database.read() as session:
            rows = session.scalars(select(Environment).order_by(Environment.name, Environment.order))
            return list({row.name: row for row in rows}.values())
