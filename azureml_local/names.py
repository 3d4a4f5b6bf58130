"""Names and resource ids of a workspace. Imports little: the command line needs it before it needs a database."""

from __future__ import annotations

import re
from dataclasses import dataclass

# Of the scope in a config.json, Workspace.from_config reads these three parts and no others.
ARM_ID = re.compile(r"/[^/]*/([^/]+)/[^/]*/([^/]+)/[^/]*/[^/]*/[^/]*/([^/]+)(?:/.*)?", re.DOTALL)


@dataclass(frozen=True)
class WorkspaceName:
    """Subscription, resource group and name of a workspace: the three values of a ``config.json``."""

    subscription_id: str
    resource_group: str
    name: str

    @property
    def arm_id(self) -> str:
        return (
            f"/subscriptions/{self.subscription_id}/resourceGroups/{self.resource_group}"
            f"/providers/Microsoft.MachineLearningServices/workspaces/{self.name}"
        )

    @classmethod
    def of_arm_id(cls, arm_id: str) -> WorkspaceName:
        """The name in ``/subscriptions/S/resourceGroups/G/providers/P/workspaces/W``. Raises ValueError."""
        found = ARM_ID.fullmatch(arm_id)
        if found is None:
            raise ValueError(f"{arm_id[:200]!r} is no resource id of a workspace")
        return cls(*found.groups())

    def key(self) -> tuple[str, str, str]:
        """Case-folded form, equal for all spellings of one workspace."""
        return self.subscription_id.lower(), self.resource_group.lower(), self.name.lower()


# Resource of the client token in MLflow's own variable (MLFLOW_TRACKING_TOKEN).
MLFLOW_RESOURCE = "azureml-local:mlflow"

DEFAULT_NAME = WorkspaceName("00000000-0000-0000-0000-000000000000", "local", "azureml-local")
