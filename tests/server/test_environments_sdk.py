"""Environments, through the real SDK."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from azureml_local.runtime.installer import interpreters


def packages(name: str, *pip: str) -> Any:
    from azureml.core import Environment
    from azureml.core.conda_dependencies import CondaDependencies

    environment = Environment(name)
    environment.python.conda_dependencies = CondaDependencies.create(pip_packages=list(pip))
    return environment


@pytest.mark.sdk(
    "Environment",
    "Environment.register",
    "Environment.get",
    "Environment.list",
    "Environment.clone",
    "Workspace.environments",
)
def test_an_environment_gets_a_new_version_only_when_it_changed(workspace: Any) -> None:
    from azureml.core import Environment

    environment = packages("versions", "six==1.16.0")
    assert environment.register(workspace).version == "1"
    assert environment.register(workspace).version == "1"
    environment.python.conda_dependencies.add_pip_package("toml==0.10.2")
    assert environment.register(workspace).version == "2"
    found = Environment.get(workspace, "versions", version="1")
    assert "toml==0.10.2" not in list(found.python.conda_dependencies.pip_packages)
    assert found.clone("versions-cloned").register(workspace).version == "1"
    listed = Environment.list(workspace)
    assert listed["versions"].version == "2"
    assert {"versions", "versions-cloned"} <= set(workspace.environments) == set(listed)


@pytest.mark.sdk("Environment.register", "Environment.get", "Environment.label")
def test_environment_explicit_versions_and_labels_are_resolved(workspace: Any) -> None:
    from azureml.core import Environment

    environment = packages("own", "six==1.16.0")
    environment.version = "7"
    assert environment.register(workspace).version == environment.register(workspace).version == "7"
    environment.python.conda_dependencies.add_pip_package("toml==0.10.2")
    with pytest.raises(Exception, match=r"(?s)Code: 409.*a version never changes"):
        environment.register(workspace)
    environment.version = None
    assert environment.register(workspace).version == "8"
    environment.version = "beta.1"
    environment.python.conda_dependencies.add_pip_package("idna")
    assert environment.register(workspace).version == "beta.1"
    assert Environment.get(workspace, "own").version == "beta.1"
    assert Environment.get(workspace, "own", label="Latest").version == "beta.1"

    Environment.label(workspace, "own", "7", ["good", "checked"])
    Environment.label(workspace, "own", "8", ["good"])
    assert Environment.get(workspace, "own", label="good").version == "8"
    assert Environment.get(workspace, "own", label="checked").version == "7"
    Environment.label(workspace, "own", "7", [])
    for wanted in ({"label": "checked"}, {"version": "9"}):
        with pytest.raises(Exception, match="Code: 404"):
            Environment.get(workspace, "own", **wanted)


@pytest.mark.sdk_refused(
    "Environment.register",
    "Environment.get",
    "Environment.add_private_pip_wheel",
    "Environment.from_docker_build_context",
)
def test_environment_invalid_definition_is_refused(workspace: Any, tmp_path: Path) -> None:
    from azureml.core import Environment
    from azureml.core.environment import DockerBuildContext

    for name in ("a/b", "", "ü", "n" * 256):
        environment = packages("x", "six")
        environment.name = name
        with pytest.raises(Exception, match=r"(?s)Code: 400.*is no environment name"):
            environment.register(workspace)
    for version in ("latest", "v 1", "v" * 65):
        environment = packages("refused", "six")
        environment.version = version
        with pytest.raises(Exception, match=r"(?s)Code: 400.*is no version"):
            environment.register(workspace)
    with pytest.raises(Exception, match=r"(?s)Code: 400.*characters; 1,000,000 are allowed"):
        packages("refused", "a" * 1_000_000).register(workspace)
    odd = packages("refused", "six")
    odd.python.conda_dependencies._conda_dependencies["dependencies"] = {"pip": "six"}
    with pytest.raises(Exception, match=r"(?s)Code: 400.*conda file's content"):
        odd.register(workspace)
    with pytest.raises(Exception, match="Code: 404"):
        Environment.get(workspace, "refused")
    wheel = tmp_path / "own-1.0-py3-none-any.whl"
    wheel.write_bytes(b"PK")
    with pytest.raises(Exception, match=r"add_private_pip_wheel is not built.*https"):
        Environment.add_private_pip_wheel(workspace, str(wheel))
    (tmp_path / "Dockerfile").write_text("FROM scratch")
    with pytest.raises(Exception, match=r"environment of a Docker build context.*from_conda_specification"):
        DockerBuildContext.from_local_directory(workspace, str(tmp_path))


@pytest.mark.sdk("Environment.get")
@pytest.mark.parametrize("wanted", [{}, {"version": "12"}, {"label": "latest"}], ids=["newest", "version", "label"])
def test_environment_curated_is_its_packages_in_any_spelling(workspace: Any, wanted: dict[str, str]) -> None:
    from azureml.core import Environment

    for name in ("AzureML-sklearn-1.1", "azureml-SKLEARN-1.1"):
        found = Environment.get(workspace, name, **wanted)
        conda = found.python.conda_dependencies
        assert (found.name, found.version) == ("sklearn-1.1", wanted.get("version", "1"))
        assert (conda.get_python_version(), "scikit-learn~=1.1.0" in conda.pip_packages) == ("3.9", True)
    assert {"AzureML-Minimal", "AzureML-Tutorial"} <= set(Environment.list(workspace))


@pytest.mark.sdk_refused("Environment.get")
@pytest.mark.sdk("Environment.register")
def test_environment_curated_without_a_counterpart_is_refused_with_an_alternative(workspace: Any) -> None:
    from azureml.core import Environment

    name = "AzureML-pytorch-1.10-ubuntu18.04-py38-cuda11-gpu"
    for wanted in ({}, {"version": "1"}, {"label": "latest"}):
        with pytest.raises(Exception, match=r"needs CUDA.*under that very name with torch==1\.10"):
            Environment.get(workspace, name, **wanted)
    packages(name, "torch").register(workspace)
    assert "torch" in list(Environment.get(workspace, name).python.conda_dependencies.pip_packages)
    with pytest.raises(Exception, match="Code: 404"):
        Environment.get(workspace, "sklearn-1.5")  # the registry's; a workspace has those with the prefix


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "modules"),
    [
        ("AzureML-Minimal", "azureml.core"),
        ("AzureML-sklearn-1.0-ubuntu20.04-py38-cpu", "azureml.core, azureml.mlflow, sklearn, pandas, matplotlib"),
    ],
)
def test_environment_curated_is_built_and_imports(
    workspace: Any, compute: Any, experiment: Any, tmp_path: Path, name: str, modules: str
) -> None:
    """The third of the most used ones, sklearn-1.5, by a job of SDK v2 (sdk_v2/test_command_jobs.py)."""
    from azureml.core import Environment, ScriptRunConfig

    if "py38" in name and not any(str(one.version).startswith("3.8.") for one in interpreters()):
        pytest.skip("there is no Python 3.8 on this machine")
    script = f"import {modules}\nazureml.core.Run.get_context(allow_offline=False).log('imported', 1)\n"
    (tmp_path / "main.py").write_text(script)
    environment = Environment.get(workspace, name)
    run = experiment.submit(ScriptRunConfig(str(tmp_path), "main.py", compute_target=compute, environment=environment))
    run.wait_for_completion()
    assert run.get_metrics() == {"imported": 1}
    used = run.get_environment()
    assert (used.name, used.version) == (environment.name, environment.version)
    assert name in Environment.list(workspace)


@pytest.mark.sdk(
    "Environment.from_conda_specification",
    "Environment.from_pip_requirements",
    "Environment.from_docker_image",
    "Environment.from_dockerfile",
    "Environment.save_to_directory",
    "Environment.load_from_directory",
    "Environment.environment_variables",
)
def test_environment_definition_round_trips(workspace: Any, tmp_path: Path) -> None:
    from azureml.core import Environment

    (tmp_path / "conda.yml").write_text(
        "name: x\nchannels: [conda-forge]\ndependencies:\n- python=3.11\n- pip:\n  - six==1.16.0\n"
    )
    (tmp_path / "requirements.txt").write_text("six==1.16.0\ntoml\n")
    conda = Environment.from_conda_specification("from-conda", str(tmp_path / "conda.yml"))
    pip = Environment.from_pip_requirements("from-pip", str(tmp_path / "requirements.txt"), pip_version="24.0")
    image = Environment.from_docker_image(
        "from-image", "ubuntu:22.04", pip_requirements=str(tmp_path / "requirements.txt")
    )
    dockerfile = Environment.from_dockerfile("from-dockerfile", "FROM ubuntu:22.04\nRUN true\n")
    for environment in (conda, pip, image, dockerfile):
        environment.environment_variables = {"GREETING": "hallo"}
        environment.register(workspace)
        found = Environment.get(workspace, environment.name)
        found.save_to_directory(str(tmp_path / environment.name))
        loaded = Environment.load_from_directory(str(tmp_path / environment.name))
        loaded.version = None
        assert loaded.register(workspace).version == "1"  # nothing was lost on the way
        assert found.environment_variables == {"GREETING": "hallo"}
    assert list(Environment.get(workspace, "from-conda").python.conda_dependencies.conda_channels) == ["conda-forge"]
    assert Environment.get(workspace, "from-image").docker.base_image == "ubuntu:22.04"
    assert "RUN true" in Environment.get(workspace, "from-dockerfile").docker.base_dockerfile


@pytest.mark.sdk_refused("Environment.from_existing_conda_environment")
def test_an_existing_conda_environment_needs_conda(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The SDK itself runs ``conda env export``; the workspace has no part in it."""
    from azureml.core import Environment

    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="conda"):
        Environment.from_existing_conda_environment("existing", "base")


