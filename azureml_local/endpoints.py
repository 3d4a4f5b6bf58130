"""Where a server listens, and what it says of itself in its state folder (``server.json``)."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from azureml_local.names import WorkspaceName
from azureml_local.trust import Trust

LOCALHOST = "localhost"
# A job's sign-in asks for the cloud by this name, whatever AZUREML_CURRENT_CLOUD says.
CLOUD_NAME = "AzureCloud"
# Clients ask for it by this one: azure-ai-ml and azureml-mlflow have "AzureCloud" built in, and would go to Azure.
CLIENT_CLOUD_NAME = "LocalCloud"


@dataclass(frozen=True)
class Endpoints:
    """Where a server listens. ``api`` is https (Azure's clients send tokens nowhere else); ``plain`` is http
    on loopback, whatever the host, for sign-in and for the pages that a person opens in a browser, which does not
    know our certificate.
    """

    api: str
    plain: str

    @classmethod
    def at(cls, api_port: int, plain_port: int, host: str = LOCALHOST) -> Endpoints:
        return cls(api=f"https://{host}:{api_port}", plain=f"http://localhost:{plain_port}")


def mlflow_tracking_uri(endpoints: Endpoints, workspace: WorkspaceName) -> str:
    """A workspace's tracking URI, as azureml-mlflow reads it."""
    return f"azureml://{endpoints.api.removeprefix('https://')}/mlflow/v1.0{workspace.arm_id}"


@dataclass(frozen=True)
class Instance:
    """``identity`` tells the server's process from another one that has its number later (`processes.identity_of`)."""

    pid: int
    api_port: int
    plain_port: int
    bundle: str
    certificates: str
    host: str = LOCALHOST
    identity: str = ""
    # The ports that it would have taken, those of last time or the usual ones, which another program has.
    taken: list[int] = field(default_factory=list)
    # Whether it has been told to stop: its jobs are being ended.
    ending: bool = False

    @property
    def endpoints(self) -> Endpoints:
        return Endpoints.at(self.api_port, self.plain_port, self.host)

    @property
    def trust(self) -> Trust:
        return Trust(bundle=Path(self.bundle), folder=Path(self.certificates))
