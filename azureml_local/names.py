"""What a workspace is called. Known to every part, and light: the command line needs it before it needs a database."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class WorkspaceName:
    """The three words of a ``config.json``."""

    subscription_id: str
    resource_group: str
    name: str

    @property
    def arm_id(self) -> str:
        return (
            f"/subscriptions/{self.subscription_id}/resourceGroups/{self.resource_group}"
            f"/providers/Microsoft.MachineLearningServices/workspaces/{self.name}"
        )

    def key(self) -> tuple[str, str, str]:
        """What two spellings of one workspace have in common."""
        return self.subscription_id.lower(), self.resource_group.lower(), self.name.lower()


DEFAULT_NAME = WorkspaceName("00000000-0000-0000-0000-000000000000", "local", "azureml-local")
