"""uv, as the environment builds use it: the Pythons it finds, the variables it gets, a run of it that can be
cancelled."""

from __future__ import annotations

import base64
import functools
import json
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from urllib.parse import unquote

from packaging.specifiers import SpecifierSet
from packaging.version import InvalidVersion, Version

from azureml_local.runtime.conda import EnvironmentBuildError, without_secrets

POLL_SECONDS = 0.1  # how soon a cancel is noticed
_GRACE_SECONDS = 3.0  # between SIGTERM and SIGKILL
# The oldest Python that uv makes environments with, and that what stands around a job's script is written for.
OLDEST = Version("3.6")
_UV_OFFERS = Version("3.8")  # what `uv python install` has, and newer ones

# What uv, and with it the set-up code of strangers' packages, gets to see of the server's environment: where
# things are, how to reach the network, how to compile. Not keys, not tokens, not the server's own secret.
_PASSED_ON = re.compile(
    r"PATH|HOME|USER|LOGNAME|SHELL|LANG|LC_\w+|TZ|TMPDIR|XDG_\w+|NETRC|SSH_AUTH_SOCK|GIT_SSL_CAINFO"
    r"|(http|https|all|no)_proxy|(HTTP|HTTPS|ALL|NO)_PROXY|SSL_CERT_\w+|REQUESTS_CA_BUNDLE|CURL_CA_BUNDLE"
    r"|UV_(?!PYTHON|SYSTEM_PYTHON|PROJECT|VENV|BREAK)\w+"
    r"|CC|CXX|FC|CPP|(C|CXX|CPP|F|LD)FLAGS|CPATH|LIBRARY_PATH|LD_LIBRARY_PATH|PKG_CONFIG_PATH|MAKEFLAGS"
    r"|CUDA_HOME|JAVA_HOME"
)
_GIT_CREDENTIALS = re.compile(r"git\+(?P<scheme>https?)://(?P<user>[^/\s]*)@(?P<host>[^/\s@]+)(?P<path>/[^\s@#;]*)")
_UV_INDEXES = {"UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_INDEX", "UV_EXTRA_INDEX_URL"}


class EnvironmentBuildCanceled(EnvironmentBuildError):
    """The build was ended because its run was cancelled."""

    def __init__(self) -> None:
        super().__init__("The environment build was canceled with its run.")


# --- Python


@dataclass(frozen=True)
class Interpreter:
    """A Python on this machine."""

    path: Path
    version: Version


@dataclass(frozen=True)
class Choice:
    """An interpreter for an Environment, a sentence about it for the log, and a warning for the run where it isn't the
    Python that was asked for."""

    interpreter: Interpreter
    note: str
    warning: str | None = None


def own_interpreter() -> Interpreter:
    """The interpreter of this process."""
    return Interpreter(Path(sys.executable), Version(".".join(map(str, sys.version_info[:3]))))


def interpreters() -> list[Interpreter]:
    """The CPython interpreters of this machine, this process's own first.

    uv looks on PATH and among its own. pyenv's are added: its shims on PATH run only what is selected at the
    moment.
    """
    environment = uv_environment()
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    folders = [Path(part) for part in environment.get("PATH", os.defpath).split(os.pathsep)]
    folders = [folder for folder in folders if folder != pyenv / "shims"] + sorted(pyenv.glob("versions/3.*/bin"))
    environment["PATH"] = os.pathsep.join(map(str, folders))
    options = ["--only-installed", "--no-python-downloads", "--output-format", "json"]
    command = [uv_program(), "python", "list", *options]
    answer = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if answer.returncode != 0:
        reason = telling_words(answer.stderr.splitlines(), answer.returncode)
        raise EnvironmentBuildError(f"uv could not list the Python interpreters of this machine: {reason}")
    return [
        own_interpreter(),
        *(
            Interpreter(Path(entry["path"]), Version(entry["version"]))
            for entry in json.loads(answer.stdout)
            if entry["implementation"] == "cpython" and entry["variant"] == "default" and entry["path"]
        ),
    ]


