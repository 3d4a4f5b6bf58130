"""What runs in a job's own Python, in every Python of this machine that a job may have."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from azureml_local.client.environment import STARTUP_FOLDER as CLIENT_STARTUP_FOLDER
from azureml_local.runtime import job
from azureml_local.runtime.installer import OLDEST, Interpreter, interpreters
from azureml_local.runtime.jobrunner import STARTUP_FOLDER

FILES = [Path(job.__file__), STARTUP_FOLDER / "sitecustomize.py", CLIENT_STARTUP_FOLDER / "sitecustomize.py"]
PYTHONS = {str(one.version): one for one in interpreters() if one.version >= OLDEST}


def run(python: Interpreter, folder: Path, script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    (folder / "script.py").write_text(script)
    variables = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "AZUREML"))}
    variables |= {
        "AZUREML_LOCAL_JOB": str(folder / "exit_status"),
        "AZUREML_LOCAL_MIRROR": "https://localhost:1/opendata",
        "PYTHONPATH": os.pathsep.join([str(STARTUP_FOLDER), str(CLIENT_STARTUP_FOLDER)]),
    }
    (folder / "around_script").touch()
    return subprocess.run(
        [python.path, *map(str, [job.__file__, "script.py", *arguments])],
        cwd=folder,
        env=variables,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}/{file.name}")
def test_syntax_is_that_of_the_oldest_python(file: Path) -> None:
    ast.parse(file.read_text(), feature_version=OLDEST.release[:2])


@pytest.mark.parametrize("version", PYTHONS)
def test_script_runs_in_each_python_of_this_machine(tmp_path: Path, version: str) -> None:
    done = run(
        PYTHONS[version],
        tmp_path,
        "import os, sys, sitecustomize\nprint(sys.version.split()[0], sys.argv[1], os.path.exists('around_script'))\n",
        "one",
    )
    assert done.returncode == 0, done.stderr
    assert f"{version} one False" in done.stdout.splitlines()
    assert "sitecustomize" not in done.stderr  # "Error in sitecustomize", which Python survives
    assert not (tmp_path / "around_script").exists()


@pytest.mark.parametrize("script", ["raise SystemExit(3)", "1/0", "import os; os._exit(3)"])
def test_failure_of_the_script_is_its_own(tmp_path: Path, script: str) -> None:
    assert run(PYTHONS[sys.version.split()[0]], tmp_path, script).returncode != 0
    assert not (tmp_path / "around_script").exists()


def test_failure_before_the_script_is_not_the_scripts(tmp_path: Path) -> None:
    package = tmp_path / "azureml" / "history"
    package.mkdir(parents=True)
    (package / "_tracking.py").write_text("raise RuntimeError('broken')")
    assert run(PYTHONS[sys.version.split()[0]], tmp_path, "print('never')").returncode == 1
    assert (tmp_path / "around_script").exists()
