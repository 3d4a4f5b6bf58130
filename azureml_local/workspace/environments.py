"""Environments: named, versioned definitions of what a job runs in."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from sqlalchemy import and_, delete, func, select
from sqlalchemy.orm import Session

from azureml_local.storage.clock import now
from azureml_local.storage.database import Database
from azureml_local.storage.tables import Environment, EnvironmentLabel, Json
from azureml_local.workspace.errors import Conflict, Invalid, NotFound

NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\- ]{0,254}")
VERSION = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-]{0,63}")
SECTIONS = ("python", "docker", "environmentVariables", "spark", "r")
LATEST = "latest"
MAX_CHARACTERS = 1_000_000  # of a definition as JSON; a conda file of a thousand packages has 50,000
MAX_LABELS = 100
CURATED = "AzureML-"


class Environments:
    def __init__(self, database: Database) -> None:
        self._database = database

    def register(self, name: str, definition: Json, version: str | None = None) -> Environment:
        """Keep a definition.

        Without a version, a new one is made only when the definition changed, as Azure does; it is one higher
        than the highest number that the name has.

        Raises:
            Conflict: the version that is named has another definition. Invalid: no name, no version, or no
                definition of an environment.
        """
        if not NAME.fullmatch(name):
            raise Invalid(f"{name[:80]!r} is no environment name: letters, digits, '-', '_', '.', at most 255.")
        if version is not None and (not VERSION.fullmatch(version) or version.lower() == LATEST):
            raise Invalid(f"{version[:80]!r} is no version of an environment: letters, digits, '-', '_', '.'.")
        definition = _checked(definition)
        with self._database.write() as session:
            known = _version(session, name, version)
            if known is not None and known.definition == definition:
                return known
            if version is not None and known is not None:
                raise Conflict(
                    f"Version {version!r} of the environment {name!r} is registered with another definition, and a "
                    "version never changes. Give another version, or none (env.version = None) for the next number."
                )
            row = Environment(
                name=name,
                version=version or _next_number(session, name),
                order=(session.scalar(select(func.max(Environment.order)).where(Environment.name == name)) or 0) + 1,
                definition=definition,
                created=now(),
            )
            session.add(row)
        return row

    def used(self, definition: Json) -> Json:
        """A run's definition of its environment, with the version under which it is registered.

        As in Azure, submitting registers it (Run.get_environment asks for that version). One that was changed
        after it was got from the workspace gets the next number. A definition that can't be registered stays as
        it is: its run will fail with the reason.
        """
        name, version = definition.get("name"), definition.get("version")
        if not isinstance(name, str) or not NAME.fullmatch(name):
            return definition
        try:
            row = self.register(name, definition, version if isinstance(version, str) else None)
        except Conflict:
            row = self.register(name, definition)
        except Invalid:
            return definition
        return {**definition, "version": row.version}

    def get(self, name: str, version: str | None = None) -> Environment:
        """The latest version unless one is named. Raises NotFound."""
        with self._database.read() as session:
            found = _version(session, name, version)
        if found is None:
            which = f"version {version!r} of the environment" if version else "environment"
            raise _missing(name, f"There is no {which} {name!r} in this workspace.")
        return found

    def labelled(self, name: str, label: str) -> Environment:
        """The version that a label stands for; ``latest`` is always the latest. Raises NotFound."""
        if label.lower() == LATEST:
            return self.get(name)
        with self._database.read() as session:
            named = session.get(EnvironmentLabel, (name, label))
            found = _version(session, name, named.version) if named else None
        if found is None:
            raise _missing(name, f"No version of the environment {name!r} has the label {label[:80]!r}.")
        return found

    def label(self, name: str, version: str, labels: Sequence[object]) -> Environment:
        """Give a version these labels, and take its others; a label that another version has moves here.

        Raises NotFound, Invalid.
        """
        words = [label for label in labels if isinstance(label, str) and 0 < len(label) <= 255]
        if len(words) != len(labels) or len(words) > MAX_LABELS or LATEST in (word.lower() for word in words):
            raise Invalid(f"Labels are up to {MAX_LABELS} words other than {LATEST!r}, which is given already.")
        found = self.get(name, version)
        with self._database.write() as session:
            session.execute(
                delete(EnvironmentLabel).where(EnvironmentLabel.name == name, EnvironmentLabel.version == version)
            )
            for word in words:
                session.merge(EnvironmentLabel(name=name, label=word, version=version))
        return found

    def latest(self) -> Sequence[Environment]:
        """The latest version of each, by name."""
        newest = (
            select(Environment.name, func.max(Environment.order).label("order")).group_by(Environment.name).subquery()
        )
        query = select(Environment).join(
            newest, and_(newest.c.name == Environment.name, newest.c.order == Environment.order)
        )
        with self._database.read() as session:
            return session.scalars(query.order_by(Environment.name)).all()


def _version(session: Session, name: str, version: str | None) -> Environment | None:
    query = select(Environment).where(Environment.name == name).order_by(Environment.order.desc()).limit(1)
    if version is not None:
        query = query.where(Environment.version == version)
    return session.scalar(query)


def _next_number(session: Session, name: str) -> str:
    versions = session.scalars(select(Environment.version).where(Environment.name == name))
    numbers = [int(one) for one in versions if one.isascii() and one.isdecimal()]
    return str(max(numbers, default=0) + 1)


def _missing(name: str, sentence: str) -> NotFound:
    if not name.startswith(CURATED):
        return NotFound(sentence)
    return NotFound(
        f"The curated environment {name!r} is a container image of Azure's, which a local workspace can't have. "
        "Define the packages yourself, e.g. Environment.from_pip_requirements(name, file); registered here under "
        "that very name, they are what Environment.get finds."
    )


def _checked(definition: Json) -> Json:
    """The sections that an environment has when it is registered; a run's has others too (databricks).

    Raises Invalid for what no SDK would send.
    """
    definition = {key: definition[key] for key in (*SECTIONS, "inferencingStackVersion") if key in definition}
    for key in SECTIONS:
        if not isinstance(definition.get(key), dict | None):
            raise Invalid(f"The environment's {key} section can't be {str(definition[key])[:80]!r}.")
    conda = (definition.get("python") or {}).get("condaDependencies")
    if not isinstance(conda, dict | None) or not isinstance((conda or {}).get("dependencies"), list | None):
        raise Invalid("The environment's conda dependencies must be a conda file's content, with a list of them.")
    try:
        size = len(json.dumps(definition, allow_nan=False))
    except ValueError:
        raise Invalid("The environment's definition has a number that JSON doesn't know.") from None
    if size > MAX_CHARACTERS:
        raise Invalid(f"The environment's definition has {size:,} characters; {MAX_CHARACTERS:,} are allowed.")
    return definition
