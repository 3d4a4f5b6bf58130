"""Environments of services: that of the definition, with Microsoft's inference server.

A definition that lists packages gets the server as one more. Where the packages are the user's own affair (or jobs run
in the workspace's own Python), the server lies in a folder beside them, built for the same version of Python.
"""

from __future__ import annotations

import copy
import platform
import subprocess
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from azureml_local.runtime.conda import EnvironmentBuildError
from azureml_local.runtime.environments import EnvironmentBuilder, JobEnvironment
from azureml_local.storage.tables import Json

# 1.5 is for Flask 3 and pydantic 2; older Pythons get the last one that is for them.
INFERENCE_SERVER = "azureml-inference-server-http"
BRING_IT = (INFERENCE_SERVER, "azureml-defaults")
LOOK = (
    "import importlib.util, sys; print(sys.version_info[0], sys.version_info[1], "
    "importlib.util.find_spec('azureml_inference_server_http') is not None)"
)


@dataclass(frozen=True)
class ScoringEnvironment:
    """The interpreter of a scoring process, and the ``folders`` that come first in its search path.

    ``parts`` are in use until `close`.
    """

    python: Path
    folders: tuple[str, ...]
    parts: tuple[JobEnvironment, ...]

    @property
    def descriptors(self) -> Sequence[int]:
        return [number for part in self.parts for number in part.descriptors]

    def close(self) -> None:
        for part in self.parts:
            part.close()


def no_code_definition(framework: str | None, version: str | None) -> Json:
    """The environment of a model without code. Raises EnvironmentBuildError for a framework that has none."""
    if (framework or "").lower() != "scikitlearn":
        raise EnvironmentBuildError(
            f"A model of the framework {framework or 'Custom'} can't be served without code here; only ScikitLearn "
            "models can. Deploy it with an InferenceConfig whose entry script loads it."
        )
    packages = [f"scikit-learn{'==' + version if version else ''}", "joblib", "numpy", "pandas", INFERENCE_SERVER]
    conda = {"dependencies": [f"python={platform.python_version()}", {"pip": packages}]}
    return {"name": "no-code-scikit-learn", "python": {"condaDependencies": conda}}


def with_server(definition: Json) -> tuple[Json, bool]:
    """The definition with the inference server among its packages, and whether it had to be added."""
    made = copy.deepcopy(definition)
    section = made.get("python") or {}
    conda = section.get("condaDependencies")
    if section.get("userManagedDependencies") or not isinstance(conda, dict):
        return made, False
    dependencies = conda.setdefault("dependencies", [])
    named = [each for part in dependencies for each in (part.get("pip") or [] if isinstance(part, dict) else [part])]
    if any(str(each).lower().startswith(BRING_IT) for each in named):
        return made, False
    for part in dependencies:
        if isinstance(part, dict) and isinstance(part.get("pip"), list):
            part["pip"].append(INFERENCE_SERVER)
            return made, True
    dependencies.append({"pip": [INFERENCE_SERVER]})
    return made, True


class ScoringEnvironments:
    """Builds them, in the same cache as those of jobs. ``builder`` is the jobs' own."""

    def __init__(self, builder: EnvironmentBuilder, cache: Path) -> None:
        self._builder = builder
        self._beside = EnvironmentBuilder(cache)

    def build(self, definition: Json, log: TextIO, cancelled: threading.Event) -> ScoringEnvironment:
        """Raises EnvironmentBuildError, EnvironmentBuildCanceled."""
        wanted, added = with_server(definition)
        if added:
            log.write(f"Added: {INFERENCE_SERVER}, which serves the model and isn't among the definition's packages.\n")
        own = self._builder.build(wanted, log, cancelled)
        try:
            version, there = _looked_at(own.python)
            if there:
                return ScoringEnvironment(own.python, (), (own,))
            log.write(f"{own.python} has no {INFERENCE_SERVER}; one is put beside its packages.\n")
            pip = {"dependencies": [f"python={version}", {"pip": [INFERENCE_SERVER]}]}
            server = self._beside.build(
                {"name": INFERENCE_SERVER, "python": {"condaDependencies": pip}}, log, cancelled
            )
        except BaseException:
            own.close()
            raise
        (folder,) = (server.python.parent.parent / "lib").glob("python3*/site-packages")
        return ScoringEnvironment(own.python, (str(folder),), (own, server))


def _looked_at(python: Path) -> tuple[str, bool]:
    """An interpreter's version, as X.Y, and whether it has the inference server."""
    done = subprocess.run([python, "-c", LOOK], capture_output=True, text=True, timeout=60)
    words = done.stdout.split()
    if done.returncode or len(words) != 3:
        raise EnvironmentBuildError(f"The interpreter {python} doesn't run: {done.stderr.strip()[-300:]}")
    return f"{words[0]}.{words[1]}", words[2] == "True"
