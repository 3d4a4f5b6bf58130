"""Environments: named, versioned definitions of what a job runs in."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from azureml_local.storage.clock import now
from azureml_local.storage.database import Database
from azureml_local.storage.tables import AssetName, AssetVersion, Json
from azureml_local.workspace import curated
from azureml_local.workspace.assets import ENVIRONMENT, LATEST, Assets, NewVersion
from azureml_local.workspace.errors import Conflict, Invalid, NotFound

NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\- ]{0,254}")
SECTIONS = ("python", "docker", "environmentVariables", "spark", "r")
MAX_CHARACTERS = 1_000_000  # of a definition as JSON; a conda file of a thousand packages has 50,000


class Environments(Assets):
    """An environment's definition is the ``body`` of its versions."""

    def __init__(self, database: Database) -> None:
        super().__init__(database, ENVIRONMENT)

    def register(
        self, name: str, definition: Json, version: str | None = None, *, also: Json | None = None
    ) -> AssetVersion:
        """Keep a definition, and ``also`` what one client says of it beside.

        Without a version, a new one is made only when the definition changed, as Azure does; it is one higher
        than the highest number that the name has.

        Raises:
            Conflict: the version that is named has another definition. Invalid: no name, no version, or no
                definition of an environment.
        """
        if not NAME.fullmatch(name):
            raise Invalid(f"{name[:80]!r} is no environment name: letters, digits, '-', '_', '.', at most 255.")
        definition = _checked(definition)
        with self._database.write() as session:
            known = self.find(session, name, version)
            if known is not None and definition_of(known) == definition:
                return known
            if version is not None and known is not None:
                raise Conflict(
                    f"Version {version!r} of the environment {name!r} is registered with another definition, and a "
                    "version never changes. Give another version, or none (env.version = None) for the next number."
                )
            return self.add(session, NewVersion(name, version, body={**(also or {}), **definition}))

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

    def get(self, name: str, version: str | None = None) -> AssetVersion:
        """As `Assets.get`; a curated environment, where none of that name is registered here.

        Azure counts versions of its images up; each of them is the same list of packages here.
        """
        try:
            return super().get(name, version)
        except NotFound:
            if (found := curated.counterpart(name)) is None:
                raise
            return _curated_row(found, version)

    def latest(self) -> Sequence[AssetVersion]:
        """As `Assets.latest`, and the curated ones of a workspace (``AzureML-...``) that aren't registered here."""
        rows = super().latest()
        known = {row.name.lower() for row in rows}
        others = (one for one in curated.TABLE if curated.is_curated_name(one.name) and one.name.lower() not in known)
        return [*rows, *(_curated_row(one, None) for one in others)]

    def of_registry(self, name: str, *, label: str | None = None, version: str | None = None) -> AssetVersion:
        """An environment of Azure's registry: what is registered here under that name, else its curated counterpart.

        Raises NotFound.
        """
        try:
            return self.labelled(name, label) if label else self.get(name, version)
        except NotFound:
            if (found := curated.counterpart(name, registry=True)) is None or (label and label.lower() != LATEST):
                raise NotFound(curated.refusal(name)) from None
            return _curated_row(found, version)

    def versions(self, name: str, *, archived: bool | None = False, limit: int | None = None) -> Sequence[AssetVersion]:
        rows = super().versions(name, archived=archived, limit=limit)
        found = curated.counterpart(name) if not rows and archived is not True else None
        return rows if found is None else [_curated_row(found, None)]

    def name(self, name: str) -> AssetName:
        try:
            return super().name(name)
        except NotFound:
            if (found := curated.counterpart(name)) is None:
                raise
            moment = now()
            return AssetName(
                kind=ENVIRONMENT,
                name=found.name,
                last_number=1,
                tags={},
                created=moment,
                modified=moment,
                archived=None,
            )

    def label(self, name: str, version: str, labels: Sequence[object]) -> AssetVersion:
        super().get(name, version)  # a curated environment has Azure's own labels
        return super().label(name, version, labels)

    def missing(self, name: str, sentence: str) -> NotFound:
        return NotFound(curated.refusal(name) if curated.is_curated_name(name) else sentence)


def _curated_row(found: curated.Curated, version: str | None) -> AssetVersion:
    """As a row of the store, which it becomes when a run uses it (`Environments.used`)."""
    moment = now()
    return AssetVersion(
        kind=ENVIRONMENT,
        name=found.name,
        version=version or curated.VERSION,
        order=1,
        description="A curated environment: the packages of Azure's image, which is not started here.",
        tags={},
        properties={},
        body=found.definition(),
        created=moment,
        modified=moment,
        archived=None,
    )


def definition_of(row: AssetVersion) -> Json:
    """The definition of an environment's version, without what a client said of it beside."""
    return {key: row.body[key] for key in (*SECTIONS, "inferencingStackVersion") if key in row.body}


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
