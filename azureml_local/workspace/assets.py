"""Assets: named things with versions, each of a kind (environment, model, data, component).

What all kinds have in common is here: names, versions and their order, labels, archiving. `models` and `environments`
say what is special to theirs; data and components of SDK v2 need no more than this.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlalchemy import ColumnElement, and_, delete, func, select
from sqlalchemy.orm import Session

from azureml_local.storage.clock import now
from azureml_local.storage.database import Database
from azureml_local.storage.tables import AssetLabel, AssetName, AssetVersion, Json
from azureml_local.workspace.errors import Conflict, Invalid, NotFound
from azureml_local.workspace.texts import check_text, texts

ENVIRONMENT, MODEL, DATA, COMPONENT, CODE = "environment", "model", "data", "component", "code"

VERSION = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-]{0,63}")
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-]{0,254}")
LATEST = "latest"
MAX_LABELS = 100
MOST_NUMBER = 2**63 - 1


@dataclass(frozen=True)
class NewVersion:
    """A version that is to be registered; without a ``version`` it gets the next number.

    ``type`` is v2's (uri_folder, custom_model, ..), ``body`` what only this kind of asset has.
    """

    name: str
    version: str | None = None
    type: str | None = None
    uri: str | None = None
    description: str | None = None
    tags: Json = field(default_factory=dict)
    properties: Json = field(default_factory=dict)
    run_id: str | None = None
    body: Json = field(default_factory=dict)


class Assets:
    """The assets of one kind."""

    def __init__(self, database: Database, kind: str) -> None:
        self._database = database
        self.kind = kind

    def missing(self, name: str, sentence: str) -> NotFound:
        """The error for an asset that isn't there; a kind may know more to say of a name."""
        return NotFound(sentence)

    # Versions -----------------------------------------------------------------------------------------------

    def create(self, new: NewVersion) -> AssetVersion:
        """Add a version.

        Raises:
            Conflict: there is such a version already. Invalid: no version that an asset can have, or no tags.
        """
        with self._database.write() as session:
            return self.add(session, new)

    def add(self, session: Session, new: NewVersion) -> AssetVersion:
        """The same, in the caller's transaction."""
        if new.version is not None and (not VERSION.fullmatch(new.version) or new.version.lower() == LATEST):
            raise Invalid(f"{new.version[:80]!r} is no version of a {self.kind}: letters, digits, '-', '_', '.'.")
        name = self._named(session, new.name)
        version = new.version or str(name.last_number + 1)
        if session.get(AssetVersion, (self.kind, new.name, version)) is not None:
            raise Conflict(f"There is a version {version!r} of the {self.kind} {new.name!r} already.")
        of_it = (AssetVersion.kind == self.kind, AssetVersion.name == new.name)
        moment = now()
        row = AssetVersion(
            kind=self.kind,
            name=new.name,
            version=version,
            order=(session.scalar(select(func.max(AssetVersion.order)).where(*of_it)) or 0) + 1,
            type=new.type,
            uri=None if new.uri is None else check_text("uri", new.uri),
            description=None if new.description is None else check_text("description", new.description),
            tags=texts("tags", new.tags),
            properties=texts("properties", new.properties),
            stage=None,
            run_id=new.run_id,
            body=new.body,
            created=moment,
            modified=moment,
            archived=None,
        )
        session.add(row)
        if (number := number_of(version)) is not None:
            name.last_number = max(name.last_number, number)
        name.modified = moment
        return row

    def get(self, name: str, version: str | None = None) -> AssetVersion:
        """A version; the latest that isn't archived, where none is named. Raises NotFound."""
        with self._database.read() as session:
            found = self.find(session, name, version)
        if found is None:
            which = f"version {version!r} of the {self.kind}" if version else self.kind
            raise self.missing(name, f"There is no {which} {name!r} in this workspace.")
        return found

    def find(self, session: Session, name: str, version: str | None = None) -> AssetVersion | None:
        """The same in the caller's transaction, and None for NotFound."""
        if version is not None:
            return session.get(AssetVersion, (self.kind, name, version))
        query = select(AssetVersion).where(AssetVersion.kind == self.kind, AssetVersion.name == name)
        query = query.where(AssetVersion.archived.is_(None))
        return session.scalar(query.order_by(AssetVersion.order.desc()).limit(1))

    def versions(self, name: str, *, archived: bool | None = False, limit: int | None = None) -> Sequence[AssetVersion]:
        """The versions of a name, newest first. ``archived``: only those (True), only the others, or all (None)."""
        query = select(AssetVersion).where(AssetVersion.kind == self.kind, AssetVersion.name == name)
        if archived is not None:
            query = query.where(AssetVersion.archived.is_not(None) if archived else AssetVersion.archived.is_(None))
        with self._database.read() as session:
            return session.scalars(query.order_by(AssetVersion.order.desc()).limit(limit)).all()

    def latest(self) -> Sequence[AssetVersion]:
        """Of each name its latest version, by name; names and versions that are archived are left out."""
        archived = select(AssetName.name).where(AssetName.kind == self.kind, AssetName.archived.is_not(None))
        newest = (
            select(AssetVersion.name, func.max(AssetVersion.order).label("order"))
            .where(AssetVersion.kind == self.kind, AssetVersion.archived.is_(None))
            .where(AssetVersion.name.not_in(archived))
            .group_by(AssetVersion.name)
            .subquery()
        )
        query = select(AssetVersion).join(
            newest, and_(newest.c.name == AssetVersion.name, newest.c.order == AssetVersion.order)
        )
        with self._database.read() as session:
            return session.scalars(query.where(AssetVersion.kind == self.kind).order_by(AssetVersion.name)).all()

    def archive(self, name: str, version: str | None, *, archived: bool) -> None:
        """Archive or restore a version, or the whole name. Raises NotFound."""
        with self._database.write() as session:
            found = session.get(AssetName, (self.kind, name)) if version is None else self.find(session, name, version)
            if found is None:
                raise NotFound(f"There is no {self.kind} {name!r} (version {version or 'any'}) in this workspace.")
            found.archived = (found.archived or now()) if archived else None
            found.modified = now()

    def describe(
        self, name: str, version: str | None, *, description: str | None, tags: Json | None
    ) -> AssetVersion | AssetName:
        """Give a version, or the name itself, another description and other tags; None leaves them. Raises NotFound."""
        with self._database.write() as session:
            found = session.get(AssetName, (self.kind, name)) if version is None else self.find(session, name, version)
            if found is None:
                raise NotFound(f"There is no {self.kind} {name!r} (version {version or 'any'}) in this workspace.")
            if description is not None:
                found.description = check_text("description", description)
            if tags is not None:
                found.tags = texts("tags", tags)
            found.modified = now()
        return found

    def with_property(self, key: str, value: str) -> Sequence[AssetVersion]:
        """The versions with this property, newest first."""
        query = select(AssetVersion).where(AssetVersion.kind == self.kind)
        query = query.where(func.json_extract(AssetVersion.properties, f'$."{key}"') == value)
        with self._database.read() as session:
            return session.scalars(query.order_by(AssetVersion.created.desc())).all()

    # Names --------------------------------------------------------------------------------------------------

    def create_name(self, name: str, *, description: str | None = None, tags: Json | None = None) -> AssetName:
        """A name without versions (MLflow: a registered model). Raises Conflict where there is one, Invalid."""
        with self._database.write() as session:
            if session.get(AssetName, (self.kind, name)) is not None:
                raise Conflict(f"There is a {self.kind} {name!r} already.")
            row = self._named(session, name)
            row.description = None if description is None else check_text("description", description)
            row.tags = texts("tags", tags)
        return row

    def name(self, name: str) -> AssetName:
        """What is kept of a name itself. Raises NotFound."""
        with self._database.read() as session:
            found = session.get(AssetName, (self.kind, name))
        if found is None:
            raise NotFound(f"There is no {self.kind} {name!r} in this workspace.")
        return found

    def names(self, *, archived: bool | None = False) -> Sequence[AssetName]:
        """All names, with versions or without, in order. ``archived`` as in `versions`."""
        query = select(AssetName).where(AssetName.kind == self.kind)
        if archived is not None:
            query = query.where(AssetName.archived.is_not(None) if archived else AssetName.archived.is_(None))
        with self._database.read() as session:
            return session.scalars(query.order_by(AssetName.name)).all()

    # Labels -------------------------------------------------------------------------------------------------

    def labelled(self, name: str, label: str) -> AssetVersion:
        """The version that a label stands for; ``latest`` is always the latest. Raises NotFound."""
        if label.lower() == LATEST:
            return self.get(name)
        with self._database.read() as session:
            named = session.get(AssetLabel, (self.kind, name, label))
            found = self.find(session, name, named.version) if named else None
        if found is None:
            raise self.missing(name, f"No version of the {self.kind} {name!r} has the label {label[:80]!r}.")
        return found

    def labels(self, name: str) -> dict[str, str]:
        """The labels of a name, and the version that each stands for."""
        query = select(AssetLabel).where(AssetLabel.kind == self.kind, AssetLabel.name == name)
        with self._database.read() as session:
            return {row.label: row.version for row in session.scalars(query.order_by(AssetLabel.label))}

    def label(self, name: str, version: str, labels: Sequence[object]) -> AssetVersion:
        """Give a version these labels, and take its others; a label that another version has moves here.

        Raises NotFound, Invalid.
        """
        words = [label for label in labels if isinstance(label, str) and 0 < len(label) <= 255]
        if len(words) != len(labels) or len(words) > MAX_LABELS or LATEST in (word.lower() for word in words):
            raise Invalid(f"Labels are up to {MAX_LABELS} words other than {LATEST!r}, which is given already.")
        found = self.get(name, version)
        with self._database.write() as session:
            session.execute(delete(AssetLabel).where(*self._labels_of(name), AssetLabel.version == version))
            for word in words:
                session.merge(AssetLabel(kind=self.kind, name=name, label=word, version=version))
        return found

    def forget(self, session: Session, version: AssetVersion) -> None:
        """Delete a version with its labels. Its name stays, and remembers the number."""
        session.execute(delete(AssetLabel).where(*self._labels_of(version.name), AssetLabel.version == version.version))
        session.delete(version)

    def _labels_of(self, name: str) -> tuple[ColumnElement[bool], ...]:
        return AssetLabel.kind == self.kind, AssetLabel.name == name

    def _named(self, session: Session, name: str) -> AssetName:
        row = session.get(AssetName, (self.kind, name))
        if row is None:
            moment = now()
            row = AssetName(
                kind=self.kind,
                name=name,
                last_number=0,
                description=None,
                tags={},
                created=moment,
                modified=moment,
                archived=None,
            )
            session.add(row)
            session.flush()
        return row


def check_asset_name(name: str) -> str:
    """The name itself. Raises Invalid for one that SDK v2 would not take for data, code or an environment."""
    if not NAME.fullmatch(name):
        raise Invalid(f"{name[:80]!r} is no name of an asset: letters, digits, '-', '_', '.', at most 255.")
    return name


def number_of(version: str) -> int | None:
    """The number that a version is, as SDK v1 and MLflow count them; None for one that is another text."""
    if not (version.isascii() and version.isdecimal() and len(version) < 20) or version != str(int(version)):
        return None
    return int(version) if int(version) < MOST_NUMBER else None
