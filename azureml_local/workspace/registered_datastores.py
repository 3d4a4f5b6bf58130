"""Datastores that a client has registered, beside the workspace's own (`datastores`).

A blob container whose account is reached at this server, which is what a client's SDK says unless it names another
endpoint, is a container of this store: empty at first, and apart from all others. Any other is kept as it was
registered, and read by the SDK's own engine at its account; its credentials are encrypted with a key that isn't in the
database.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cryptography.fernet import InvalidToken
from sqlalchemy import select

from azureml_local.storage.clock import now
from azureml_local.storage.database import Database
from azureml_local.storage.tables import DatastoreRow
from azureml_local.workspace import datastores
from azureml_local.workspace.containers import ACCOUNT, CONTAINERS
from azureml_local.workspace.errors import Conflict, Invalid, NotBuilt, NotFound
from azureml_local.workspace.keyvault import cipher

NAME = re.compile(r"[a-z0-9_]{1,255}")
ACCOUNT_NAME = re.compile(r"[a-z0-9]{3,24}")  # Azure's rules
CONTAINER_NAME = re.compile(r"[a-z0-9$](?:[a-z0-9]|-(?=[a-z0-9])){2,62}")
MAX_SETTINGS = 100_000  # characters of what is registered, as JSON
DEFAULT_SETTING = "default_datastore"
# File shares, which each workspace of Azure's has too.
OTHERS_OF_AZURE = ("workspacefilestore", "workspaceworkingdirectory")


@dataclass(frozen=True)
class Datastore:
    """A datastore: ``kind`` is v1's word (AzureBlob, ...), ``settings`` are as registered, credentials included.

    ``account`` and ``container`` are its blobs' names for clients; ``local`` is the container of this store that has
    them, and None where they are elsewhere.
    """

    name: str
    kind: str = "AzureBlob"
    account: str = ACCOUNT
    container: str = datastores.CONTAINER
    local: str | None = datastores.CONTAINER
    settings: Mapping[str, Any] = field(default_factory=dict, repr=False)


OWN = Datastore(datastores.DEFAULT)


class Datastores:
    """All that a workspace has. ``key`` is the store's, from which that of the credentials is derived."""

    def __init__(self, database: Database, key: str) -> None:
        self._database = database
        self._cipher = cipher(key, "datastores")
        self._physical = self._locals()

    # Reading --------------------------------------------------------------------------------------------------

    def get(self, name: str) -> Datastore:
        """Raises NotFound, and Conflict where its credentials can't be read any more."""
        if name == datastores.DEFAULT:
            return OWN
        with self._database.read() as session:
            row = session.get(DatastoreRow, name.lower())
        if row is None:
            known = ", ".join(map(repr, self.names()))
            if name in OTHERS_OF_AZURE:
                raise NotFound(
                    f"A local workspace has no {name!r}, which is a file share of Azure's; it has {known}. Use "
                    "workspace.get_default_datastore()."
                )
            raise NotFound(f"There is no datastore {name[:80]!r} in this workspace; it has {known}.")
        return self._of(row)

    def names(self) -> Sequence[str]:
        with self._database.read() as session:
            return [datastores.DEFAULT, *session.scalars(select(DatastoreRow.name).order_by(DatastoreRow.name))]

    def list(self) -> Sequence[Datastore]:
        return [self.get(name) for name in self.names()]

    @property
    def default(self) -> str:
        chosen = self._database.setting(DEFAULT_SETTING)
        return chosen if chosen in self.names() else datastores.DEFAULT

    def container(self, name: str) -> str:
        """The container of this store that has a datastore's blobs.

        Raises NotFound, and NotBuilt for a datastore whose files are elsewhere.
        """
        found = self.get(name)
        if found.local is None:
            raise NotBuilt(
                f"The files of the datastore {name!r} are in the account {found.account!r}, where a local workspace "
                f"writes nothing. Name {datastores.DEFAULT!r}, or one that was registered without an endpoint."
            )
        return found.local

    def physical(self, account: str, container: str) -> str | None:
        """The container of this store that a datastore of this account and container has; None where none has."""
        if (account, container) == (OWN.account, OWN.container):
            return OWN.local
        return self._physical.get((account, container))

    @property
    def containers(self) -> Collection[str]:
        """The containers of this store that are of registered datastores."""
        return self._physical.values()

    # Changing -------------------------------------------------------------------------------------------------

    def register(self, new: Datastore, *, replace: bool = False) -> None:
        """Keep a datastore. ``replace``: one of that name is there.

        Raises:
            Invalid: no name, account or container that Azure would take. Conflict: there is one of that name already,
                or the name is the workspace's own. NotFound: there is none to replace.
        """
        _check(new)
        settings = json.dumps(dict(new.settings))
        if len(settings) > MAX_SETTINGS:
            raise Invalid(f"The datastore {new.name!r} has {len(settings):,} characters of settings; that is too much.")
        moment = now()
        with self._database.write() as session:
            row = session.get(DatastoreRow, new.name)
            if replace and row is None:
                raise NotFound(f"There is no datastore {new.name!r} in this workspace.")
            if row is not None and not replace:
                # The SDK looks for these words where it may overwrite (azureml.data.constants.CONFLICT_MESSAGE).
                raise Invalid(f"Another datastore with the same name already exists: {new.name!r}.")
            session.merge(
                DatastoreRow(
                    name=new.name,
                    kind=new.kind,
                    account=new.account,
                    container=new.container,
                    local=new.local,
                    settings=self._cipher.encrypt(settings.encode()).decode(),
                    created=row.created if row is not None else moment,
                    modified=moment,
                )
            )
        self._physical = self._locals()

    def unregister(self, name: str) -> None:
        """Forget a datastore; the files of a container of this store stay, and are found when it is registered again.

        Raises NotFound, and Conflict for the default one, which Azure doesn't let go of either.
        """
        found = self.get(name)
        if found.name in (datastores.DEFAULT, self.default):
            raise Conflict(f"The datastore {name!r} is the workspace's default; it can't be unregistered.")
        with self._database.write() as session:
            session.delete(session.get_one(DatastoreRow, found.name))
        self._physical = self._locals()

    def set_default(self, name: str) -> None:
        """Raises NotFound."""
        self._database.set_setting(DEFAULT_SETTING, self.get(name).name)

    # ----------------------------------------------------------------------------------------------------------

    def _locals(self) -> dict[tuple[str, str], str]:
        with self._database.read() as session:
            rows = session.scalars(select(DatastoreRow).where(DatastoreRow.local.is_not(None)))
            return {(row.account, row.container): row.local for row in rows if row.local is not None}

    def _of(self, row: DatastoreRow) -> Datastore:
        try:
            settings = json.loads(self._cipher.decrypt(row.settings.encode()))
        except InvalidToken:
            raise Conflict(
                f"The credentials of the datastore {row.name!r} were encrypted with a key that this store no longer "
                "has (its secrets.json was made anew). Register it again with overwrite=True."
            ) from None
        return Datastore(row.name, row.kind, row.account, row.container, row.local, settings)


def local_container(account: str, container: str) -> str:
    """The name, within this store, of an account's container. Account names have no hyphen."""
    return container if account == ACCOUNT and container == datastores.CONTAINER else f"{account}-{container}"


def _check(new: Datastore) -> None:
    if new.name in (datastores.DEFAULT, datastores.ARTIFACTS):
        raise Conflict(f"The datastore {new.name!r} is the workspace's own; register another name.")
    if not NAME.fullmatch(new.name):
        raise Invalid(f"{new.name[:80]!r} is no name of a datastore: small letters, digits and '_', at most 255.")
    if not ACCOUNT_NAME.fullmatch(new.account):
        raise Invalid(f"{new.account[:80]!r} is no name of a storage account: 3 to 24 small letters and digits.")
    if not CONTAINER_NAME.fullmatch(new.container):
        raise Invalid(f"{new.container[:80]!r} is no name of a container: 3 to 63 small letters, digits and '-'.")
    if new.account == ACCOUNT and new.container in CONTAINERS and new.container != datastores.CONTAINER:
        raise Invalid(f"The container {new.container!r} of {ACCOUNT!r} has the files of runs, which is no datastore's.")
