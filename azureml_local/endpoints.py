"""Addresses of a server, and the ``server.json`` that it writes to its state folder."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from azureml_local.names import WorkspaceName
from azureml_local.trust import Trust

LOCALHOST = "localhost"
# A job's sign-in requests the cloud by this name, regardless of AZUREML_CURRENT_CLOUD.
CLOUD_NAME = "AzureCloud"
# Clients request it by this one: azure-ai-ml and azureml-mlflow have "AzureCloud" built in, and would connect to Azure.
CLIENT_CLOUD_NAME = "LocalCloud"


@dataclass(frozen=True)
class Endpoints:
    """Base URLs of a server. ``api`` is https (Azure's clients send tokens over nothing else); ``plain`` is http on
    loopback, whatever the host, for sign-in and for the pages that a person opens in a browser, which does not trust
    our certificate.
    """

    api: str
    plain: str

    @classmethod
    def at(cls, api_port: int, plain_port: int, host: str = LOCALHOST) -> Endpoints:
        return cls(api=f"https://{host}:{api_port}", plain=f"http://localhost:{plain_port}")


def metadata_url(endpoints: Endpoints, key: str) -> str:
    """Where a client reads which addresses its cloud has. ``key``: `storage.folder.Secrets.sign_in_key`."""
    return f"{endpoints.api}/metadata/{key}/endpoints"


def authority(endpoints: Endpoints, key: str) -> str:
    """Where a client signs in as a service principal.

    MSAL asks Microsoft about every authority that it doesn't know, unless its path begins with "adfs".
    """
    return f"{endpoints.api}/adfs/{key}"


def mlflow_tracking_uri(endpoints: Endpoints, workspace: WorkspaceName) -> str:
    """A workspace's tracking URI, as azureml-mlflow reads it."""
    return f"azureml://{endpoints.api.removeprefix('https://')}/mlflow/v1.0{workspace.arm_id}"


@dataclass(frozen=True)
class Instance:
    """A running server. ``identity`` distinguishes its process from a later one with the same PID
    (`processes.identity_of`).
    """

    pid: int
    api_port: int
    plain_port: int
    bundle: str
    certificates: str
    host: str = LOCALHOST
    identity: str = ""
    # The preferred ports (last time's, or the defaults) that another program occupies.
    taken: list[int] = field(default_factory=list)
    # Whether it is shutting down: its jobs are being ended.
    ending: bool = False

    @property
    def endpoints(self) -> Endpoints:
        return Endpoints.at(self.api_port, self.plain_port, self.host)

    @property
    def trust(self) -> Trust:
        return Trust(bundle=Path(self.bundle), folder=Path(self.certificates))
