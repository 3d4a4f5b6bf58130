"""Identity of the workspace: its id, and the names by which clients know it."""

from __future__ import annotations

import re
import uuid

from sqlalchemy import exists, select

from azureml_local.names import DEFAULT_NAME, WorkspaceName
from azureml_local.storage import tables
from azureml_local.storage.clock import now
from azureml_local.storage.database import Database
from azureml_local.storage.tables import Run
from azureml_local.workspace.errors import Conflict, Invalid, NotFound

LOCATION = "local"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{1,32}")  # a workspace's, as the SDK checks it

# A workspace with a row in any of these isn't new any more.
CONTENT = (
    tables.Experiment,
    tables.Dataset,
    tables.SavedDataset,
    tables.AssetName,
    tables.Compute,
    tables.Secret,
    tables.Blob,
)


class Identity:
    """The workspace id is new with every store (the SDK caches snapshots under it), and stays with the store.

    One workspace may be known by several names: those of each ``config.json`` from whose folder it was
    started or used.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        if database.setting("workspace_id") is None:
            database.set_setting("workspace_id", str(uuid.uuid4()))
            database.set_setting("created", now())
            database.set_setting("names", [])
        self.workspace_id: str = database.setting("workspace_id")
        self.created: str = database.setting("created")
        self.tenant_id = str(uuid.uuid5(uuid.UUID(self.workspace_id), "tenant"))
        self.principal_id = str(uuid.uuid5(uuid.UUID(self.workspace_id), "principal"))
        self.names = [WorkspaceName(*words) for words in database.setting("names")]

    def answer_to(self, name: WorkspaceName) -> None:
        """Add a name of the workspace."""
        if not any(known.key() == name.key() for known in self.names):
            self.names.append(name)
            self._database.set_setting("names", [[n.subscription_id, n.resource_group, n.name] for n in self.names])

    def create(self, name: WorkspaceName) -> None:
        """``Workspace.create``: a store is one workspace, so this names it, as long as it is new.

        Raises Invalid for what is no name, and Conflict once something is in the workspace: a new one would be empty.
        """
        if not NAME.fullmatch(name.name):
            raise Invalid(f"{name.name[:80]!r} is no workspace name: 2 to 33 letters, digits, '-' and '_'.")
        self.check_can_create()
        self.answer_to(name)

    def check_can_create(self) -> None:
        """Raises Conflict unless the store is still empty."""
        with self._database.read() as session:
            used = any(session.scalar(select(exists().select_from(table))) for table in CONTENT)
        if used:
            raise Conflict(
                f"This server is one workspace, and there are things in it already: a new one would be empty. Use "
                f"{self._listed()}; or give the new workspace a server and a state folder of its own "
                "(azureml-local up --state FOLDER)."
            )

    def _listed(self) -> str:
        names = [f"{n.name} in {n.resource_group}, subscription {n.subscription_id}" for n in self.names]
        return "; ".join(names) or "nothing yet"

    @property
    def first(self) -> WorkspaceName:
        """The one under which the store keeps what has a name of the workspace in it. It stays what it is."""
        return self.names[0]

    @property
    def shown(self) -> str:
        """For people: the names that users have given it, or else its own."""
        return ", ".join(dict.fromkeys(n.name for n in self.names if n != DEFAULT_NAME)) or DEFAULT_NAME.name

    def of_run(self, run: Run) -> WorkspaceName:
        """The name that the run was submitted under; the first one, for a run that was made without."""
        return WorkspaceName.of_arm_id(run.workspace) if run.workspace else self.first

    def find(self, subscription_id: str, resource_group: str, name: str) -> WorkspaceName:
        """Azure compares these names without regard to case.

        Raises NotFound with the names that are known.
        """
        asked = WorkspaceName(subscription_id, resource_group, name)
        for known in self.names:
            if known.key() == asked.key():
                return known
        raise NotFound(
            f"This local server is not the workspace {name!r} in resource group {resource_group!r}, "
            "subscription "
            f"{subscription_id!r}. It is: {self._listed()}. Start it where your config.json lies "
            "(azureml-local up)."
        )
