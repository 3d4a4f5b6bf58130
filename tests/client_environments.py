"""Environments of clients that can't share one with SDK v1, each of a pinned requirement file in tests/clients.

They are virtual environments in the user's cache, made by uv when a test first asks for one, and found there again.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uv
from filelock import FileLock

from azureml_local.client.instance import LocalServer
from azureml_local.storage.folder import cache_folder

REQUIREMENTS = Path(__file__).parent / "clients"


def python_of(name: str) -> Path:
    """The interpreter of the environment that ``clients/{name}.txt`` describes."""
    file = REQUIREMENTS / f"{name}.txt"
    digest = hashlib.sha256(file.read_bytes() + sys.version.encode()).hexdigest()[:16]
    folder = cache_folder() / "test-clients" / f"{name}-{digest}"
    python, ready = folder / "bin" / "python", folder / "ready"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):
        if not ready.exists():
            shutil.rmtree(folder, ignore_errors=True)
            program = uv.find_uv_bin()
            # Not from this project's folder: the overrides in its pyproject.toml are for SDK v1.
            subprocess.run(
                [program, "venv", "--quiet", "--python", sys.executable, str(folder)], check=True, cwd=folder.parent
            )
            command = [program, "pip", "install", "--quiet", "--python", str(python), "-r", str(file)]
            subprocess.run(command, check=True, cwd=folder.parent)
            ready.touch()
    return python


@dataclass(frozen=True)
class Client:
    """A client's interpreter, and the server that its programs talk to."""

    python: Path
    server: LocalServer
    folder: Path

    def run(self, program: str, **variables: str) -> Any:
        """Run a program with the workspace's variables; what its last line prints is JSON, and this returns it.

        Nothing of this process's environment but the path of programs goes with it.
        """
        inherited = {"PATH": os.environ["PATH"], "HOME": str(self.folder)}
        environment = {**inherited, **self.server.variables(inherited), **variables}
        script = self.folder / "program.py"
        script.write_text(textwrap.dedent(program))
        done = subprocess.run(
            [str(self.python), "-W", "ignore", str(script)],
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
        return json.loads(done.stdout.splitlines()[-1])
