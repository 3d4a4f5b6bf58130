"""What the commands print of names that users and jobs choose: text, not markup and not a terminal's orders."""

from __future__ import annotations

import io
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from azureml_local.cli.terminal import Terminal, shown, visible
from azureml_local.client.instance import LocalServer
from azureml_local.storage.folder import StateFolder
from azureml_local.workspace import Workspace

pytestmark = pytest.mark.case("terminal")

ODD = ("a[/b].txt", "[red]b", "\x1b]0;owned\x07\x1b[31mred.txt", "x\nEverything works.", "‮txt.exe", ":smile:")


def command(*words: object, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "azureml_local", *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={**os.environ, "COLUMNS": "400", **variables},
    )


@pytest.mark.parametrize("name", ODD)
def test_doctor_shows_the_name_of_a_lost_blob_as_text(tmp_path: Path, name: str) -> None:
    folder = StateFolder(tmp_path / "state[/x]")
    folder.create()
    folder.secrets()
    workspace = Workspace(folder)
    workspace.blobs.put_bytes("azureml", "ExperimentRun/dcid.x/placeholder", b"x")
    workspace.close()
    # As an older version would have taken it.
    with sqlite3.connect(folder.database) as database:
        database.execute("UPDATE blobs SET name = ?", (f"ExperimentRun/dcid.x/{name}",))
    database.close()
    for file in folder.blobs.glob("*/*"):
        file.unlink()
    done = command("doctor", "--state", folder.root)
    assert done.returncode == 1, done.stderr
    assert done.stderr == ""
    assert shown(name) in done.stdout
    assert not [character for character in done.stdout if character != "\n" and not character.isprintable()]
    assert "\nEverything works." not in done.stdout


@pytest.mark.parametrize("words", ["status", "down", "logs", "reset --yes", "open", "env", "simulate list"])
def test_folder_with_brackets_is_shown_as_text(tmp_path: Path, words: str) -> None:
    folder = tmp_path / "[red][" / "b][/b]\x1b[31m"
    done = command(*words.split(), "--state", folder)
    assert "Traceback" not in done.stderr
    assert "\x1b" not in done.stdout + done.stderr
    if "[" in done.stdout + done.stderr:
        assert shown(folder) in done.stdout + done.stderr


def test_status_shows_what_is_simulated_as_text(server: LocalServer) -> None:
    simulated = server.simulate("throttled", requests="GET *[/x]*\x1b[31m")
    try:
        for words in (["status"], ["simulate", "list"]):
            done = command(*words, "--state", server.folder.root)
            assert (done.returncode, done.stderr) == (0, "")
            assert "GET *[/x]*\\x1b[31m" in done.stdout
    finally:
        simulated.clear()


def test_error_with_markup_and_escapes_is_one_line(server: LocalServer) -> None:
    done = command("open", "no[/such]\x1b[31m\nrun", "--state", server.folder.root, "--no-browser")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "\x1b" not in done.stderr


@pytest.mark.parametrize("text", ODD)
def test_terminal_shows_text_as_it_is(text: str) -> None:
    printed = io.StringIO()
    Terminal(width=200, file=printed).print(text)
    assert printed.getvalue() == f"{visible(text)}\n"