def interpreter_at(path: Path) -> Interpreter:
    """The interpreter of this path, which a user names. Raises EnvironmentBuildError for one that can't run jobs."""
    return _interpreter_at(path, path.stat().st_mtime_ns)


@functools.lru_cache(maxsize=100)
def _interpreter_at(path: Path, changed: int) -> Interpreter:
    question = "import sys; print('%d.%d.%d' % sys.version_info[:3])"
    try:
        answer = subprocess.run([path, "-c", question], capture_output=True, text=True, check=True, timeout=30)
        version = Version(answer.stdout.strip())
    except (OSError, subprocess.SubprocessError, InvalidVersion) as error:
        raise EnvironmentBuildError(
            f"The Environment's python.interpreter_path '{path}' is no Python interpreter that works: {error}"
        ) from error
    if version < OLDEST:
        raise EnvironmentBuildError(
            f"The Environment's python.interpreter_path '{path}' is Python {version}, which is too old: a job needs "
            f"Python {OLDEST} or later. Name another one."
        )
    return Interpreter(path, version)


def choose(asked: SpecifierSet, installed: Sequence[Interpreter]) -> Choice:
    """The interpreter for the version `asked` for.

    One that fits (the first of `installed`, this process's own, before a newer one), else one of the same minor
    version, else the nearest, the newer of two. Raises EnvironmentBuildError where not even the major version
    is there.
    """
    found = [one for one in installed if one.version >= OLDEST]
    fitting = [one for one in found if asked.contains(one.version)]
    if fitting:
        own = found[0] in fitting
        chosen = found[0] if own else max(fitting, key=lambda one: one.version)
        return Choice(chosen, f"Python {chosen.version}, {chosen.path}{f' (asked for: {asked})' if asked else ''}")
    wanted = min(Version(clause.version.removesuffix(".*")) for clause in asked)
    same_minor = [one for one in found if one.version.release[:2] == wanted.release[:2]]
    same_major = [one for one in found if one.version.major == wanted.major]
    warning = None
    if same_minor:
        chosen = max(same_minor, key=lambda one: one.version)
    elif same_major:
        newest_first = sorted(same_major, key=lambda one: one.version, reverse=True)
        chosen = min(newest_first, key=lambda one: abs(one.version.minor - wanted.minor))
        warning = (
            f"The Environment asks for Python {asked}, which {_why_not(wanted)}; Python {chosen.version}, the nearest "
            "that is here, takes its place."
        )
    else:
        raise EnvironmentBuildError(
            f"The Environment asks for Python {asked}, and this machine has no Python {wanted.major}; "
            "install one, or ask for another version."
        )
    note = f"Python {chosen.version}, {chosen.path}: the nearest here to the one asked for ({asked})."
    return Choice(chosen, note, warning)


def _why_not(wanted: Version) -> str:
    if wanted < OLDEST:
        return f"is too old: a job needs {OLDEST} or later"
    minor = f"{wanted.major}.{wanted.minor}"
    how = f"uv python install {minor}" if wanted >= _UV_OFFERS else f"pyenv install {minor}"
    return f"is not on this machine (install it, for example by '{how}')"


# --- uv


def uv_program() -> str:
    """The path of the uv program: the one installed with the server, else the one on PATH."""
    try:
        from uv import find_uv_bin

        return find_uv_bin()
    except (ImportError, FileNotFoundError):
        found = shutil.which("uv")
    if found is None:
        raise EnvironmentBuildError("uv, which installs the packages, was not found; run 'pip install uv'.")
    return found


def uv_environment() -> dict[str, str]:
    """The variables that uv gets: the harmless ones of this process, and pip's index and certificate settings
    where uv has none of its own."""
    environment = {name: value for name, value in os.environ.items() if _PASSED_ON.fullmatch(name)}
    settings = {"PIP_CERT": "SSL_CERT_FILE"}
    if not _UV_INDEXES & set(environment):
        settings |= {"PIP_INDEX_URL": "UV_DEFAULT_INDEX", "PIP_EXTRA_INDEX_URL": "UV_INDEX"}
    for pip_name, uv_name in settings.items():
        if os.environ.get(pip_name):
            environment.setdefault(uv_name, os.environ[pip_name])
    return environment | {"NO_COLOR": "1", "UV_NO_PROGRESS": "1"}


