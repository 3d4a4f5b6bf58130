"""Models: registered files with versions; and the lists of artifacts that say which files, as SDK v1 does."""

from __future__ import annotations

import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, Integer, String, cast, exists, func, literal_column, select
from sqlalchemy.orm import aliased

from azureml_local.storage.clock import now
from azureml_local.storage.database import Database
from azureml_local.storage.tables import ArtifactList, AssetVersion, Json
from azureml_local.workspace.assets import MODEL, Assets, NewVersion
from azureml_local.workspace.errors import Conflict, Invalid, NotFound
from azureml_local.workspace.texts import check_text, texts

NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9\-._]{0,254}")  # as the SDK checks it (azureml._model_management._util)

Pairs = Sequence[tuple[str, str | None]]


@dataclass(frozen=True)
class DatasetReference:
    """A saved dataset that a model was made with, and what it was used for (``training``)."""

    use: str | None
    dataset_id: str


@dataclass(frozen=True)
class ModelDetails:
    """What a model has beside what all assets have.

    ``client`` is what one client keeps with a model and nobody else reads, as it came.
    """

    framework: str | None = None
    framework_version: str | None = None
    experiment: str | None = None
    datasets: Sequence[DatasetReference] = ()
    client: Json = field(default_factory=dict)

    def as_body(self) -> Json:
        return {
            "framework": self.framework,
            "framework_version": self.framework_version,
            "experiment": self.experiment,
            "datasets": [{"name": each.use, "id": each.dataset_id} for each in self.datasets],
            "client": self.client,
        }


@dataclass(frozen=True)
class ModelChange:
    """What is to be different of a version; None leaves a thing as it is.

    Tags and the description are replaced. Properties and datasets are added to those that are there, and keys of
    ``client`` take the place of the same keys.
    """

    tags: Json | None = None
    description: str | None = None
    properties: Json | None = None
    datasets: Sequence[DatasetReference] = ()
    client: Json = field(default_factory=dict)


@dataclass(frozen=True)
class ModelFilter:
    """Which models a list is about. A pair without a value asks for the key alone."""

    name: str | None = None
    run_id: str | None = None
    framework: str | None = None
    dataset_id: str | None = None
    tags: Pairs = ()
    properties: Pairs = ()

    def conditions(self, model: Any) -> list[ColumnElement[bool]]:
        found: list[ColumnElement[bool]] = [model.kind == MODEL]
        if self.name is not None:
            found.append(model.name == self.name)
        if self.run_id is not None:
            found.append(model.run_id == self.run_id)
        if self.framework is not None:
            found.append(func.json_extract(model.body, "$.framework") == self.framework)
        if self.dataset_id is not None:
            one = func.json_each(model.body, "$.datasets").table_valued("value").alias("dataset")
            found.append(exists().where(func.json_extract(one.c.value, "$.id") == self.dataset_id))
        for place, column, pairs in (("tag", model.tags, self.tags), ("property", model.properties, self.properties)):
            for number, (key, value) in enumerate(pairs):
                entry = func.json_each(column).table_valued("key", "value").alias(f"{place}{number}")
                same = exists().where(entry.c.key == key)
                found.append(same if value is None else same.where(cast(entry.c.value, String) == value))
        return found


def details_of(model: AssetVersion) -> ModelDetails:
    """A model's own part, as it was registered and changed since."""
    body = model.body
    return ModelDetails(
        body.get("framework"),
        body.get("framework_version"),
        body.get("experiment"),
        [DatasetReference(each.get("name"), each["id"]) for each in body.get("datasets") or []],
        body.get("client") or {},
    )


