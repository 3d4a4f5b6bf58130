"""Environments are built by uv, for real, from small packages; failures, cancels and waits are real ones too."""

from __future__ import annotations

import base64
import fcntl
import io
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import psutil
import pytest
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from azureml_local.runtime.environments import (
    EnvironmentBuildCanceled,
    EnvironmentBuilder,
    EnvironmentBuildError,
    JobEnvironment,
)
from azureml_local.runtime.installer import (
    Interpreter,
    choose,
    git_credentials,
    interpreters,
    telling_words,
    uv_environment,
)

HERE = f"python={sys.version_info.major}.{sys.version_info.minor}"
SIX = "six==1.16.0"


def definition(*conda: str, pip: list[str] | None = None, **python: Any) -> dict[str, Any]:
    """A definition as the SDK sends it."""
    dependencies: list[Any] = [HERE, *conda, {"pip": [SIX] if pip is None else pip}]
    return {
        "name": "tutorial-env",
        "version": "3",
        "environmentVariables": {"EXAMPLE_ENV_VAR": "EXAMPLE_VALUE"},
        "python": {
            "userManagedDependencies": False,
            "interpreterPath": "python",
            "condaDependenciesFile": None,
            "baseCondaEnvironment": None,
            "condaDependencies": {
                "name": "project_environment",
                "dependencies": dependencies,
                "channels": ["conda-forge"],
            },
            **python,
        },
        "docker": {"baseImage": "registry.example/openmpi4.1.0-ubuntu22.04", "baseDockerfile": None},
    }


def build(
    builder: EnvironmentBuilder, what: dict[str, Any], cancelled: threading.Event | None = None
) -> tuple[JobEnvironment, str]:
    log = io.StringIO()
    environment = builder.build(what, log, cancelled or threading.Event())
    environment.close()
    return environment, log.getvalue()


def fail(builder: EnvironmentBuilder, what: dict[str, Any]) -> tuple[str, str]:
    """The error's sentence and the log of a build that must fail."""
    log = io.StringIO()
    with pytest.raises(EnvironmentBuildError) as raised:
        builder.build(what, log, threading.Event())
    sentence = str(raised.value)
    assert "\n" not in sentence
    assert f"ERROR: {sentence}" in log.getvalue().splitlines()
    return sentence, log.getvalue()


def ask(python: Path, code: str) -> str:
    variables = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    return subprocess.run(
        [python, "-c", code], check=True, capture_output=True, text=True, env=variables
    ).stdout.strip()


def folders(cache: Path) -> list[Path]:
    return [path for path in cache.iterdir() if path.is_dir()]


@pytest.fixture
def builder(tmp_path: Path) -> EnvironmentBuilder:
    return EnvironmentBuilder(tmp_path / "cache")