def git_credentials(requirements: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """The requirements without the user information of their git URLs, and the variables by which git sends it.

    uv hands such a URL to git as an argument, and git to its transport helper: any user of the machine can read those,
    but not the environment of a process.
    """
    settings: dict[str, str] = {}

    def without(found: re.Match[str]) -> str:
        url = f"{found['scheme']}://{found['host']}{found['path']}"
        name, _, password = found["user"].partition(":")
        secret = base64.b64encode(f"{unquote(name)}:{unquote(password)}".encode()).decode()
        settings[f"http.{url}.extraHeader"] = f"Authorization: Basic {secret}"
        return f"git+{url}"

    lines = [_GIT_CREDENTIALS.sub(without, line) for line in requirements]
    variables = {"GIT_CONFIG_COUNT": str(len(settings))} if settings else {}
    for number, (key, value) in enumerate(settings.items()):
        variables |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
    return lines, variables


def run_uv(
    arguments: Sequence[str],
    folder: Path,
    say: Callable[[str], None],
    cancelled: threading.Event,
    lock: int,
    variables: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Runs uv in `folder`, in a process group of its own; `say` gets its words as they come. uv gets `variables` too.

    uv inherits the descriptor `lock`: should this process be killed, nobody builds in the folder before uv
    has ended. Raises EnvironmentBuildError with uv's most telling words, EnvironmentBuildCanceled soon after
    `cancelled` is set.
    """
    process = subprocess.Popen(
        [uv_program(), *arguments],
        cwd=folder,
        env={**uv_environment(), **variables},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        pass_fds=(lock,),
    )
    lines: list[str] = []
    try:
        for line in _lines(process, cancelled):
            lines.append(line)
            say(line)
        code = process.wait()
    finally:
        _end(process)
    if code != 0:
        raise EnvironmentBuildError(f"The environment's packages could not be installed: {telling_words(lines, code)}")


def _lines(process: subprocess.Popen[bytes], cancelled: threading.Event) -> Iterator[str]:
    """The output of `process` line by line until it ends."""
    assert process.stdout is not None
    pending = b""
    while True:
        if cancelled.is_set():
            raise EnvironmentBuildCanceled
        ended = process.poll() is not None
        ready, _, _ = select.select([process.stdout], [], [], 0 if ended else POLL_SECONDS)
        chunk = os.read(process.stdout.fileno(), 65536) if ready else b""
        *whole, pending = (pending + chunk).split(b"\n")
        yield from (line.decode(errors="replace") for line in whole)
        if not chunk and (ready or ended):  # all is read, or what keeps the pipe open is no longer uv
            break
    if pending:
        yield pending.decode(errors="replace")


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ends the process group of `process`, unless it has come to its end."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(_GRACE_SECONDS)
        with suppress(ProcessLookupError):  # a compiler that outlives uv, or uv itself
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    if process.stdout is not None:
        process.stdout.close()


def telling_words(lines: Sequence[str], code: int) -> str:
    """The most telling words of uv's output: its error with the cause, or the compiler's own error where a
    package could not be built."""
    start = next((number for number, line in enumerate(lines) if line.startswith("error: ")), None)
    if start is None:
        spoken = [line.strip() for line in lines if line.strip()]
        return without_secrets(spoken[-1]) if spoken else f"uv ended with status {code}"
    rest = lines[start + 1 :]
    headline = lines[start].removeprefix("error: ")
    details = [line.strip().removeprefix("cause: ") for line in rest if line.startswith("  cause: ")][:1]
    if headline.startswith("Failed to build"):
        details = [line.strip() for line in rest if re.search(r"\b(fatal error|\w*Error): ", line)][-1:] or details
    elif headline.startswith("Failed to download") or headline.startswith("Failed to fetch"):
        details = [line.strip().removeprefix("cause: ") for line in rest if line.startswith("  cause: ")][-1:]
    return without_secrets(": ".join([headline, *details]))[:600]
