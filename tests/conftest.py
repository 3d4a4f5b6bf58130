"""What the tests of the server share: one local workspace, seen through the real SDK."""

from __future__ import annotations

import os
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from azureml_local.client.instance import LocalServer
from azureml_local.names import DEFAULT_NAME
from azureml_local.pytest_plugin import EphemeralWorkspace


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long tests first, a module's on one worker: none of them is to begin when all others are over.

    pytest-xdist's worksteal gives each worker an equal piece of the list, and its rest to those that are through.
    """
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    long: dict[str, list[pytest.Item]] = {}
    for item in items:
        if item.get_closest_marker("slow"):
            long.setdefault(item.nodeid.partition("::")[0], []).append(item)
    short = [item for item in items if not item.get_closest_marker("slow")]
    size = -(-len(items) // workers)
    items.clear()
    for worker in range(workers):
        mine = [item for module in list(long.values())[worker::workers] for item in module]
        items += mine + short[: size - len(mine)]
        del short[: max(0, size - len(mine))]
    items += short


@pytest.fixture(scope="session")
def server(request: pytest.FixtureRequest) -> Iterator[LocalServer]:
    """One whose jobs run on its own machine; or on the workers of a scheduler (machines/test_same_tests.py)."""
    scheduler = os.environ.get("AZUREML_LOCAL_TEST_SCHEDULER")
    if scheduler is None:
        yield request.getfixturevalue("azureml_local_server")
        return
    made = EphemeralWorkspace(request.config.rootpath, "--scheduler", scheduler)
    yield made.server
    made.close()


@pytest.fixture(scope="session")
def workspace(server: LocalServer) -> Any:
    """azureml.core's Workspace, signed in as any client is."""
    from azureml.core import Workspace

    server.answer_to(DEFAULT_NAME)
    return Workspace(DEFAULT_NAME.subscription_id, DEFAULT_NAME.resource_group, DEFAULT_NAME.name)


@pytest.fixture(scope="session")
def compute(workspace: Any) -> Any:
    from azureml.core.compute import AmlCompute, ComputeTarget

    configuration = AmlCompute.provisioning_configuration(vm_size="STANDARD_D2_V2", min_nodes=0, max_nodes=2)
    return ComputeTarget.create(workspace, "tests", configuration)


@pytest.fixture(scope="session")
def here(workspace: Any) -> Any:
    """An environment whose packages are those of the server's own interpreter: nothing to build."""
    from azureml.core import Environment

    environment = Environment("here")
    environment.python.user_managed_dependencies = True
    return environment


@pytest.fixture
def experiment(workspace: Any, request: pytest.FixtureRequest) -> Any:
    from azureml.core import Experiment

    return Experiment(workspace, request.node.name.split("[")[0][:60].replace(".", "-"))


@pytest.fixture
def submit(experiment: Any, compute: Any, here: Any, tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Submit a script's text as a run; whatever still runs at the end is cancelled."""
    from azureml.core import ScriptRunConfig

    runs = []

    def submit_script(text: str, arguments: list[Any] | None = None, **options: Any) -> Any:
        folder = tmp_path / "source"
        folder.mkdir(exist_ok=True)
        (folder / "script.py").write_text(textwrap.dedent(text))
        configuration = ScriptRunConfig(
            str(folder),
            script="script.py",
            arguments=arguments,
            compute_target=options.pop("compute_target", compute),
            environment=here,
            **options,
        )
        runs.append(experiment.submit(configuration))
        return runs[-1]

    yield submit_script
    for run in runs:
        if run.get_status() not in ("Completed", "Failed", "Canceled"):
            run.cancel()


@pytest.fixture
def wait_for() -> Callable[..., Any]:
    """Ask until the answer is true; fail with the last one after a while."""

    def wait(question: Callable[[], Any], seconds: float = 30.0) -> Any:
        deadline = time.monotonic() + seconds
        while not (answer := question()):
            assert time.monotonic() < deadline, f"still {answer!r} after {seconds:g} s"
            time.sleep(0.1)
        return answer

    return wait
