"""Models: registered files with versions; and the assets that say which files."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, String, cast, exists, func, select, tuple_
from sqlalchemy.orm import Session, aliased

from azureml_local.storage.clock import now
from azureml_local.storage.database import Database
from azureml_local.storage.tables import Asset, Json, Model, ModelName
from azureml_local.workspace.errors import Conflict, Invalid, NotFound
from azureml_local.workspace.texts import texts

NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9\-._]{0,254}")  # as the SDK checks it (azureml._model_management._util)

# What `Model.update` and its relatives replace (azureml.core.model), with the type of each.
REPLACEABLE: dict[str, tuple[type, ...]] = {
    "kvTags": (dict,),
    "description": (str,),
    "sampleInputData": (str,),
    "sampleOutputData": (str,),
    "resourceRequirements": (dict,),
}
# What a registration may say of a model beside its name; anything else would only lie in the store.
FIELDS: dict[str, tuple[type, ...]] = {
    **REPLACEABLE,
    "url": (str,),
    "mimeType": (str,),
    "unpack": (bool,),
    "framework": (str,),
    "frameworkVersion": (str,),
    "properties": (dict,),
    "datasets": (list,),
    "experimentName": (str,),
    "runId": (str,),
    "parentModelId": (str,),
    "derivedModelIds": (list,),
}

Pairs = Sequence[tuple[str, str | None]]


@dataclass(frozen=True)
class Wanted:
    """Which models a list is about. A pair without a value asks for the key alone."""

    name: str | None = None
    run_id: str | None = None
    framework: str | None = None
    dataset_id: str | None = None
    tags: Pairs = ()
    properties: Pairs = ()

    def conditions(self, model: Any) -> list[ColumnElement[bool]]:
        found: list[ColumnElement[bool]] = []
        if self.name is not None:
            found.append(model.name == self.name)
        if self.run_id is not None:
            found.append(model.run_id == self.run_id)
        if self.framework is not None:
            found.append(func.json_extract(model.body, "$.framework") == self.framework)
        if self.dataset_id is not None:
            one = func.json_each(model.body, "$.datasets").table_valued("value").alias("dataset")
            found.append(exists().where(func.json_extract(one.c.value, "$.id") == self.dataset_id))
        for place, pairs in (("$.kvTags", self.tags), ("$.properties", self.properties)):
            for number, (key, value) in enumerate(pairs):
                entry = func.json_each(model.body, place).table_valued("key", "value").alias(f"{place[2:]}{number}")
                same = exists().where(entry.c.key == key)
                found.append(same if value is None else same.where(cast(entry.c.value, String) == value))
        return found


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

    def register(self, name: str, body: Json) -> Model:
        """A new version, one higher than the highest there ever was: a deleted one's number isn't used again.

        Raises Invalid for a name that Azure wouldn't take, or a field of another type than Azure's.
        """
        if not NAME.fullmatch(name):
            raise Invalid(
                f"{name[:80]!r} is no model name: letters, digits, '-', '.' and '_', at most 255, the first a letter "
                "or a digit."
            )
        body = {key: _checked(key, value) for key, value in body.items() if key in FIELDS and value is not None}
        with self._database.write() as session:
            counter = session.get(ModelName, name)
            highest = session.scalar(select(func.max(Model.version)).where(Model.name == name)) or 0
            version = max(highest, counter.last_version if counter else 0) + 1
            session.merge(ModelName(name=name, last_version=version))
            moment = now()
            model = Model(
                name=name, version=version, run_id=body.get("runId"), body=body, created=moment, modified=moment
            )
            session.add(model)
        return model

    def get(self, model_id: str) -> Model:
        """By ``name:version``."""
        with self._database.read() as session:
            return _find(session, model_id)

    def change(self, model_id: str, operations: Sequence[Json]) -> Model:
        """Apply a JSON patch of the kind that ``Model.update``, ``add_tags`` and ``add_properties`` send.

        Tags and the other replaceable fields are replaced; datasets are added to those that are there.
        Properties are added, and as in Azure never changed.

        Raises:
            NotFound, Conflict (a property has another value), Invalid.
        """
        with self._database.write() as session:
            model = _find(session, model_id)
            body = dict(model.body)
            for operation in operations:
                field = str(operation.get("path", "")).removeprefix("/")
                if operation.get("op") not in ("add", "replace") or field not in {
                    *REPLACEABLE,
                    "properties",
                    "datasets",
                }:
                    raise Invalid(f"A model can't be changed by {str(operation)[:200]}.")
                value = _checked(field, operation.get("value"))
                if field == "properties":
                    value = _with_properties(body.get("properties") or {}, value)
                elif field == "datasets":
                    known = body.get("datasets") or []
                    value = known + [reference for reference in value if reference not in known]
                body[field] = value
            model.body = body
            model.modified = now()
        return model

    def delete(self, model_id: str) -> None:
        """Forget a version. Its files stay where they are: among the artifacts of its run, or of the upload."""
        with self._database.write() as session:
            session.delete(_find(session, model_id))

    def list(
        self, wanted: Wanted | None = None, *, latest_only: bool = False, after: str | None = None, limit: int = 1000
    ) -> tuple[Sequence[Model], str | None]:
        """The newest first, at most `limit`, and the mark after which the next ones come.

        With `latest_only`, of each name the highest version among those that are wanted.
        Raises Invalid for a mark that isn't one of these.
        """
        wanted = wanted or Wanted()
        query = select(Model).where(*wanted.conditions(Model))
        if latest_only:
            newer = aliased(Model)
            query = query.where(
                ~exists().where(newer.name == Model.name, newer.version > Model.version, *wanted.conditions(newer))
            )
        position = (Model.created, Model.version, Model.name)
        if after is not None:
            query = query.where(tuple_(*position) < tuple_(*_mark(after)))
        query = query.order_by(*(column.desc() for column in position)).limit(limit + 1)
        with self._database.read() as session:
            found = session.scalars(query).all()
        if len(found) <= limit:
            return found, None
        last = found[limit - 1]
        return found[:limit], f"{last.created}~{last.version}~{last.name}"


def _find(session: Session, model_id: str) -> Model:
    name, _, version = model_id.rpartition(":")
    number = int(version) if version.isascii() and version.isdecimal() and len(version) < 19 else None
    found = session.get(Model, (name, number)) if name and number is not None else None
    if found is None:
        raise NotFound(f"There is no model {model_id!r} in this workspace.")
    return found


def _checked(field: str, value: object) -> Any:
    if not isinstance(value, FIELDS[field]):
        raise Invalid(f"A model's {field} can't be {str(value)[:80]!r}.")
    if field in ("kvTags", "properties"):
        return texts(f"model's {field}", value)
    try:
        json.dumps(value, allow_nan=False)
    except ValueError:
        raise Invalid(f"A model's {field} has a number that JSON doesn't know.") from None
    references = value if field == "datasets" and isinstance(value, list) else []
    if not all(isinstance(one, dict) and isinstance(one.get("id"), str) for one in references):
        raise Invalid("A model's datasets must be references with an id.")
    return value


def _with_properties(known: Json, added: Json) -> Json:
    changed = [key for key, value in added.items() if key in known and known[key] != value]
    if changed:
        raise Conflict(f"The property {changed[0]!r} is set already, and a model's properties can't be changed.")
    return {**known, **added}


def _mark(text: str) -> tuple[str, int, str]:
    created, _, rest = text.partition("~")
    version, _, name = rest.partition("~")
    if not (version.isascii() and version.isdecimal() and len(version) < 19 and name):
        raise Invalid(f"{text[:80]!r} is no mark of a list of models.")
    return created, int(version), name
