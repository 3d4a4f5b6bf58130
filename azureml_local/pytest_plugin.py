"""Pytest plugin: a local workspace for tests.

``pytest --azureml-local`` gives the whole session one, the kernels that nbval starts included; the fixture
``azureml_local_server`` gives it to a test. It is new and removed afterwards; job environments and MNIST, which are
slow to make, come from the user's cache.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from azureml_local.client import config
from azureml_local.client.instance import LocalServer
from azureml_local.client.lifetime import server_for_a_while


class EphemeralWorkspace:
    """A server on a temporary state folder, and this process's environment pointed at it."""

    def __init__(self, root: Path, *options: str) -> None:
        self._ends = contextlib.ExitStack()
        self.server = self._ends.enter_context(server_for_a_while(None, *options))
        self._written = None if config.find(root) else config.write_default(root)
        self.server.answer_to(*config.names(root))
        # The SDK finds everything through the environment, and so do processes that are started from here,
        # kernels for example.
        self._before = dict(os.environ)
        os.environ.update(self.server.variables(workspace=config.name_for(root)))

    def close(self) -> None:
        os.environ.clear()
        os.environ.update(self._before)
        self._ends.close()
        if self._written is not None and config.is_default(self._written):
            self._written.unlink(missing_ok=True)


WORKSPACE = pytest.StashKey[EphemeralWorkspace]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("azureml-local")
    group.addoption("--azureml-local", action="store_true", help="run everything with a fresh local Azure ML workspace")
    group.addoption(
        "--azureml-local-environments",
        choices=("build", "host"),
        default="build",
        help="job environments: build a virtual environment for each, or use the host interpreter's packages",
    )


def pytest_sessionstart(session: pytest.Session) -> None:
    # Not in xdist's workers: they inherit the environment of the process that started them.
    if session.config.getoption("--azureml-local") and not hasattr(session.config, "workerinput"):
        options = ("--environments", session.config.getoption("--azureml-local-environments"))
        workspace = EphemeralWorkspace(session.config.rootpath, *options)
        session.config.stash[WORKSPACE] = workspace
        session.config.add_cleanup(workspace.close)


def pytest_report_header(config: pytest.Config) -> str | None:
    workspace = config.stash.get(WORKSPACE, None)
    if workspace is None:
        return None
    return (
        f"azureml-local: {workspace.server.instance.endpoints.api}; MNIST is "
        f"{workspace.server.status()['mnist']['description']}"
    )


@pytest.fixture(scope="session")
def azureml_local_server(request: pytest.FixtureRequest) -> Iterator[LocalServer]:
    """A running local workspace: the session's own where there is one, else one for the tests that ask for
    it.
    """
    existing = request.config.stash.get(WORKSPACE, None)
    if existing is not None:
        yield existing.server
        return
    workspace = EphemeralWorkspace(
        request.config.rootpath, "--environments", request.config.getoption("--azureml-local-environments")
    )
    try:
        yield workspace.server
    finally:
        workspace.close()
