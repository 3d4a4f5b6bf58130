"""Environments: named, versioned definitions of what a job runs in."""

from __future__ import annotations

import json
import re

from azureml_local.storage.database import Database
from azureml_local.storage.tables import AssetVersion, Json
from azureml_local.workspace.assets import ENVIRONMENT, Assets, NewVersion
from azureml_local.workspace.errors import Conflict, Invalid, NotFound

NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\- ]{0,254}")
SECTIONS = ("python", "docker", "environmentVariables", "spark", "r")
MAX_CHARACTERS = 1_000_000  # of a definition as JSON; a conda file of a thousand packages has 50,000
CURATED = "AzureML-"


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

    def missing(self, name: str, sentence: str) -> NotFound:
        if not name.startswith(CURATED):
            return NotFound(sentence)
        return NotFound(
            f"The curated environment {name!r} is a container image of Azure's, which a local workspace can't have. "
            "Define the packages yourself, e.g. Environment.from_pip_requirements(name, file); registered here under "
            "that very name, they are what Environment.get finds."
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
