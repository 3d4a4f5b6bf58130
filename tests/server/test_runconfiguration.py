"""What a run configuration asks for, and what is refused before there is a run."""

from __future__ import annotations

from typing import Any

import pytest

from azureml_local.runtime.placeholders import resolve, resolve_command
from azureml_local.server.dataplane.runconfiguration import parse_run_configuration as parse
from azureml_local.workspace.errors import Invalid, NotBuilt
from azureml_local.workspace.jobs import Distribution


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


def test_arguments_become_words_and_no_shell_sees_them() -> None:
    spec = parse(
        configuration(arguments=["--rate", 0.5, "--epochs", 3, True, "a b", "; rm -rf /", "$(id)", "x\ny", ""])
    )
    assert (spec.script, spec.command) == ("train.py", None)
    assert spec.arguments == ("--rate", "0.5", "--epochs", "3", "True", "a b", "; rm -rf /", "$(id)", "x\ny", "")


def test_arguments_in_one_text_are_split() -> None:
    assert parse(configuration(arguments="--x 'a b' ; $(id)")).arguments == ("--x", "a b", ";", "$(id)")


def test_a_command_is_a_line_for_the_shell_as_in_azure() -> None:
    line = "export PYTHONPATH=$PWD && python train.py | tee log"
    assert parse(configuration(script=None, command=line)).command == line
    assert parse(configuration(script=None, command=["echo", "a b", 3])).command == "echo a b 3"


def test_inputs_are_placed_where_the_arguments_name_them() -> None:
    spec = parse(configuration(arguments=["--data", "DatasetConsumptionConfig:input_1"], data={"input_1": an_input()}))
    assert resolve(spec.arguments, {"input_1": "/there"}) == ["--data", "/there"]
    assert (spec.inputs[0].mechanism, spec.inputs[0].dataset_id) == ("mount", "abc")


def test_input_path_with_blanks_is_one_word_of_a_command() -> None:
    command = "ls DatasetConsumptionConfig:in_10 DatasetConsumptionConfig:in_1 $in_1"
    assert resolve_command(command, {"in_1": "/a b/$(id)", "in_10": "/c"}) == "ls /c '/a b/$(id)' $in_1"


def test_settings_without_effect_are_noted() -> None:
    docker = {"useDocker": True, "arguments": ["--gpus", "all"]}
    notes = " ".join(parse(configuration(docker=docker, priority=3)).notes)
    assert "Docker is not used" in notes
    assert "--gpus" in notes
    assert "priority" in notes
    assert parse(configuration()).notes == ()


@pytest.mark.parametrize(
    ("changes", "distribution"),
    [
        ({}, None),
        ({"communicator": "Mpi", "nodeCount": 2, "mpi": {"processCountPerNode": 3}}, Distribution("mpi", 2, 6)),
        ({"communicator": "Nccl", "nodeCount": 2, "pytorch": {"processCount": 4}}, Distribution("pytorch", 2, 4)),
        ({"communicator": "Nccl", "nodeCount": 2, "pytorch": {}}, Distribution("pytorch", 2, 2)),
        (
            {"communicator": "ParameterServer", "tensorflow": {"workerCount": 2, "parameterServerCount": 1}},
            Distribution("tensorflow", 1, 2, 1),
        ),
    ],
)
def test_processes_of_a_job_are_counted_over_all_nodes(
    changes: dict[str, Any], distribution: Distribution | None
) -> None:
    assert parse(configuration(**changes)).distribution == distribution


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
        ({"command": "ls"}, Invalid, "a command, and a script"),
        ({"script": None, "command": "ls", "arguments": ["-l"]}, Invalid, "a command, and a script or arguments"),
        ({"arguments": "it's"}, Invalid, "can't be split"),
        ({"arguments": {"a": 1}}, Invalid, "must be a list"),
        ({"arguments": [1, {"a": 1}]}, Invalid, "argument 2 is .* neither text nor a number"),
        ({"arguments": [None]}, Invalid, "argument 1 is None"),
        ({"arguments": ["a\0b"]}, Invalid, "null character"),
        ({"arguments": ["\ud800"]}, Invalid, "half of a character"),
        ({"script": None, "command": "a\0b"}, Invalid, "null character"),
        ({"environmentVariables": {"A": "a\0b"}}, Invalid, "null character"),
        ({"environment": "mine"}, Invalid, "must be an object"),
        ({"nodeCount": "2"}, Invalid, "whole number"),
        ({"nodeCount": 2}, NotBuilt, "node_count=2 doesn't say how"),
        ({"nodeCount": 0}, Invalid, "node_count must be 1 or more"),
        ({"nodeCount": 2, "communicator": "Nccl", "pytorch": {"processCount": 3}}, Invalid, "shared out evenly"),
        ({"communicator": "Gloo", "pytorch": {"processCount": -1}}, Invalid, "process_count must be 1 or more"),
        ({"communicator": "ParameterServer", "tensorflow": {"workerCount": 0}}, Invalid, "worker_count must be 1"),
        ({"communicator": "Mpi", "nodeCount": 9, "mpi": {"processCountPerNode": 9}}, Invalid, "asks for 81 processes"),
        ({"framework": "PySpark"}, NotBuilt, "PySpark"),
        ({"datacaches": [{}]}, NotBuilt, "Data caches"),
        ({"outputData": {"result": {"mechanism": "link"}}}, NotBuilt, "mount and upload"),
        ({"outputData": {"result": an_output(relativePath="a/../../b")}}, Invalid, "no path in a datastore"),
        ({"outputData": {"result": []}}, Invalid, "must be an object"),
        ({"environmentVariables": {"A=B": "1"}}, Invalid, "no name of an environment variable"),
        ({"environmentVariables": ["A"]}, Invalid, "must be a mapping"),
        ({"data": {"x": {"dataLocation": {"uri": {}}}}}, NotBuilt, "isn't a dataset"),
        ({"data": {"x": an_input(mechanism="teleport")}}, Invalid, "must be mount, download or direct"),
        ({"maxRunDurationSeconds": -1}, Invalid, "positive number"),
    ],
)
def test_run_configuration_invalid_is_refused(changes: dict[str, Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        parse(configuration(**changes))
