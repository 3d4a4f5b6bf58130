"""What a run configuration asks for, and what is refused before there is a run."""

from __future__ import annotations

from typing import Any

import pytest

from azureml_local.cluster.jobspec import parse, resolve
from azureml_local.workspace.errors import Invalid, NotBuilt, NotFound


def configuration(**changes: Any) -> dict[str, Any]:
    return {"target": "cpu-cluster", "script": "train.py", "arguments": [], "nodeCount": 1, **changes}


def an_input(**changes: Any) -> dict[str, Any]:
    return {
        "dataLocation": {"dataset": {"id": "abc"}},
        "mechanism": "mount",
        "environmentVariableName": "input_1",
        **changes,
    }


def an_output(**place: str) -> dict[str, Any]:
    path = {"datastoreName": "workspaceblobstore", "relativePath": "results/{run-id}/{output-name}", **place}
    return {"mechanism": "upload", "outputLocation": {"dataPath": path}, "additionalOptions": None}


def test_arguments_become_words() -> None:
    spec = parse(configuration(arguments=["--rate", 0.5, "--epochs", 3, "a b"]))
    assert spec.argv == ("train.py", "--rate", "0.5", "--epochs", "3", "a b")


def test_a_command_is_words_and_no_shell_sees_it() -> None:
    assert parse(configuration(script=None, command="python train.py --x 'a b'; rm -rf /")).argv == (
        "python",
        "train.py",
        "--x",
        "a b;",
        "rm",
        "-rf",
        "/",
    )
    assert parse(configuration(script=None, command=["echo", "$HOME"])).argv == ("echo", "$HOME")


def test_inputs_stand_where_the_arguments_name_them() -> None:
    spec = parse(configuration(arguments=["--data", "DatasetConsumptionConfig:input_1"], data={"input_1": an_input()}))
    assert resolve(spec.argv, {"input_1": "/there"}) == ["train.py", "--data", "/there"]
    assert (spec.inputs[0].mechanism, spec.inputs[0].dataset_id) == ("mount", "abc")


def test_variables_of_the_run_win_over_the_environments() -> None:
    spec = parse(
        configuration(environment={"environmentVariables": {"A": "1", "B": "1"}}, environmentVariables={"B": 2})
    )
    assert spec.variables == {"A": "1", "B": "2"}


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"target": None}, Invalid, "no compute target"),
        ({"script": None}, Invalid, "neither a script nor a command"),
        ({"script": None, "command": "echo 'open"}, Invalid, "can't be split"),
        ({"arguments": [{"a": 1}]}, Invalid, "neither text nor a number"),
        ({"nodeCount": 2}, NotBuilt, "one node"),
        ({"outputData": {"result": {"mechanism": "link"}}}, NotBuilt, "mount and upload"),
        ({"outputData": {"result": an_output(relativePath="a/../../b")}}, Invalid, "no path in a datastore"),
        ({"outputData": {"result": an_output(datastoreName="elsewhere")}}, NotFound, "no datastore 'elsewhere'"),
        ({"outputData": {"result": []}}, Invalid, "must be an object"),
        ({"dataReferences": {"old": {}}}, NotBuilt, "Data references"),
        ({"communicator": "IntelMpi", "mpi": {"processCountPerNode": 4}}, NotBuilt, "one process"),
        ({"environmentVariables": {"A=B": "1"}}, Invalid, "no name of an environment variable"),
        ({"environmentVariables": ["A"]}, Invalid, "must be a mapping"),
        ({"data": {"x": {"dataLocation": {"uri": {}}}}}, NotBuilt, "isn't a dataset"),
        ({"data": {"x": an_input(mechanism="teleport")}}, Invalid, "must be mount, download or direct"),
        ({"maxRunDurationSeconds": -1}, Invalid, "positive number"),
    ],
)
def test_what_makes_no_sense_is_refused(changes: dict[str, Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        parse(configuration(**changes))