class Models(Assets):
    """Nothing here opens a model's files: to load one is to run it, and that is its owner's decision."""

    def __init__(self, database: Database) -> None:
        super().__init__(database, MODEL)

    # Lists of artifacts -------------------------------------------------------------------------------------

    def create_artifact_list(self, body: Json) -> ArtifactList:
        row = ArtifactList(id=uuid.uuid4().hex, body=body, created=now())
        with self._database.write() as session:
            session.add(row)
        return row

    def artifact_list(self, list_id: str) -> ArtifactList:
        with self._database.read() as session:
            found = session.get(ArtifactList, list_id)
        if found is None:
            raise NotFound(f"There is no asset {list_id!r} in this workspace.")
        return found

    # Models -------------------------------------------------------------------------------------------------

    def register(self, new: NewVersion, details: ModelDetails | None = None) -> AssetVersion:
        """A new version; without a number one higher than the highest there ever was of the name.

        Raises Conflict for a version that there is already, Invalid for a name that Azure wouldn't take.
        """
        if not NAME.fullmatch(new.name):
            raise Invalid(
                f"{new.name[:80]!r} is no model name: letters, digits, '-', '.' and '_', at most 255, the first a "
                "letter or a digit."
            )
        with self._database.write() as session:
            row = self.add(session, new)
            row.body = {**new.body, **(details or ModelDetails()).as_body()}
        return row

    def change(self, name: str, version: str, changes: Sequence[ModelChange]) -> AssetVersion:
        """Apply changes, one after the other.

        Raises:
            NotFound, Conflict (a property has another value; as in Azure they never change), Invalid.
        """
        with self._database.write() as session:
            model = self.find(session, name, version)
            if model is None:
                raise self._no_version(name, version)
            for change in changes:
                if change.tags is not None:
                    model.tags = texts("model's tags", change.tags)
                if change.description is not None:
                    model.description = check_text("A model's description", change.description)
                if change.properties is not None:
                    model.properties = _with_properties(model.properties, texts("properties", change.properties))
                details = details_of(model)
                added = [each for each in change.datasets if each not in details.datasets]
                model.body = {
                    **model.body,
                    "datasets": ModelDetails(datasets=[*details.datasets, *added]).as_body()["datasets"],
                    "client": {**details.client, **change.client},
                }
            model.modified = now()
        return model

    def delete(self, name: str, version: str) -> None:
        """Forget a version. Its files stay where they are: among the artifacts of its run, or of the upload."""
        with self._database.write() as session:
            model = self.find(session, name, version)
            if model is None:
                raise self._no_version(name, version)
            self.forget(session, model)

    def list(
        self,
        wanted: ModelFilter | None = None,
        *,
        latest_only: bool = False,
        after: str | None = None,
        limit: int = 1000,
    ) -> tuple[Sequence[AssetVersion], str | None]:
        """The newest first, at most `limit`, and the mark after which the next ones come.

        With `latest_only`, of each name the latest version among those that are wanted.
        Raises Invalid for a mark that isn't one of these.
        """
        wanted = wanted or ModelFilter()
        # The order in which the rows were made, which no clock can change.
        made = literal_column("asset_versions.rowid", Integer)
        query = select(AssetVersion, made).where(*wanted.conditions(AssetVersion))
        if latest_only:
            newer = aliased(AssetVersion)
            later = (newer.name == AssetVersion.name, newer.order > AssetVersion.order)
            query = query.where(~exists().where(*later, *wanted.conditions(newer)))
        if after is not None:
            query = query.where(made < _mark(after))
        with self._database.read() as session:
            found = session.execute(query.order_by(made.desc()).limit(limit + 1)).all()
        return [model for model, _ in found[:limit]], str(found[limit - 1][1]) if len(found) > limit else None

    def _no_version(self, name: str, version: str) -> NotFound:
        return NotFound(f"There is no version {version!r} of the model {name!r} in this workspace.")


def _with_properties(known: Json, added: Json) -> Json:
    changed = [key for key, value in added.items() if key in known and known[key] != value]
    if changed:
        raise Conflict(f"The property {changed[0]!r} is set already, and a model's properties can't be changed.")
    return {**known, **added}


def _mark(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 19):
        raise Invalid(f"{text[:80]!r} is no mark of a list of models.")
    return int(text)
