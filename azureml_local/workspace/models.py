"""Models: registered files with versions; and the assets that say which files."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import Select, select

from azureml_local.storage.clock import now
from azureml_local.storage.database import Database
from azureml_local.storage.tables import Asset, Json, Model
from azureml_local.workspace.errors import Invalid, NotFound


class Models:
    """Nothing here opens a model's files: to load one is to run it, and that is its owner's decision."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # Assets -------------------------------------------------------------------------------------------------

    def create_asset(self, body: Json) -> Asset:
        asset = Asset(id=uuid.uuid4().hex, body=body, created=now())
        with self._database.write() as session:
            session.add(asset)
        return asset

    def asset(self, asset_id: str) -> Asset:
        with self._database.read() as session:
            found = session.get(Asset, asset_id)
        if found is None:
            raise NotFound(f"There is no asset {asset_id!r} in this workspace.")
        return found

    # Models -------------------------------------------------------------------------------------------------

    def register(self, name: str, body: Json, run_id: str | None) -> Model:
        """A new version, one higher than the highest there is."""
        if not name or len(name) > 255:
            raise Invalid(f"{name[:80]!r} is no model name.")
        with self._database.write() as session:
            latest = session.scalar(
                select(Model.version).where(Model.name == name).order_by(Model.version.desc()).limit(1)
            )
            moment = now()
            model = Model(
                name=name,
                version=(latest or 0) + 1,
                run_id=run_id,
                body=body,
                created=moment,
                modified=moment,
            )
            session.add(model)
        return model

    def get(self, model_id: str) -> Model:
        """By ``name:version``."""
        name, _, version = model_id.rpartition(":")
        with self._database.read() as session:
            found = session.get(Model, (name, int(version))) if name and version.isdecimal() else None
        if found is None:
            raise NotFound(f"There is no model {model_id!r} in this workspace.")
        return found

    def list(
        self,
        *,
        name: str | None = None,
        version: int | None = None,
        run_id: str | None = None,
        latest_only: bool = False,
        keep: Callable[[Model], bool] | None = None,
        limit: int | None = None,
    ) -> Sequence[Model]:
        """Newest first."""
        query: Select[Any] = select(Model).order_by(Model.created.desc(), Model.version.desc())
        if name is not None:
            query = query.where(Model.name == name)
        if version is not None:
            query = query.where(Model.version == version)
        if run_id is not None:
            query = query.where(Model.run_id == run_id)
        with self._database.read() as session:
            found: list[Model] = [model for model in session.scalars(query) if keep is None or keep(model)]
        if latest_only:
            newest: dict[str, Model] = {}
            for model in found:
                if model.name not in newest or model.version > newest[model.name].version:
                    newest[model.name] = model
            found = list(newest.values())
        return found[:limit]