@pytest.fixture
def empty_index() -> Iterator[str]:
    """The host and port of a package index that has nothing."""

    class Empty(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(404)

        def log_message(self, *arguments: object) -> None:
            """Keeps the test's output clean."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Empty) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@pytest.fixture
def silent_index() -> Iterator[str]:
    """The host and port of a package index that takes every call and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        yield f"127.0.0.1:{listener.getsockname()[1]}"


def test_a_definition_becomes_an_environment_once(builder: EnvironmentBuilder, tmp_path: Path) -> None:
    environment, log = build(builder, definition())
    assert not environment.cached
    assert ask(environment.python, "import six; print(six.__version__)") == "1.16.0"
    assert ask(environment.python, "import setuptools, pip; print('both')") == "both"  # as in every conda environment
    assert environment.digest == builder.digest(definition())
    assert f"Definition {environment.digest}" in log
    assert f"Packages: {SIX}\n" in log
    assert f"Python {sys.version.split()[0]}" in log
    assert " + six==1.16.0" in log  # uv's own words
    assert "Built in " in log
    assert "\x1b" not in log
    assert not list((tmp_path / "cache" / environment.digest).glob("requirements*"))

    again, log = build(EnvironmentBuilder(tmp_path / "cache"), definition() | {"name": "another", "version": "9"})
    assert again.cached
    assert again.python == environment.python
    assert again.seconds < 3
    assert "Taken from the cache" in log
    assert "+ six" not in log


def test_a_folder_without_its_marker_is_built_again(builder: EnvironmentBuilder, tmp_path: Path) -> None:
    folder = tmp_path / "cache" / builder.digest(definition())
    (folder / "venv" / "bin").mkdir(parents=True)
    (folder / "venv" / "bin" / "python").symlink_to(sys.executable)
    environment, _ = build(builder, definition())
    assert not environment.cached
    assert ask(environment.python, "import six; print(six.__version__)") == "1.16.0"
    marker = json.loads((folder / "environment.json").read_text())
    assert marker["digest"] == environment.digest

    environment.python.unlink()  # as when the Python it was made with is removed
    environment.python.symlink_to(tmp_path / "gone")
    assert not build(builder, definition())[0].cached


def test_environment_digest_depends_on_what_is_installed(builder: EnvironmentBuilder) -> None:
    one = definition("numpy", "scipy", pip=[SIX, "joblib", "--index-url https://user:old@a.example/simple"])
    other = definition("scipy", "numpy", pip=["joblib", SIX, "--index-url https://user:new@a.example/simple"])
    assert builder.digest(one) == builder.digest(other | {"name": "x", "version": None, "environmentVariables": {}})
    different = [
        definition("numpy", "scipy", pip=[SIX, "joblib"]),
        definition("numpy", pip=[SIX, "joblib", "--index-url https://a.example/simple"]),
        definition("numpy", "scipy", pip=[SIX, "joblib>1", "--index-url https://a.example/simple"]),
        definition("numpy", "scipy", pip=[SIX, "joblib", "--index-url https://b.example/simple"]),
        definition("numpy", "scipy", "python>=3.8", pip=[SIX, "joblib", "--index-url https://a.example/simple"]),
    ]
    assert len({builder.digest(what) for what in [one, *different]}) == 1 + len(different)


def test_a_package_that_does_not_exist_is_named(builder: EnvironmentBuilder, tmp_path: Path) -> None:
    sentence, log = fail(builder, definition(pip=["six==99.99"]))
    assert sentence.startswith("The environment's packages could not be installed: ")
    assert "there is no version of six==99.99" in sentence
    assert "six==99.99" in log.replace(sentence, "")
    assert folders(tmp_path / "cache") == []


def test_environment_conflict_is_reported_with_the_resolvers_message(builder: EnvironmentBuilder) -> None:
    sentence, _ = fail(builder, definition("six=1.15", pip=[SIX]))
    assert "six==1.15.*" in sentence
    assert SIX in sentence


def test_a_conda_package_without_a_counterpart_fails_the_build(builder: EnvironmentBuilder, tmp_path: Path) -> None:
    sentence, log = fail(builder, definition("cudatoolkit=11.3"))
    assert "cudatoolkit" in sentence
    assert log.startswith("Environment tutorial-env\n")
    assert not (tmp_path / "cache").exists()


def test_a_cancel_ends_uv_and_leaves_nothing(builder: EnvironmentBuilder, tmp_path: Path, silent_index: str) -> None:
    cancelled = threading.Event()
    what = definition(pip=[SIX, f"--index-url http://{silent_index}/simple"])
    with ThreadPoolExecutor() as pool:
        outcome = pool.submit(build, builder, what, cancelled)
        me = psutil.Process()
        deadline = time.monotonic() + 20
        running: list[psutil.Process] = []
        while not running and time.monotonic() < deadline:
            time.sleep(0.05)
            running = [child for child in me.children() if "install" in _command(child)]
        assert running, "uv did not start"
        cancelled.set()
        asked = time.monotonic()
        with pytest.raises(EnvironmentBuildCanceled):
            outcome.result(timeout=10)
    assert time.monotonic() - asked < 4
    assert not running[0].is_running()
    assert folders(tmp_path / "cache") == []


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def test_two_builds_of_one_definition_are_one(tmp_path: Path) -> None:
    def one() -> tuple[JobEnvironment, str]:
        return build(EnvironmentBuilder(tmp_path / "cache"), definition(pip=["six==1.15.0"]))

    with ThreadPoolExecutor(2) as pool:
        results = [outcome.result() for outcome in [pool.submit(one), pool.submit(one)]]
    assert sorted(environment.cached for environment, _ in results) == [False, True]
    assert len({environment.python for environment, _ in results}) == 1
    assert sum("Built in" in log for _, log in results) == 1


def test_a_build_waits_for_another_process_and_says_so(builder: EnvironmentBuilder, tmp_path: Path) -> None:
    what = definition()
    (tmp_path / "cache").mkdir()
    lock = tmp_path / "cache" / f"{builder.digest(what)}.lock"
    cancelled = threading.Event()
    log = io.StringIO()
    with lock.open("w") as held, ThreadPoolExecutor() as pool:
        fcntl.flock(held, fcntl.LOCK_EX)
        outcome = pool.submit(builder.build, what, log, cancelled)
        deadline = time.monotonic() + 20
        while "waiting for it" not in log.getvalue() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert log.getvalue().count("waiting for it") == 1
        assert not outcome.done()
        cancelled.set()
        with pytest.raises(EnvironmentBuildCanceled):
            outcome.result(timeout=5)
    assert folders(tmp_path / "cache") == []


@pytest.mark.case("secrets-unseen")
def test_a_password_is_in_no_log_no_error_and_no_file(
    builder: EnvironmentBuilder, tmp_path: Path, empty_index: str
) -> None:
    sentence, log = fail(builder, definition(pip=[SIX, f"--index-url http://user:hunter2@{empty_index}/simple"]))
    assert "six was not found" in sentence
    assert f"--index-url http://***@{empty_index}/simple is passed on to uv." in log
    assert "hunter2" not in sentence + log
    assert folders(tmp_path / "cache") == []


def test_azureml_packages_get_the_constraints_they_need(builder: EnvironmentBuilder, empty_index: str) -> None:
    def words(*pip: str) -> str:
        return fail(builder, definition(pip=[*pip, f"--index-url http://{empty_index}/simple"]))[1]

    assert words("azureml-core").count("Constraint added") == 2
    assert words("azureml-core==1.56").count("Constraint added") == 1
    assert "setuptools is as the definition has it" in words("azureml-core==1.56", "setuptools==82")
    assert "Constraint" not in words(SIX)


@pytest.mark.slow
def test_the_sdk_works_in_an_environment_that_names_it(builder: EnvironmentBuilder) -> None:
    environment, _ = build(builder, definition(pip=["azureml-core"]))
    code = (
        "import pkg_resources; from azureml.core import Run;"
        "from azureml.history._tracking import get_history_context_manager;"
        "print(type(Run.get_context()).__name__)"
    )
    assert ask(environment.python, code) == "_OfflineRun"
    assert Version(ask(environment.python, "import setuptools; print(setuptools.__version__)")) < Version("81")
    assert Version(ask(environment.python, "import azureml.core; print(azureml.core.VERSION)")) >= Version("1.50")


def test_packages_that_the_user_manages_are_left_to_the_user(builder: EnvironmentBuilder, tmp_path: Path) -> None:
    environment, log = build(builder, definition(userManagedDependencies=True))
    assert environment.python == Path(sys.executable)
    assert "managed by the user" in log
    link = tmp_path / "my-python"
    link.symlink_to(sys.executable)
    environment, _ = build(builder, definition(userManagedDependencies=True, interpreterPath=str(link)))
    assert environment.python == link
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("path", ["/no/such/python", "bin/python", "/etc/passwd", "/", "/bin/true"])
def test_interpreter_path_that_is_no_interpreter_is_refused(builder: EnvironmentBuilder, path: str) -> None:
    sentence, _ = fail(builder, definition(userManagedDependencies=True, interpreterPath=path))
    assert f"'{path}'" in sentence


def test_host_is_the_servers_own_interpreter_whatever_is_asked_for(tmp_path: Path) -> None:
    environment, log = build(EnvironmentBuilder(tmp_path / "cache", host=True), definition("cudatoolkit"))
    assert environment.python == Path(sys.executable)
    assert "no packages are installed" in log
    assert not (tmp_path / "cache").exists()


def test_environment_without_packages_is_refused_with_advice(builder: EnvironmentBuilder) -> None:
    what = definition()
    del what["python"]["condaDependencies"]
    sentence, _ = fail(builder, what)
    assert "registry.example/openmpi4.1.0-ubuntu22.04" in sentence
    assert "CondaDependencies" in sentence


def test_a_cache_that_cannot_be_written_is_a_clear_failure(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    sentence, _ = fail(EnvironmentBuilder(tmp_path / "file" / "cache"), definition())
    assert "AZUREML_LOCAL_CACHE" in sentence
    assert str(tmp_path) in sentence


def test_this_machines_interpreters_are_found_its_own_first() -> None:
    found = interpreters()
    assert found[0].path == Path(sys.executable)
    assert found[0].version.release == sys.version_info[:3]
    assert all(one.path.exists() for one in found)


@pytest.mark.parametrize(
    ("asked", "chosen", "said"),
    [
        ("", "3.11.7", "Python 3.11.7"),
        (">=3.8", "3.11.7", "asked for: >=3.8"),
        ("==3.10.*", "3.10.13", "asked for: ==3.10.*"),
        ("==3.10.18.*", "3.10.13", "the nearest here to the one asked for (==3.10.18.*)"),
        (">=3.12", "3.13.0", "asked for"),
        ("==3.12.*", "3.13.0", "the nearest"),  # 3.11 is as near: the newer of two
        ("==3.9.*", "3.10.13", "the nearest"),
        ("==3.6.*", "3.7.16", "the nearest"),
        ("==3.5.*", "3.7.16", "the nearest"),  # uv makes no environment with the 3.5 that is here
        ("==3.20.*", "3.13.0", "the nearest"),
        ("==3.*", "3.11.7", "asked for"),
    ],
)
def test_the_python_asked_for_or_the_nearest_is_chosen(asked: str, chosen: str, said: str) -> None:
    versions = ["3.11.7", "3.13.0", "3.10.13", "3.10.2", "3.7.16", "3.5.10"]
    found = [Interpreter(Path(f"/opt/{version}/bin/python"), Version(version)) for version in versions]
    choice = choose(SpecifierSet(asked), found)
    assert str(choice.interpreter.version) == chosen
    assert said in choice.note


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ("==3.10.18.*", None),
        ("==3.8.13", "asks for Python ==3.8.13, which is not on this machine (install it, for example by 'uv python"),
        ("==3.6.2", "which is not on this machine (install it, for example by 'pyenv install 3.6'); Python 3.7.16"),
        ("==3.5.*", "which is too old: a job needs 3.6 or later; Python 3.7.16, the nearest"),
    ],
)
def test_another_minor_version_than_asked_for_is_a_warning(asked: str, words: str | None) -> None:
    found = [Interpreter(Path("/bin/python"), Version(version)) for version in ("3.10.13", "3.7.16", "3.5.10")]
    warning = choose(SpecifierSet(asked), found).warning
    assert warning is None if words is None else words in str(warning)