@pytest.mark.sdk(
    "Environment.build",
    "ImageBuildDetails.status",
    "ImageBuildDetails.get_log",
    "ImageBuildDetails.wait_for_completion",
    "Environment.get_image_details",
    "DockerImageDetails.image_exist",
    "DockerImageDetails.image",
    "DockerImageDetails.repository",
    "DockerImageDetails.registry",
    "DockerImageDetails.dockerfile",
    "DockerImageDetails.interpreter_path",
    "DockerImageDetails.environment_path",
)
@pytest.mark.sdk_refused("Environment.build_local")
def test_environment_build_has_a_status_and_a_log(
    workspace: Any, here: Any, wait_for: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    from azureml.core import Environment

    build = here.clone("built").build(workspace)
    build.wait_for_completion()
    assert build.status == "Succeeded"
    assert "The packages are managed by the user" in build.get_log()
    assert "is not started: the job runs on this machine" in build.get_log()  # the Docker image
    found = Environment.get(workspace, "built")
    details = found.get_image_details(workspace)
    assert not details.image_exist
    assert details.image == details.repository == found.docker.base_image
    assert (details.registry, details.dockerfile, details.interpreter_path, details.environment_path) == (None,) * 4
    with pytest.raises(Exception, match=r"(?s)Code: 501.*there is no image to build"):
        found.build_local(workspace)

    impossible = packages("never-built")
    impossible.python.conda_dependencies.add_conda_package("cudatoolkit=11.3")
    failing = impossible.build(workspace, image_build_compute="any")
    wait_for(lambda: failing.status != "Running")
    assert failing.status == "Failed"
    assert "ERROR: The conda package cudatoolkit has no counterpart on PyPI" in failing.get_log()

    own = here.clone("own-interpreter")
    for path, ending, words in (
        (sys.executable, "Succeeded", f"Python: {sys.executable}"),
        ("/no/such/python", "Failed", "is not a program on this machine"),
    ):
        own.python.interpreter_path = path
        built = own.build(workspace)
        wait_for(lambda built=built: built.status != "Running")
        assert built.status == ending
        assert words in built.get_log()
    failing._location += "0"
    with pytest.raises(Exception, match=r"(?s)Code: 404.*Call Environment.build again"):
        _ = failing.status


@pytest.mark.sdk("Environment", "Environment.environment_variables", "Run.get_environment")
def test_a_job_runs_in_the_packages_it_asks_for(workspace: Any, compute: Any, experiment: Any, tmp_path: Path) -> None:
    from azureml.core import ScriptRunConfig
    from azureml.core.conda_dependencies import CondaDependencies

    (tmp_path / "main.py").write_text("import os, six, sys; print('six', six.__version__, os.environ['GREETING'])")
    environment = packages("six-only")
    environment.environment_variables = {"GREETING": "hallo"}
    environment.python.conda_dependencies = CondaDependencies.create(
        python_version="3.11", pip_packages=["six==1.16.0"], pin_sdk_version=False
    )
    environment.python.conda_dependencies.remove_pip_package("azureml-defaults")
    run = experiment.submit(ScriptRunConfig(str(tmp_path), "main.py", compute_target=compute, environment=environment))
    run.wait_for_completion()
    logs = run.get_details_with_logs()["logFiles"]
    assert "six 1.16.0 hallo" in logs["user_logs/std_log.txt"]
    assert "six" in logs["azureml-logs/20_image_build_log.txt"]
    used = run.get_environment()  # submitting registers it, as in Azure
    assert (used.name, used.version) == ("six-only", "1")
    assert environment.register(workspace).version == "1"


def test_environment_unresolvable_packages_fail_the_run_with_the_resolvers_message(
    compute: Any, experiment: Any, tmp_path: Path
) -> None:
    from azureml.core import ScriptRunConfig

    (tmp_path / "main.py").write_text("print('never')")
    environment = packages("impossible", "six==999.0")
    run = experiment.submit(ScriptRunConfig(str(tmp_path), "main.py", compute_target=compute, environment=environment))
    run.wait_for_completion(raise_on_error=False)
    details = run.get_details_with_logs()
    assert details["status"] == "Failed"
    assert "six" in details["error"]["error"]["message"]
    assert "999" in details["logFiles"]["azureml-logs/20_image_build_log.txt"]


def submit(experiment: Any, compute: Any, folder: Path, text: str, python: str, *pip: str, **options: Any) -> Any:
    """A run of a script in an environment with this Python and these packages."""
    from azureml.core import Environment, ScriptRunConfig
    from azureml.core.conda_dependencies import CondaDependencies

    (folder / "main.py").write_text(text)
    environment = Environment(f"python-{python}")
    environment.python.conda_dependencies = CondaDependencies.create(
        python_version=python, pip_packages=list(pip), pin_sdk_version=False
    )
    if "azureml-defaults" not in pip:
        environment.python.conda_dependencies.remove_pip_package("azureml-defaults")
    what = options or {"script": "main.py"}
    return experiment.submit(ScriptRunConfig(str(folder), compute_target=compute, environment=environment, **what))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # the SDK's own process, on local
@pytest.mark.parametrize(
    ("version", "target"), [("3.6", "tests"), ("3.6", "local"), ("3.8", "tests"), ("3.12", "tests")]
)
def test_job_runs_in_the_python_it_asks_for(
    workspace: Any, compute: Any, experiment: Any, tmp_path: Path, version: str, target: str
) -> None:
    if not any(str(one.version).startswith(f"{version}.") for one in interpreters()):
        pytest.skip(f"there is no Python {version} on this machine")
    run = submit(
        experiment,
        target,
        tmp_path,
        "import sys\nfrom azureml.core import Run\n"
        "Run.get_context(allow_offline=False).log('minor', sys.version_info[1])\n"
        "open('outputs/model.txt', 'w').write('a model')\n",
        version,
        "azureml-core",
    )
    run.wait_for_completion()
    assert run.get_metrics() == {"minor": int(version.split(".")[1])}
    assert "outputs/model.txt" in run.get_file_names()
    assert run.get_details().get("warnings", []) == []


def test_environment_substitute_python_is_a_warning_of_the_run(compute: Any, experiment: Any, tmp_path: Path) -> None:
    run = submit(experiment, compute, tmp_path, "print('ran')", "3.5.2", "six==1.16.0")
    run.wait_for_completion()
    (warning,) = run.get_details()["warnings"]
    assert "The Environment asks for Python ==3.5.2.*, which is too old" in warning["message"]
    log = run.get_details_with_logs()["logFiles"]["user_logs/std_log.txt"]
    assert log.splitlines() == [f"azureml-local: {warning['message']}", *log.splitlines()[1:]]
    assert "ran" in log
    run = submit(experiment, compute, tmp_path, "print('never')", "3.5.2", "six==999.0")
    run.wait_for_completion(raise_on_error=False)
    message = run.get_details()["error"]["error"]["message"]
    assert "six==999.0" in message
    assert "asks for Python ==3.5.2.*" in message


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # the SDK's own process, on local
@pytest.mark.parametrize("what", [{"script": "main.py"}, {"command": ["python", "main.py"]}], ids=["script", "command"])
@pytest.mark.parametrize("target", ["tests", "local"])
def test_outputs_and_logs_of_a_job_without_the_sdk_are_kept(
    compute: Any, experiment: Any, tmp_path: Path, what: dict[str, Any], target: str
) -> None:
    here = ".".join(map(str, sys.version_info[:2]))
    script = "for name in ('outputs', 'logs'): open(name + '/a.txt', 'w').write('a')\n"
    run = submit(experiment, target, tmp_path, script, here, "six==1.16.0", **what)
    run.wait_for_completion()
    assert {"outputs/a.txt", "logs/a.txt"} <= set(run.get_file_names())


def test_failure_outside_the_script_is_not_reported_as_a_user_error(
    compute: Any, experiment: Any, tmp_path: Path
) -> None:
    package = tmp_path / "azureml" / "history"
    package.mkdir(parents=True)
    (package / "_tracking.py").write_text("raise RuntimeError('broken')")
    here = ".".join(map(str, sys.version_info[:2]))
    run = submit(experiment, compute, tmp_path, "print('never')", here, "six==1.16.0")
    run.wait_for_completion(raise_on_error=False)
    error = run.get_details()["error"]["error"]
    assert error["code"] == "ServiceError"
    assert "outside of the script" in error["message"]


def test_what_a_job_installs_is_its_own(compute: Any, experiment: Any, tmp_path: Path) -> None:
    here = ".".join(map(str, sys.version_info[:2]))
    script = "import six, sys; print('six', six.__version__, sys.prefix)"
    install = {"command": "pip install -q --disable-pip-version-check six==1.15.0 && python main.py"}
    runs = [
        submit(experiment, compute, tmp_path, script, here, "six==1.16.0", **how)
        for how in (install, {"script": "main.py"}, {"script": "main.py"})
    ]
    said = []
    for run in runs:
        run.wait_for_completion()
        run.download_file("user_logs/std_log.txt", str(tmp_path / "log"))
        said.append((tmp_path / "log").read_text())
    assert "six 1.15.0" in said[0]
    assert all("six 1.16.0" in text for text in said[1:])
    assert len({text.split()[-1] for text in said}) == 3


def test_variables_of_a_conda_file_are_a_jobs(compute: Any, experiment: Any, tmp_path: Path) -> None:
    from azureml.core import Environment, ScriptRunConfig

    (tmp_path / "conda.yml").write_text(
        f"dependencies:\n- python={sys.version_info[0]}.{sys.version_info[1]}\n- pip:\n  - six==1.16.0\n"
        "variables:\n  GREETING: hallo\n  NUMBER: 3\n  HIDDEN: by conda\n"
    )
    environment = Environment.from_conda_specification("conda-variables", str(tmp_path / "conda.yml"))
    environment.environment_variables = {"HIDDEN": "by the environment"}
    command = "echo $GREETING $NUMBER $HIDDEN"
    run = experiment.submit(
        ScriptRunConfig(str(tmp_path), command=command, compute_target=compute, environment=environment)
    )
    run.wait_for_completion()
    run.download_file("user_logs/std_log.txt", str(tmp_path / "log"))
    assert "hallo 3 by the environment" in (tmp_path / "log").read_text()
