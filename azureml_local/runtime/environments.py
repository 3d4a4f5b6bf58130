"""Environment builds: an Azure ML Environment becomes a real virtual environment, made once by uv and kept.

In Azure this is the image build of a run's *Preparing* phase. Here it is a virtual environment in the cache (`places`),
over which each job has a layer of its own (`layers`).
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import shutil
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from packaging.version import Version

from azureml_local.runtime import layers
from azureml_local.runtime.conda import EnvironmentBuildError, PackageList, read_packages, without_secrets
from azureml_local.runtime.installer import (
    POLL_SECONDS,
    EnvironmentBuildCanceled,
    Interpreter,
    choose,
    git_credentials,
    interpreter_at,
    interpreters,
    own_interpreter,
    run_uv,
)
from azureml_local.runtime.places import Places, complete
from azureml_local.storage.locks import try_lock
from azureml_local.storage.ownership import private_folder

__all__ = ["EnvironmentBuildCanceled", "EnvironmentBuildError", "EnvironmentBuilder", "JobEnvironment"]

_FORMAT = 2  # part of every digest: raise it when the same definition would be built differently

# A conda environment always has these, and scripts rely on it.
_ALWAYS = ("pip", "setuptools")
# Older azureml-core and today's azureml-opendatasets import pkg_resources, which setuptools gives up.
_SETUPTOOLS = "setuptools<81"
# azureml-core 1.61 imports it in Python 3.8 and does not require it.
_IMPORTLIB_RESOURCES, _FIRST_WITH_RESOURCES = "importlib-resources", Version("3.9")
# Without a floor, a resolver that has taken a newer numpy first goes back to azureml packages of 2020, whose
# metadata did not limit numpy yet (seen with azureml-defaults and numpy on Python 3.11: azureml-core 1.0.85).
# 1.47 is the last one for Python 3.6.
_AZUREML_FLOORS = tuple(
    f"azureml-{name}>={floor}; python_version {python}"
    for name in ("core", "dataset-runtime", "defaults", "sdk")
    for floor, python in (("1.50", ">= '3.7'"), ("1.40", "< '3.7'"))
)


@dataclass(frozen=True)
class JobEnvironment:
    """The interpreter that runs a job.

    `python` is its path, `digest` the definition's (32 hexadecimal digits), `cached` is True where nothing
    had to be built, `seconds` is what getting it took. `warning` says what is not as the definition asks for.
    It is in use until `close`.
    """

    python: Path
    digest: str
    cached: bool
    seconds: float
    warning: str | None = None
    descriptor: int | None = None

    @property
    def descriptors(self) -> Sequence[int]:
        """As long as one process has them open, nobody changes a built environment."""
        return () if self.descriptor is None else (self.descriptor,)

    def of_run(self, folder: Path) -> Path:
        """The interpreter for the run with this folder: a built environment has a layer of its own there (`layers`).

        Raises OSError.
        """
        return self.python if self.descriptor is None else layers.lay(self.python.parent.parent, folder / "layer")

    def close(self) -> None:
        """This process has no more use for it."""
        for descriptor in self.descriptors:
            os.close(descriptor)


@dataclass(frozen=True)
class _Plan:
    """The build plan of a definition on this machine. Without `packages`, the interpreter itself is the
    environment."""

    digest: str
    interpreter: Interpreter
    notes: tuple[str, ...]
    packages: PackageList | None = None
    constraints: tuple[str, ...] = ()
    warning: str | None = None


class EnvironmentBuilder:
    """Builds environments into the folder `cache` (made when first needed) and finds them there again.

    With `host`, jobs run in the interpreter of this process whatever their Environment asks for; nothing is
    installed.
    """

    def __init__(self, cache: Path, *, host: bool = False) -> None:
        self._cache = cache.absolute()
        self.host = host

    def digest(self, definition: Mapping[str, Any]) -> str:
        """The identity of what `definition` comes to here: packages, indexes, Python, platform; not its name,
        its version or the order of its packages. Raises EnvironmentBuildError for one that cannot be
        built."""
        return self._plan(definition).digest

    def build(self, definition: Mapping[str, Any], log: TextIO, cancelled: threading.Event) -> JobEnvironment:
        """The environment of `definition`, built now or earlier; `log` receives the build log line by line.

        Two builds of one definition, in this process or another, become one; the second waits. Raises
        EnvironmentBuildError (its text is for the run's error), and EnvironmentBuildCanceled soon after
        `cancelled` is set.
        """
        started = time.monotonic()
        say = _Log(log)
        try:
            say(f"Environment {definition.get('name') or '(without a name)'}")
            plan = self._plan(definition)
            say(f"Definition {plan.digest}")
            for note in plan.notes:
                say(note)
            if plan.packages is None:
                return JobEnvironment(plan.interpreter.path, plan.digest, True, time.monotonic() - started)
            return self._get(plan, plan.packages, say, cancelled, started)
        except EnvironmentBuildError as error:
            say(f"ERROR: {error}")
            raise
        except OSError as error:
            failure = EnvironmentBuildError(
                f"The environment cannot be written to the cache {self._cache}: {error.strerror or error}; "
                "make room there, or choose another folder with AZUREML_LOCAL_CACHE."
            )
            with suppress(OSError):  # the log may lie on the same full disk
                say(f"ERROR: {failure}")
            raise failure from error

    def _get(
        self, plan: _Plan, packages: PackageList, say: _Log, cancelled: threading.Event, started: float
    ) -> JobEnvironment:
        """The built environment of `plan`, from the cache where it is there as it was built."""
        private_folder(self._cache)
        places = Places(self._cache, plan.digest)
        place = places.intact(say)
        cached = place is not None
        if place is None:
            with _locked(self._cache / f"{plan.digest}.lock", say, cancelled) as lock:
                place = places.intact(say)  # another may have built it meanwhile
                cached = place is not None
                if place is None:
                    place = places.free()
                    with place.closed_on_error(), _about_stand_in(plan):
                        _build(plan, packages, place.folder, say, cancelled, lock)
                        place.share()
        if cached:
            say(f"Taken from the cache, nothing to build: {place.folder}")
        else:
            say(f"Built in {time.monotonic() - started:.1f} s: {place.folder}")
        python = place.environment / "bin" / "python"
        seconds = time.monotonic() - started
        return JobEnvironment(python, plan.digest, cached, seconds, plan.warning, place.descriptor)

    def _plan(self, definition: Mapping[str, Any]) -> _Plan:
        section = definition.get("python") or {}
        if self.host:
            own = own_interpreter()
            note = f"Jobs run in the workspace's own Python {own.version}, {own.path}; no packages are installed."
            return _interpreter_plan(own, note)
        if section.get("userManagedDependencies"):
            named = _user_managed(str(section.get("interpreterPath") or "python"))
            return _interpreter_plan(
                named,
                f"The packages are managed by the user; Python: {named.path} ({named.version})",
                *_image_notes(definition),
            )
        conda = section.get("condaDependencies")
        if not isinstance(conda, Mapping):
            image = (definition.get("docker") or {}).get("baseImage")
            only = f", only the Docker image {image}, and images are not started here" if image else ""
            raise EnvironmentBuildError(
                f"The Environment names no packages{only}; give it CondaDependencies, or set "
                "python.user_managed_dependencies=True to use the workspace's own Python."
            )
        packages = read_packages(conda)
        chosen = choose(packages.python, interpreters())
        interpreter = chosen.interpreter
        constraints, constraint_notes = _constraints(packages)
        asked = ", ".join(packages.requirements) or "none"
        if packages.named("azureml-") and interpreter.version < _FIRST_WITH_RESOURCES:
            packages.requirements.append(_IMPORTLIB_RESOURCES)
            packages.notes.append(f"Added: {_IMPORTLIB_RESOURCES}, which azureml-core imports in older Pythons.")
        packages.requirements = sorted({*packages.requirements, *_ALWAYS})
        digest = _digest(
            # A new password is no new environment.
            packages=[without_secrets(line) for line in packages.requirements],
            options=[without_secrets(option) for option in packages.options],
            constraints=constraints,
            python=[str(packages.python), str(interpreter.version), os.path.realpath(interpreter.path)],
        )
        notes = (
            f"Packages: {asked}",
            *packages.notes,
            *constraint_notes,
            *_image_notes(definition),
            chosen.warning or chosen.note,
        )
        return _Plan(digest, interpreter, notes, packages, constraints, chosen.warning)


def _digest(**content: object) -> str:
    whole = {"format": _FORMAT, "platform": [platform.system(), platform.machine()], **content}
    return hashlib.sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest()[:32]


def _interpreter_plan(interpreter: Interpreter, *notes: str) -> _Plan:
    return _Plan(_digest(interpreter=[str(interpreter.path), str(interpreter.version)]), interpreter, notes)


def _user_managed(asked: str) -> Interpreter:
    """The interpreter of an Environment whose packages the user manages."""
    if asked in ("python", "python3"):
        return own_interpreter()
    path = Path(asked)
    if not path.is_absolute() or not path.is_file() or not os.access(path, os.X_OK):
        raise EnvironmentBuildError(
            f"The Environment's python.interpreter_path '{asked}' is not a program on this machine; give the "
            "absolute path of a Python interpreter here, or 'python' for the workspace's own."
        )
    return interpreter_at(path)


def _constraints(packages: PackageList) -> tuple[tuple[str, ...], list[str]]:
    """What azureml packages need beyond their own metadata, where the definition leaves it open; and the
    log's words."""
    azureml = packages.named("azureml-")
    if not azureml:
        return (), []
    constraints: list[str] = []
    notes = []
    if any(one.specifier or one.url for one in packages.named("setuptools") if one.name.lower() == "setuptools"):
        notes.append(f"setuptools is as the definition has it; azureml packages can need {_SETUPTOOLS}.")
    else:
        constraints.append(_SETUPTOOLS)
        notes.append(f"Constraint added: {_SETUPTOOLS}, because azureml packages import pkg_resources.")
    if not any(one.specifier or one.url for one in azureml):
        constraints += _AZUREML_FLOORS
        notes.append(
            "Constraint added: azureml packages from 1.50 on (for Python 3.6: 1.40), so that the resolver takes none "
            "from 2020."
        )
    return tuple(constraints), notes


def _image_notes(definition: Mapping[str, Any]) -> Iterator[str]:
    """Log notes on the unused parts of a definition's Docker section and conda base."""
    docker = definition.get("docker") or {}
    if docker.get("baseDockerfile") or docker.get("buildContext"):
        yield "The Environment's Dockerfile is not built: what it installs has to be on this machine."
    elif docker.get("baseImage"):
        yield f"The Docker image {docker['baseImage']} is not started: the job runs on this machine."
    base = (definition.get("python") or {}).get("baseCondaEnvironment")
    if base:
        yield f"The image's conda environment {base} is not here: only the listed packages are installed."


@contextmanager
def _about_stand_in(plan: _Plan) -> Iterator[None]:
    """Add to the error of a build with a substitute Python that this may be the cause."""
    try:
        yield
    except EnvironmentBuildCanceled:
        raise
    except EnvironmentBuildError as error:
        if plan.warning is None:
            raise
        raise EnvironmentBuildError(f"{error} ({plan.warning})") from error


def _build(plan: _Plan, packages: PackageList, folder: Path, say: _Log, cancelled: threading.Event, lock: int) -> None:
    """Makes the virtual environment in `folder`, or leaves nothing there."""
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(mode=0o700)
    try:
        requirements = folder / "requirements.txt"  # not arguments: any user can read those, and there are passwords
        constraints = folder / "constraints.txt"
        in_file, arguments = _uv_options(packages.options)
        lines, credentials = git_credentials(packages.requirements)
        requirements.write_text("".join(f"{line}\n" for line in (*in_file, *lines)), encoding="utf-8")
        constraints.write_text("".join(f"{line}\n" for line in plan.constraints), encoding="utf-8")
        common = ["--quiet", "--no-project", "--no-python-downloads"]
        venv = ["venv", *common, "--python", str(plan.interpreter.path), str(folder / "venv")]
        run_uv(venv, folder, say, cancelled, lock)
        # Not --compile-bytecode: it takes 20 to 30 s for all, and Python compiles in 3 s what the script
        # really imports.
        target = ["--python", str(folder / "venv" / "bin" / "python"), "--no-python-downloads", *arguments]
        # A hard link to uv's cache, its usual way, would be one file of all environments and of uv's: a job that writes
        # to it would change them all.
        target += ["--link-mode", "copy"]
        files = ["--requirements", str(requirements), "--constraints", str(constraints)]
        run_uv(["pip", "install", *target, *files], folder, say, cancelled, lock, credentials)
        requirements.unlink()
        marker = {
            "digest": plan.digest,
            "python": str(plan.interpreter.version),
            "packages": packages.requirements,
        }
        complete(folder, without_secrets(json.dumps(marker, indent=1)))
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _uv_options(options: list[str]) -> tuple[list[str], list[str]]:
    """pip's options, as lines for the requirements file and, where uv takes them only there, as arguments."""
    lines: list[str] = []
    arguments: list[str] = []
    for option in options:
        name, _, value = option.partition(" ")
        if name == "--pre":
            arguments += ["--prerelease", "allow"]
        elif name == "--trusted-host":
            arguments += ["--allow-insecure-host", value]
        else:
            lines.append(option)
    return lines, arguments


class _Log:
    """The build log: one line at a time, flushed, without control sequences and without secrets."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __call__(self, line: str) -> None:
        plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", line).rstrip()
        self._stream.write(without_secrets(plain) + "\n")
        self._stream.flush()


@contextmanager
def _locked(path: Path, say: _Log, cancelled: threading.Event) -> Iterator[int]:
    """Holds the lock file `path`, waiting as long as another build of the definition has it; gives its
    descriptor."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        waiting = False
        while not try_lock(descriptor):
            if not waiting:
                say("Another run is building this environment; waiting for it.")
                waiting = True
            if cancelled.wait(POLL_SECONDS):
                raise EnvironmentBuildCanceled
        yield descriptor
    finally:
        os.close(descriptor)
