"""Models and environments, through the real SDK."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

MAKE_MODEL = """
    import os
    os.makedirs("outputs", exist_ok=True)
    open("outputs/model.pkl", "wb").write(b"not really a pickle: nobody here may load it")
"""


def test_a_model_of_a_run_has_versions_and_its_bytes(
    submit: Callable[..., Any], workspace: Any, tmp_path: Path
) -> None:
    from azureml.core import Model

    run = submit(MAKE_MODEL)
    run.wait_for_completion()
    first = run.register_model("of-a-run", model_path="outputs/model.pkl", tags={"kind": "test"})
    second = run.register_model("of-a-run", model_path="outputs/model.pkl")
    assert (first.id, second.id) == ("of-a-run:1", "of-a-run:2")
    assert Model(workspace, "of-a-run").version == 2
    assert Model(workspace, "of-a-run", version=1).tags == {"kind": "test"}
    assert [model.version for model in Model.list(workspace, name="of-a-run")] == [2, 1]
    assert [model.version for model in Model.list(workspace, tags=[["kind", "test"]])] == [1]
    path = first.download(str(tmp_path), exist_ok=True)
    assert b"nobody here may load it" in Path(path).read_bytes()


def test_a_model_from_a_local_file(workspace: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from azureml.core import Model

    monkeypatch.chdir(tmp_path)
    Path("local.bin").write_bytes(b"local")
    model = Model.register(workspace, "local.bin", "from-a-file", description="a file")
    assert (model.version, model.description) == (1, "a file")
    assert Path(model.download(str(tmp_path / "back"))).read_bytes() == b"local"


def test_registering_what_the_run_does_not_have_fails(submit: Callable[..., Any]) -> None:
    run = submit("print()")
    run.wait_for_completion()
    with pytest.raises(Exception, match=r"outputs/nothing\.pkl"):
        run.register_model("nothing", model_path="outputs/nothing.pkl")


def test_an_environment_gets_a_new_version_only_when_it_changed(workspace: Any) -> None:
    from azureml.core import Environment
    from azureml.core.conda_dependencies import CondaDependencies

    environment = Environment("versions")
    environment.python.conda_dependencies = CondaDependencies.create(pip_packages=["six==1.16.0"])
    assert environment.register(workspace).version == "1"
    assert environment.register(workspace).version == "1"
    environment.python.conda_dependencies.add_pip_package("toml==0.10.2")
    assert environment.register(workspace).version == "2"
    found = Environment.get(workspace, "versions", version="1")
    assert "toml==0.10.2" not in list(found.python.conda_dependencies.pip_packages)
    assert "versions" in Environment.list(workspace)


def test_a_curated_environment_is_answered_with_what_to_do(workspace: Any) -> None:
    from azureml.core import Environment

    with pytest.raises(Exception, match="Define the packages yourself"):
        Environment.get(workspace, "AzureML-sklearn-1.0-ubuntu20.04-py38-cpu")


def test_a_job_runs_in_the_packages_it_asks_for(
    submit: Callable[..., Any], here: Any, compute: Any, experiment: Any, tmp_path: Path
) -> None:
    from azureml.core import Environment, ScriptRunConfig
    from azureml.core.conda_dependencies import CondaDependencies

    (tmp_path / "main.py").write_text("import six, sys; print('six', six.__version__, sys.prefix)")
    environment = Environment("six-only")
    environment.python.conda_dependencies = CondaDependencies.create(
        python_version="3.11", pip_packages=["six==1.16.0"], pin_sdk_version=False
    )
    environment.python.conda_dependencies.remove_pip_package("azureml-defaults")
    run = experiment.submit(ScriptRunConfig(str(tmp_path), "main.py", compute_target=compute, environment=environment))
    run.wait_for_completion()
    logs = run.get_details_with_logs()["logFiles"]
    assert "six 1.16.0" in logs["user_logs/std_log.txt"]
    assert "six" in logs["azureml-logs/20_image_build_log.txt"]


def test_packages_that_cannot_be_had_fail_the_run_with_the_resolvers_words(
    compute: Any, experiment: Any, tmp_path: Path
) -> None:
    from azureml.core import Environment, ScriptRunConfig
    from azureml.core.conda_dependencies import CondaDependencies

    (tmp_path / "main.py").write_text("print('never')")
    environment = Environment("impossible")
    environment.python.conda_dependencies = CondaDependencies.create(pip_packages=["six==999.0"])
    run = experiment.submit(ScriptRunConfig(str(tmp_path), "main.py", compute_target=compute, environment=environment))
    run.wait_for_completion(raise_on_error=False)
    details = run.get_details_with_logs()
    assert details["status"] == "Failed"
    assert "six" in details["error"]["error"]["message"]
    assert "999" in details["logFiles"]["azureml-logs/20_image_build_log.txt"]
