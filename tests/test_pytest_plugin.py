"""The pytest plugin, as its users meet it: in a session of their own.

A process of its own too, and not pytest's `pytester`: that one puts ``sys.modules`` back when it is done, under the
feet of the SDK's threads in this process.
"""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

SIGN_IN = """
    def test_from_config():
        from azureml.core import Workspace
        assert Workspace.from_config().location == "local"
"""


def passes(folder: Path, test: str, *options: str) -> str:
    """What pytest writes of the one test in a folder."""
    (folder / "test_it.py").write_text(textwrap.dedent(test))
    ours = {name for name in os.environ if name.startswith(("AZUREML_LOCAL_MIRROR", "PYTEST"))}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-pno:cacheprovider", "-pno:schemathesis", "--rootdir", str(folder), *options],
        cwd=folder,
        env={name: value for name, value in os.environ.items() if name not in ours},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout
    return done.stdout


def test_a_session_with_the_option_has_a_workspace_and_leaves_nothing(tmp_path: Path) -> None:
    lines = passes(tmp_path, SIGN_IN, "--azureml-local").splitlines()
    assert [line for line in lines if line.startswith("azureml-local: https://localhost:") and "MNIST is " in line]
    assert not (tmp_path / "config.json").exists()


def test_a_config_that_was_there_stays(tmp_path: Path) -> None:
    body = '{"subscription_id": "s", "resource_group": "g", "workspace_name": "mine"}'
    (tmp_path / "config.json").write_text(body)
    passes(tmp_path, SIGN_IN.replace('.location == "local"', '.name == "mine"'), "--azureml-local")
    assert (tmp_path / "config.json").read_text() == body


def test_a_test_that_asks_for_the_fixture_gets_a_server(tmp_path: Path) -> None:
    passes(
        tmp_path,
        """
        def test_status(azureml_local_server):
            assert azureml_local_server.status()["unfinished"] == []
            with azureml_local_server.simulate("quota-exceeded") as quota:
                assert quota.happened == 0
            assert azureml_local_server.simulations() == []
        """,
    )


def test_without_either_nothing_is_started(tmp_path: Path) -> None:
    passes(
        tmp_path,
        """
        import os
        def test_nothing():
            assert "AZUREML_LOCAL_MIRROR" not in os.environ
        """,
    )
