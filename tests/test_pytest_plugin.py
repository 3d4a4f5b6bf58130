"""The pytest plugin, as its users meet it: in a session of their own."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.slow

SIGN_IN = """
    def test_from_config():
        from azureml.core import Workspace
        assert Workspace.from_config().location == "local"
"""


def test_a_session_with_the_option_has_a_workspace_and_leaves_nothing(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(SIGN_IN)
    result = pytester.runpytest_subprocess("--azureml-local", "-p", "no:cacheprovider")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["azureml-local: https://localhost:*MNIST is *"])
    assert not (pytester.path / "config.json").exists()


def test_a_config_that_was_there_stays(pytester: pytest.Pytester) -> None:
    body = '{"subscription_id": "s", "resource_group": "g", "workspace_name": "mine"}'
    (pytester.path / "config.json").write_text(body)
    pytester.makepyfile(SIGN_IN.replace('.location == "local"', '.name == "mine"'))
    pytester.runpytest_subprocess("--azureml-local", "-p", "no:cacheprovider").assert_outcomes(passed=1)
    assert (pytester.path / "config.json").read_text() == body


def test_a_test_that_asks_for_the_fixture_gets_a_server(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("""
        def test_status(azureml_local_server):
            assert azureml_local_server.status()["unfinished"] == []
            with azureml_local_server.simulate("quota-exceeded") as quota:
                assert quota.happened == 0
            assert azureml_local_server.simulations() == []
    """)
    pytester.runpytest_subprocess("-p", "no:cacheprovider").assert_outcomes(passed=1)


def test_without_either_nothing_is_started(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AZUREML_LOCAL_MIRROR", raising=False)  # of the workspace that this very session may have
    pytester.makepyfile("""
        import os
        def test_nothing():
            assert "AZUREML_LOCAL_MIRROR" not in os.environ
    """)
    pytester.runpytest_subprocess("-p", "no:cacheprovider").assert_outcomes(passed=1)
