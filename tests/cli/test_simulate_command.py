"""``azureml-local simulate``, against the session's server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from azureml_local.cli.app import app
from azureml_local.client.instance import LocalServer, ServerError
from azureml_local.runtime.faults import FaultKind


@pytest.fixture
def command(server: LocalServer) -> Iterator[Callable[..., str]]:
    def run(*words: str) -> str:
        result = CliRunner().invoke(app, [*words, "--state", str(server.folder.root)], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.output

    yield run
    server.clear_simulations()


def test_fault_is_started_listed_shown_in_the_status_and_cleared(
    command: Callable[..., str], server: LocalServer
) -> None:
    assert "Nothing is simulated." in command("simulate", "list")
    assert "for lack of quota" in command("simulate", "quota-exceeded", "--compute", "cpu", "--times", "3")
    command("simulate", "queue-stuck")
    command("simulate", "throttled", "--requests", "PUT */computes/*")
    assert [line.split()[1:] for line in command("simulate", "list").splitlines()] == [
        ["quota-exceeded", "cpu", "0", "of", "3"],
        ["queue-stuck", "any", "until", "cleared"],
        ["throttled", "PUT", "*/computes/*", "0", "of", "1"],
    ]
    assert "Simulated queue-stuck, for any" in command("status")
    assert "Cleared: 1." in command("simulate", "clear", "queue-stuck")
    assert "queue-stuck" not in command("status")
    assert "Cleared: 2." in command("simulate", "clear")
    assert server.simulations() == []


def test_each_fault_kind_is_a_command_with_a_description(command: Callable[..., str]) -> None:
    shown = " ".join(CliRunner().invoke(app, ["simulate", "--help"], terminal_width=500).output.split())
    for kind in FaultKind:
        assert kind.value in shown
        assert kind.words.split(",")[0].split(".")[0] in shown
        assert kind.words in command("simulate", kind.value)


def test_docs_name_each_fault_kind() -> None:
    page = (Path(__file__).parents[2] / "docs" / "simulate.md").read_text()
    assert [kind.value for kind in FaultKind if f"`{kind.value}`" not in page] == []


def test_simulate_without_a_server_is_a_one_line_error(tmp_path: Path) -> None:
    with pytest.raises(ServerError, match="azureml-local up"):
        CliRunner().invoke(app, ["simulate", "list", "--state", str(tmp_path)], catch_exceptions=False)