def test_interpreter_that_is_too_old_is_refused(builder: EnvironmentBuilder, tmp_path: Path) -> None:
    old = next((one for one in Path.home().glob(".pyenv/versions/2.7.*/bin/python")), None)
    if old is None:
        pytest.skip("there is no Python 2 on this machine")
    sentence, _ = fail(builder, definition(userManagedDependencies=True, interpreterPath=str(old)))
    assert "is Python 2.7" in sentence
    assert "too old: a job needs Python 3.6 or later" in sentence


def test_interpreter_of_another_major_version_is_refused() -> None:
    with pytest.raises(EnvironmentBuildError, match=r"no Python 2;"):
        choose(SpecifierSet("==2.7.*"), [Interpreter(Path("/usr/bin/python3"), Version("3.11.7"))])


@pytest.mark.case("environment-builds")
def test_uv_gets_indexes_and_certificates_but_no_secrets_and_no_other_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in [name for name in os.environ if name.startswith(("UV_", "PIP_", "SSL_"))]:
        monkeypatch.delenv(name)
    for name in (
        "MSI_SECRET",
        "AZURE_CLIENT_SECRET",
        "VIRTUAL_ENV",
        "PYTHONPATH",
        "UV_PYTHON",
        "UV_SYSTEM_PYTHON",
        "PIP_TARGET",
    ):
        monkeypatch.setenv(name, "x")
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example")
    monkeypatch.setenv("PIP_INDEX_URL", "https://a.example/simple")
    monkeypatch.setenv("PIP_CERT", "/etc/company.pem")
    given = uv_environment()
    assert not {
        "MSI_SECRET",
        "AZURE_CLIENT_SECRET",
        "VIRTUAL_ENV",
        "PYTHONPATH",
        "UV_PYTHON",
        "UV_SYSTEM_PYTHON",
    } & set(given)
    assert not [name for name in given if name.startswith("PIP_")]
    assert given["HTTPS_PROXY"] == "http://proxy.example"
    assert given["UV_DEFAULT_INDEX"] == "https://a.example/simple"
    assert given["SSL_CERT_FILE"] == "/etc/company.pem"

    monkeypatch.setenv("UV_INDEX", "https://b.example/simple")  # uv has its own setting: pip's do not mix in
    given = uv_environment()
    assert given["UV_INDEX"] == "https://b.example/simple"
    assert "UV_DEFAULT_INDEX" not in given


