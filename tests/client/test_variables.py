"""The variables of a client as text, read by the programs that they are written for."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from uv import find_uv_bin

from azureml_local.client.instance import LocalServer
from azureml_local.client.variables import Format, UnwritableVariable, written
from azureml_local.storage.folder import StateFolder

SHOW = [sys.executable, "-c", "import json, os; print(json.dumps(dict(os.environ)))"]
READERS = {
    "dotenv-uv": [find_uv_bin(), "run", "--no-project", "--no-config", "--env-file", "variables", "--", *SHOW],
    "dotenv-shell": ["sh", "-c", 'set -a; . ./variables; exec "$@"', "sh", *SHOW],
    "shell": ["sh", "-c", 'eval "$(cat variables)"; exec "$@"', "sh", *SHOW],
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalServer]:
    """One whose folder has a name that careless quoting breaks."""
    folder = StateFolder(tmp_path_factory.mktemp("state") / 'with a "space" # & $HOME')
    started = LocalServer.start(folder, "--port", "0")
    yield started
    started.stop()


@pytest.mark.parametrize("reader", READERS)
def test_variables_of_each_format_are_read_back_by_its_readers(
    server: LocalServer, tmp_path: Path, reader: str
) -> None:
    expected = server.variables()
    form = ["--format", reader.split("-")[0]]
    command = [sys.executable, "-m", "azureml_local", "env", "--state", str(server.folder.root), *form]
    (tmp_path / "variables").write_text(subprocess.check_output(command, cwd=tmp_path, text=True))
    # Of a variable that is there already, these readers keep the value.
    clean = {name: value for name, value in os.environ.items() if name not in expected}
    read = subprocess.run(READERS[reader], cwd=tmp_path, capture_output=True, text=True, check=True, env=clean)
    found = {name: value for name, value in json.loads(read.stdout).items() if name in expected}
    # A token is made anew each time.
    assert found.pop("MLFLOW_TRACKING_TOKEN").count(".") == expected.pop("MLFLOW_TRACKING_TOKEN").count(".") == 2
    assert found == expected


@pytest.mark.parametrize("value", ["it's", "a\\b c", "two\nlines", "${HOME} x"])
def test_variable_that_readers_of_dotenv_parse_differently_is_refused(value: str) -> None:
    with pytest.raises(UnwritableVariable, match="PYTHONPATH can't stand"):
        written({"PYTHONPATH": value}, Format.DOTENV)
    shell = written({"PYTHONPATH": value}, Format.SHELL)
    assert subprocess.check_output(["sh", "-c", shell + '; printf %s "$PYTHONPATH"'], text=True) == value


def test_variable_that_cannot_be_written_is_a_one_line_error_of_env(tmp_path: Path) -> None:
    folder = StateFolder(tmp_path / "it's here")
    started = LocalServer.start(folder, "--port", "0")
    try:
        command = [sys.executable, "-m", "azureml_local", "env", "--format", "dotenv", "--state", str(folder.root)]
        said = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    finally:
        started.stop()
    assert said.returncode == 1
    assert "can't stand in a .env file" in said.stderr
    assert said.stdout == ""
