"""Dockerfile, dev container and Binder's files, as near to where they are used as this machine comes."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
import yaml

from azureml_local.client.instance import LocalServer
from azureml_local.storage.folder import StateFolder
from tests.docs.blocks import ROOT, Folder, blocks


def test_what_the_dockerfile_copies_and_runs_is_there() -> None:
    text = re.sub(r"\\\n\s*", "", (ROOT / "Dockerfile").read_text())
    lines = [line.split(maxsplit=1) for line in text.splitlines() if line and not line.startswith("#")]
    order = [word for word, _ in lines]
    assert order.index("USER") < order.index("COPY"), "nothing of ours runs as root"
    copied = [shlex.split(rest)[1:-1] for word, rest in lines if word == "COPY"]
    assert [path for paths in copied for path in paths if not (ROOT / path).exists()] == []
    # What set-up reads is copied before it runs.
    before = {path for paths in copied[:-1] for path in paths}
    assert {"pyproject.toml", "requirements.txt", "scripts/setup", "azureml_local", "README.md"} <= before
    (entry,) = [json.loads(rest) for word, rest in lines if word == "ENTRYPOINT"]
    (command,) = [json.loads(rest) for word, rest in lines if word == "CMD"]
    assert entry == ["azureml-local", "run", "--"]
    assert command == ["azureml-local", "tutorial"]


def test_the_dev_container_calls_what_there_is() -> None:
    found = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text())
    make, *targets = found["postCreateCommand"].split()
    known = re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert make == "make"
    assert set(targets) <= set(known)
    assert found["remoteUser"] != "root"


@pytest.mark.slow
def test_binders_notebooks_open_on_a_local_workspace(tmp_path: Path) -> None:
    """postBuild and start, with the .venv of these tests in the place of a new one."""
    shutil.copytree(ROOT / ".binder", tmp_path / ".binder")
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts" / "setup").write_text("#!/bin/sh\n")
    (tmp_path / "scripts" / "setup").chmod(0o755)
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    for program in ("azureml-local", "jupyter"):
        (tmp_path / ".venv" / "bin" / program).symlink_to(Path(sys.executable).parent / program)
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    cell = nbformat.v4.new_code_cell(
        "from azureml.core import Workspace\nassert Workspace.from_config().location == 'local'"
    )
    nbformat.write(nbformat.v4.new_notebook(cells=[cell], metadata=kernel), tmp_path / "a.ipynb")
    binder = Folder(tmp_path, tmp_path / ".azureml-local").environment
    try:
        for command in ([".binder/postBuild"], [".binder/start", ".venv/bin/jupyter", "execute", "a.ipynb"]):
            done = subprocess.run(command, cwd=tmp_path, env=binder, capture_output=True, text=True, timeout=300)
            assert done.returncode == 0, done.stdout + done.stderr
    finally:
        server = LocalServer.find(StateFolder(tmp_path / ".azureml-local"))
        if server is not None:
            server.stop()
    assert server is not None, "the kernel started none"
    assert os.access(ROOT / ".binder" / "start", os.X_OK)


def ci_steps() -> dict[str, list[str]]:
    """The commands of the snippets for CI services, by file."""
    found = {}
    for block in blocks(ROOT / "docs" / "howto" / "ci.md"):
        document = yaml.safe_load(block.text)
        jobs = document.get("jobs", {"only": document})
        steps = [step for job in jobs.values() for step in job["steps"]]
        found[str(block.title)] = [
            step.get("run", step.get("script")) for step in steps if {"run", "script"} & set(step)
        ]
    return found


def test_the_snippets_for_ci_install_and_then_test() -> None:
    for commands in ci_steps().values():
        install, test = commands
        assert install.startswith("pip install ")
        assert test.startswith("pytest --azureml-local --nbval")
    # What they ask for beside the project's own are the floors that this project's packages have.
    wanted = (ROOT / "requirements.in").read_text()
    for word in ("azureml-core>=1.61", "setuptools<81"):
        assert word in wanted
        assert all(f'"{word}"' in commands[0] for commands in ci_steps().values())


@pytest.mark.slow
def test_the_snippets_tests_run_in_a_repository(tmp_path: Path) -> None:
    """In somebody else's repository: a notebook and a test. The longer of the two commands is the other one too."""
    pages = {block.title: block.text for block in blocks(ROOT / "docs" / "howto" / "test-my-code.md") if block.title}
    for name, text in pages.items():
        (tmp_path / str(name)).write_text(text)
    cell = nbformat.v4.new_code_cell("print(6 * 7)", execution_count=1)
    cell.outputs = [nbformat.v4.new_output("stream", name="stdout", text="42\n")]
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), tmp_path / "a.ipynb")
    command = ci_steps()["azure-pipelines.yml"][1]
    Folder(tmp_path, tmp_path / ".azureml-local").command(command, "...2 passed...")
    assert 'failures="0"' in (tmp_path / "results.xml").read_text()
