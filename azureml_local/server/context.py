"""Shared dependencies of all routes, and the checks before them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends, Request

from azureml_local.cluster.cluster import Cluster
from azureml_local.cluster.orchestration.pipelines import Pipelines
from azureml_local.cluster.orchestration.sweeps import Sweeps
from azureml_local.endpoints import Endpoints
from azureml_local.names import WorkspaceName
from azureml_local.opendata.mirror import MnistSource
from azureml_local.server.access.auth import BlobUrls, Caller, Tokens, derived_key
from azureml_local.server.access.signin import Sessions, SignInLinks
from azureml_local.server.errors import Unauthorized
from azureml_local.server.http.streams import Streams
from azureml_local.serving.deployments import Deployments
from azureml_local.storage.folder import Secrets
from azureml_local.workspace import Workspace

# The path of a workspace, after the name of each service.
WORKSPACE_PATH = (
    "/subscriptions/{subscription_id}/resourceGroups/{resource_group}"
    "/providers/Microsoft.MachineLearningServices/workspaces/{workspace_name}"
)


@dataclass(frozen=True)
class Context:
    """One running server."""

    workspace: Workspace
    cluster: Cluster
    sweeps: Sweeps
    pipelines: Pipelines
    deployments: Deployments
    endpoints: Endpoints
    tokens: Tokens
    urls: BlobUrls
    secrets: Secrets
    mnist: Callable[[], MnistSource]
    sign_in_links: SignInLinks = field(default_factory=SignInLinks)
    streams: Streams = field(default_factory=Streams)

    @property
    def sessions(self) -> Sessions:
        return Sessions(derived_key(self.secrets, "studio"))

    @property
    def discovery_key(self) -> str:
        return derived_key(self.secrets, "discovery")

    @property
    def mirror_key(self) -> str:
        return derived_key(self.secrets, "mirrors")

    @property
    def mirror_base(self) -> str:
        """Below this address are the files of folders that stand for addresses of the web."""
        return f"{self.endpoints.api}/opendata/mirror/{self.mirror_key}"

    def portal_url(self, run_id: str) -> str:
        return f"{self.studio}/runs/{run_id}"

    def scoring_uri(self, service: str) -> str:
        """Where a deployed model is asked. Plain http: callers use ``requests`` without our certificates, and it is
        loopback only. SDK v1 finds the swagger document beside the last part.
        """
        return f"{self.endpoints.plain}/api/v1/service/{service}/score"

    @property
    def studio(self) -> str:
        """The address that links of runs begin with; the key in it lets a browser look, and do nothing else (see
        `signin`).
        """
        return f"{self.endpoints.plain}/studio/{self.secrets.view_key}"


def storage_suffix(ctx: Context) -> str:
    """What clients put behind ``https://{account}.blob.`` for the address of a blob: the dots stand in the user part
    of the URL, which no HTTP client sends, and the host is ours.
    """
    return f"core.local@{ctx.endpoints.api.removeprefix('https://')}"


def context(request: Request) -> Context:
    found: Context = request.app.state.context
    return found


# What routes depend on only looks into memory, and is async: a dependency that isn't costs each request the way to a
# thread and back.


async def _context(request: Request) -> Context:
    return context(request)


Ctx = Annotated[Context, Depends(_context)]


async def authenticated(request: Request) -> Caller:
    """Who asks. Raises Unauthorized for a route that the gate lets through without a token."""
    caller = getattr(request.state, "caller", None)
    if not isinstance(caller, Caller):
        raise Unauthorized("This needs a bearer token of this server.")
    return caller


Asker = Annotated[Caller, Depends(authenticated)]


async def addressed(
    ctx: Ctx, asker: Asker, subscription_id: str, resource_group: str, workspace_name: str
) -> WorkspaceName:
    """The workspace that the path names, for whoever has a token. Raises Unauthorized, NotFound."""
    return ctx.workspace.identity.find(subscription_id, resource_group, workspace_name)


Named = Annotated[WorkspaceName, Depends(addressed)]