@pytest.mark.parametrize(
    ("output", "words"),
    [
        (
            "Resolved\nerror: No solution found\n  cause: Because a and b\n\nhint: x",
            "No solution found: Because a and b",
        ),
        (
            "error: Failed to build `x==1`\n  cause: The build backend returned an error\n  cause: Call failed\n\n"
            "         [stderr]\n         x.c:1:1: fatal error: graphviz.h: No such file\n         gave up",
            "Failed to build `x==1`: x.c:1:1: fatal error: graphviz.h: No such file",
        ),
        (
            "error: Failed to download `x`\n  cause: Request failed\n  cause: Connection refused (os error 111)",
            "Failed to download `x`: Connection refused (os error 111)",
        ),
        ("thread panicked at https://user:word@a.example/\n\n", "thread panicked at https://***@a.example/"),
        ("", "uv ended with status 2"),
    ],
)
def test_most_relevant_lines_of_uvs_output_are_found(output: str, words: str) -> None:
    assert telling_words(output.splitlines(), 2) == words


@pytest.mark.case("secrets-unseen")
def test_git_credentials_reach_the_git_server_and_no_argument(
    builder: EnvironmentBuilder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, asked = tmp_path / "seen", []
    real = shutil.which("git")
    (tmp_path / "git").write_text(f'#!/bin/sh\necho "$@" >> {seen}\nexec {real} "$@"\n')
    (tmp_path / "git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    line = "private @ git+https://me:hunter%402@127.0.0.1:9/team/private.git@v1"
    sentence, log = fail(builder, definition(pip=[line]))
    assert "https://127.0.0.1:9/team/private.git" in seen.read_text()  # uv has asked git
    assert "hunter" not in seen.read_text() + sentence + log

    lines, variables = git_credentials([line.replace("https", "http"), "six==1.17"])
    assert lines == ["private @ git+http://127.0.0.1:9/team/private.git@v1", "six==1.17"]

    class Server(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append((self.path.partition("?")[0], self.headers["Authorization"]))
            self.send_error(404)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Server) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        host = f"127.0.0.1:{server.server_port}"
        given = {name: value.replace("127.0.0.1:9", host) for name, value in variables.items()}
        for path in ("team/private.git", "other/private.git"):
            command = ["git", "ls-remote", f"http://{host}/{path}"]
            subprocess.run(command, env={**os.environ, **given}, capture_output=True, check=False)
        server.shutdown()
    mine = "Basic " + base64.b64encode(b"me:hunter@2").decode()
    assert asked == [("/team/private.git/info/refs", mine), ("/other/private.git/info/refs", None)]
    assert git_credentials(["six==1.17", "git+ssh://git@a.example/x"]) == (
        ["six==1.17", "git+ssh://git@a.example/x"],
        {},
    )
