"""Layers over environments, and environments that jobs have changed: with uv, pip and real Pythons."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from azureml_local.runtime.environments import EnvironmentBuilder, JobEnvironment
from azureml_local.runtime.installer import OLDEST, interpreters

HERE = ".".join(map(str, sys.version_info[:2]))
OTHERS = sorted({"{}.{}".format(*one.version.release[:2]) for one in interpreters() if one.version >= OLDEST} - {HERE})


def build(cache: Path, version: str = HERE, six: str = "1.15.0") -> tuple[JobEnvironment, str]:
    log = io.StringIO()
    conda = {"dependencies": [f"python={version}", {"pip": [f"six=={six}", "wheel"]}]}
    definition = {"name": "layered", "python": {"condaDependencies": conda}}
    environment = EnvironmentBuilder(cache).build(definition, log, threading.Event())
    return environment, log.getvalue()


def run(python: Path, *words: str) -> str:
    """What a program of the layer's says, found as a job finds it."""
    variables = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "VIRTUAL_ENV"))}
    variables["PATH"] = f"{python.parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(words, check=False, capture_output=True, text=True, env=variables)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


SIX = "import six; print(six.__version__)"


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.mark.parametrize("version", [HERE, *OTHERS])
@pytest.mark.slow
def test_pip_in_a_layer_changes_the_layer_only(cache: Path, tmp_path: Path, version: str) -> None:
    environment, _ = build(cache, version)
    deep = tmp_path / ("a folder " * 14)  # too long for the first line of a script, and with blanks
    python, other = environment.of_run(deep), environment.of_run(tmp_path / "other")
    assert run(python, "python", "-c", SIX) == "1.15.0"
    assert run(python, "python", "-c", "import sys; print(sys.prefix)") == str(deep / "layer")
    run(python, "pip", "install", "-q", "six==1.16.0")  # the program, whose first line names a Python
    assert run(python, "python", "-c", SIX) == "1.16.0"
    assert run(other, "python", "-c", SIX) == "1.15.0"
    environment.close()
    again, log = build(cache, version)
    assert again.cached
    assert again.python == environment.python
    assert "not used as it is" not in log
    again.close()


def test_changed_environment_is_built_again(cache: Path) -> None:
    environment, _ = build(cache)
    module = next(environment.python.parent.parent.glob("lib/python3*/site-packages/six.py"))
    for change in (module.unlink, lambda: module.write_text("__version__ = 'none'"), lambda: module.chmod(0)):
        environment.close()
        change()
        environment, log = build(cache)
        assert not environment.cached
        assert "1 of its files were changed or removed" in log
        assert run(environment.python, str(environment.python), "-c", SIX) == "1.15.0"
    environment.close()


def test_writing_into_a_file_of_an_environment_changes_no_other_environment(cache: Path, tmp_path: Path) -> None:
    environment, _ = build(cache)
    module = next(environment.python.parent.parent.glob("lib/python3*/site-packages/six.py"))
    with module.open("a") as file:  # in place: not what pip does
        file.write("__version__ = 'none'")
    environment.close()
    other, _ = build(tmp_path / "cache")
    assert run(other.python, str(other.python), "-c", SIX) == "1.15.0"
    other.close()
    environment, _ = build(cache)
    assert run(environment.python, str(environment.python), "-c", SIX) == "1.15.0"
    environment.close()


def test_what_was_added_to_an_environment_is_removed(cache: Path) -> None:
    environment, _ = build(cache)
    environment.close()
    packages = next(environment.python.parent.parent.glob("lib/python3*/site-packages"))
    (packages / "sitecustomize.py").write_text("raise SystemExit('planted')")
    (packages / "data" / "deep").mkdir(parents=True)
    (packages / "data" / "deep" / "file").touch()
    environment, log = build(cache)
    assert environment.cached
    assert "Removed what is not the environment's: lib/python" in log
    assert not (packages / "sitecustomize.py").exists()
    assert not (packages / "data").exists()
    environment.close()


def test_environment_that_is_damaged_while_a_job_runs_in_it_is_built_beside_it(cache: Path) -> None:
    used, _ = build(cache, six="1.14.0")
    module = next(used.python.parent.parent.glob("lib/python3*/site-packages/six.py"))
    module.unlink()
    beside, log = build(cache, six="1.14.0")
    assert not beside.cached
    assert "is not used as it is: 1 of its files" in log
    assert beside.python != used.python
    assert used.python.exists()
    used.close()
    again, log = build(cache, six="1.14.0")
    assert again.cached
    assert again.python == beside.python
    assert not used.python.exists()  # nobody ran there any more
    beside.close()
    again.close()
