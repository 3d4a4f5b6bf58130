"""The server's applications inside the test's own process: quick, and a fault shows as the exception that it is."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, Phase, settings

from azureml_local.endpoints import Endpoints
from azureml_local.names import DEFAULT_NAME
from azureml_local.server import serve
from azureml_local.server.access.certificates import Certificates
from azureml_local.server.access.guard import Guard
from azureml_local.server.app import api_app, plain_app
from azureml_local.server.context import Context
from azureml_local.storage.folder import StateFolder, cache_folder
from azureml_local.workspace import Workspace

# How many times as many examples as usual the tests take that make requests and texts up (`make fuzz`).
TIMES = int(os.environ.get("FUZZ_TIMES", "1"))
API, PLAIN = "https://localhost:8843", "http://localhost:8844"


def examples(count: int) -> Callable[[Any], Any]:
    """For a hypothesis test: so many examples, the same ones each time; many more, and new ones, when fuzzing."""
    return settings(
        max_examples=count * TIMES,
        derandomize=TIMES == 1,
        database=None,
        deadline=None,
        # Without shrinking: an example is short enough to be read, and the time is for others.
        phases=(Phase.explicit, Phase.generate),
        suppress_health_check=list(HealthCheck),
    )


class Client:
    """A client of one application."""

    def __init__(self, loop: asyncio.AbstractEventLoop, app: Any, base: str, headers: dict[str, str]) -> None:
        self._loop = loop
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        self._client = httpx.AsyncClient(transport=transport, base_url=base, headers=headers)

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        return self._loop.run_until_complete(self._client.request(method, path, **options))


@dataclass(frozen=True)
class Inside:
    """Both applications behind their guards, with clients that get a 500 for a fault, as a client of a server does.

    ``anonymous`` and ``client`` ask the API, without and with a token; ``plain`` asks the other one. No job is ever
    started: nobody starts the cluster.
    """

    context: Context
    anonymous: Client
    client: Client
    plain: Client


@pytest.fixture(scope="module")
def inside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Inside]:
    folder = StateFolder(tmp_path_factory.mktemp("inside") / "a" / "b" / "c" / "state")
    folder.create()
    workspace = Workspace(folder)
    workspace.identity.answer_to(DEFAULT_NAME)
    settings = serve.Settings(state=folder.root, cache=cache_folder(), host_environment=True)
    trust = Certificates(folder.tls, None).ensure()
    context = serve._context(workspace, folder, Endpoints.at(8843, 8844), trust, settings)
    api, plain = Guard(api_app(context), 8843), Guard(plain_app(context), 8844, pages=("/studio/",))
    token = context.tokens.sign_in(context.secrets.sign_in, API).text

    loop = asyncio.new_event_loop()
    yield Inside(
        context=context,
        anonymous=Client(loop, api, API, {}),
        client=Client(loop, api, API, {"Authorization": f"Bearer {token}"}),
        plain=Client(loop, plain, PLAIN, {}),
    )
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()
    workspace.close()
