"""The target "local": what the client runs, and what the server makes of it."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import threading
import zipfile
from pathlib import Path

import pytest

from azureml_local.runtime import local_target
from azureml_local.runtime.local_target import Client, await_client, client_of, invocation, with_interpreter
from azureml_local.workspace.errors import Invalid

# As the SDK starts it, from a Python process (azureml._execution._commands._invoke_command).
START = "import subprocess, sys; subprocess.run(['/bin/bash', '-c', sys.argv[1]], check=True)"


def test_local_target_invocation_passes_folder_interpreter_and_credentials(tmp_path: Path) -> None:
    run, project = tmp_path / "it's a run; $(id)", tmp_path / "ä project"
    project.mkdir()
    with zipfile.ZipFile(io.BytesIO(invocation(run))) as archive:
        archive.extractall(project)
    assert client_of(run) is None
    script = project / "azureml-setup" / "Invocation.sh"
    script.chmod(0o755)
    signs_in = {"MSI_ENDPOINT": "http://x", "MSI_SECRET": "a=b\n$(id)", "AZURE_CONFIG_DIR": ""}
    others = {name: text for name, text in os.environ.items() if name not in local_target.SIGN_IN}
    start = [sys.executable, "-c", START, "./azureml-setup/Invocation.sh"]
    subprocess.run(start, cwd=project, check=True, env={**others, **signs_in, "OTHER_SECRET": "never"})
    assert client_of(run) == await_client(run, threading.Event()) == Client(project, sys.executable, signs_in)
    assert (run / "client").stat().st_mode & 0o077 == 0
    assert [path.name for path in run.iterdir()] == ["client"]

    of_a_run = {**others, **signs_in, "AZUREML_RUN_TOKEN": signs_in["MSI_SECRET"]}
    subprocess.run(start, cwd=project, check=True, env=of_a_run)  # a job on a cluster that submits a local one
    assert client_of(run) == Client(project, sys.executable, {})


def test_local_target_client_absent_fails_the_run_and_cancelled_ends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local_target, "PATIENCE", 0.1)
    with pytest.raises(Invalid, match="has not started"):
        await_client(tmp_path, threading.Event())
    cancelled = threading.Event()
    cancelled.set()
    assert await_client(tmp_path, cancelled) is None
    (tmp_path / "client").write_bytes(b"/no/such/folder\0python\0")
    with pytest.raises(Invalid, match="/no/such/folder, isn't there"):
        await_client(tmp_path, cancelled)


def test_the_clients_interpreter_is_for_packages_that_the_user_manages() -> None:
    managed = {"python": {"userManagedDependencies": True, "interpreterPath": "python"}}
    assert with_interpreter(managed, "/x/python") == {
        "python": {"userManagedDependencies": True, "interpreterPath": "/x/python"}
    }
    chosen = {"python": {"userManagedDependencies": True, "interpreterPath": "/y/python"}}
    built = {"python": {"userManagedDependencies": False}}
    assert [with_interpreter(one, "/x/python") for one in (chosen, built, {})] == [chosen, built, {}]
    assert with_interpreter(managed, "") == managed
