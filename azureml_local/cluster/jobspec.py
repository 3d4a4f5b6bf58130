"""What a submitted run asks for, read out of the run configuration that the SDK sends."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from azureml_local.workspace import datastores
from azureml_local.workspace.errors import Invalid, NotBuilt

DATASET_REFERENCE = "DatasetConsumptionConfig:"
OUTPUT_REFERENCE = "DatasetOutputConfig:"
# Where an output goes that names no destination (azureml.data.output_dataset_config).
DEFAULT_DESTINATION = "dataset/{run-id}/{output-name}"


@dataclass(frozen=True)
class InputSpec:
    """A dataset that the job reads.

    ``mechanism`` is ``mount``, ``download`` or ``direct`` (the job gets its id).
    """

    name: str
    dataset_id: str
    mechanism: str
    variable: str
    path_on_compute: str | None


@dataclass(frozen=True)
class OutputSpec:
    """A folder that the job writes and that becomes a dataset (``OutputFileDatasetConfig``).

    ``destination`` is a path in the datastore, ``{run-id}`` and ``{output-name}`` in it to be filled in.
    """

    name: str
    mechanism: str
    destination: str
    path_on_compute: str | None
    overwrite: bool
    globs: tuple[str, ...]
    register_as: str | None
    description: str | None
    tags: Mapping[str, Any]
    transformation: str | None


@dataclass(frozen=True)
class JobSpec:
    """A job: ``argv`` is the script and its arguments, or a command's words; never one string for a shell."""

    target: str
    script: str | None
    argv: tuple[str, ...]
    environment: Mapping[str, Any]
    variables: Mapping[str, str]
    inputs: tuple[InputSpec, ...]
    outputs: tuple[OutputSpec, ...]
    max_seconds: float | None


def parse(configuration: Mapping[str, Any]) -> JobSpec:
    """Read a run configuration (the ``Configuration`` of a snapshot run, measured in azureml-core 1.61).

    Raises:
        Invalid: neither script nor command, or a malformed part. NotBuilt: what only a real cluster can do.
    """
    target = configuration.get("target")
    if not isinstance(target, str) or not target:
        raise Invalid("The run names no compute target. Set ScriptRunConfig(compute_target=...).")
    if int(configuration.get("nodeCount") or 1) > 1 or _several_processes(configuration):
        raise NotBuilt(
            "A local workspace runs a job on one node and in one process: node_count > 1 and distributed "
            "configurations "
            "(MPI, PyTorch, TensorFlow with several processes) only run in Azure."
        )
    if configuration.get("dataReferences"):
        raise NotBuilt(
            "Data references (DataReference, datastore.as_mount()) are not built in azureml-local: pass "
            "Dataset.File.from_files((datastore, path)).as_mount() for what the job reads, and "
            "OutputFileDatasetConfig(destination=(datastore, path)) for what it writes."
        )
    environment = configuration.get("environment") or {}
    variables = {
        **_variables(environment.get("environmentVariables")),
        **_variables(configuration.get("environmentVariables")),
    }
    script, command = configuration.get("script"), configuration.get("command")
    if command:
        words = command if isinstance(command, list) else _words(str(command))
        argv = tuple(str(word) for word in words)
        script = None
    elif script:
        argv = (str(script), *(_argument(word) for word in configuration.get("arguments") or []))
    else:
        raise Invalid("The run has neither a script nor a command. Set ScriptRunConfig(script=...) or (command=...).")
    return JobSpec(
        target=target,
        script=script,
        argv=argv,
        environment=environment,
        variables=variables,
        inputs=tuple(_input(name, value) for name, value in _part(configuration, "data").items()),
        outputs=tuple(_output(name, value) for name, value in _part(configuration, "outputData").items()),
        max_seconds=_positive(configuration.get("maxRunDurationSeconds")),
    )


def resolve(argv: tuple[str, ...], paths: Mapping[str, str]) -> list[str]:
    """Put the place of each input and output where the arguments refer to it."""
    resolved = []
    for word in argv:
        for name, path in paths.items():
            if word in (DATASET_REFERENCE + name, OUTPUT_REFERENCE + name, f"${name}"):
                word = path
        resolved.append(word)
    return resolved


def _several_processes(configuration: Mapping[str, Any]) -> bool:
    processes = (
        (configuration.get("mpi") or {}).get("processCountPerNode"),
        (configuration.get("pytorch") or {}).get("processCount"),
        (configuration.get("tensorflow") or {}).get("workerCount"),
    )
    distributed = str(configuration.get("communicator") or "None").lower() not in ("none", "")
    return distributed and any(isinstance(count, int) and count > 1 for count in processes)


def _variables(value: Any) -> dict[str, str]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise Invalid("The environment variables must be a mapping of names to texts.")
    for name in value:
        if not isinstance(name, str) or not name or "=" in name or "\0" in name:
            raise Invalid(f"{str(name)[:80]!r} is no name of an environment variable.")
    return {name: str(text) for name, text in value.items()}


def _words(command: str) -> list[str]:
    try:
        return shlex.split(command)
    except ValueError as error:
        raise Invalid(f"The command {command[:120]!r} can't be split into words ({error}).") from error


def _argument(value: Any) -> str:
    # Numbers arrive as numbers, truth values as such; Python's own text of them (0.5, True) is what the user
    # wrote.
    if not isinstance(value, (str, int, float)):
        raise Invalid(f"The argument {value!r} is neither text nor a number.")
    return str(value)


def _input(name: str, value: Any) -> InputSpec:
    dataset = _part(_part(value, "dataLocation"), "dataset")
    if not dataset.get("id"):
        raise NotBuilt(f"The input {name!r} isn't a dataset. A local workspace reads inputs from datasets only.")
    mechanism = str(value.get("mechanism") or "direct").lower()
    if mechanism not in ("mount", "download", "direct"):
        raise Invalid(f"The input {name!r} asks for {mechanism!r}; it must be mount, download or direct.")
    return InputSpec(
        name=name,
        dataset_id=str(dataset["id"]),
        mechanism=mechanism,
        variable=str(value.get("environmentVariableName") or name),
        path_on_compute=_path_on_compute(name, value.get("pathOnCompute")),
    )


def _output(name: str, value: Any) -> OutputSpec:
    """An ``OutputData`` (azureml.core.runconfig)."""
    options = _part(value, "additionalOptions")
    mechanism = str(value.get("mechanism") or "mount").lower()
    if mechanism not in ("mount", "upload"):
        raise NotBuilt(f"The output {name!r} asks for {mechanism!r}; a local workspace has mount and upload.")
    place = _part(_part(value, "outputLocation"), "dataPath")
    datastore = str(place.get("datastoreName") or datastores.DEFAULT)
    datastores.check_exists(datastore)
    upload = _part(options, "uploadOptions")
    registration = _part(options, "registrationOptions")
    return OutputSpec(
        name=name,
        mechanism=mechanism,
        destination=datastores.clean_path(str(place.get("relativePath") or DEFAULT_DESTINATION)),
        path_on_compute=_path_on_compute(name, options.get("pathOnCompute")),
        # What is written to a mount is in the datastore at once, whatever was there before.
        overwrite=mechanism == "mount" or bool(upload.get("overwrite")),
        globs=tuple(str(glob) for glob in _part(upload, "sourceGlobs").get("patterns") or ()),
        register_as=registration.get("name"),
        description=registration.get("description"),
        tags=_part(registration, "tags"),
        transformation=_part(registration, "datasetRegistrationOptions").get("additionalTransformation"),
    )


def _part(value: Any, key: str) -> Mapping[str, Any]:
    """An object inside an object; an empty one where it is missing. Raises Invalid."""
    found = (value.get(key) or {}) if isinstance(value, Mapping) else value
    if not isinstance(found, Mapping):
        raise Invalid(f"{key} must be an object, not {str(found)[:80]!r}.")
    return found


def _path_on_compute(name: str, path: Any) -> str | None:
    if not path:
        return None
    if not isinstance(path, str) or ".." in path.split("/") or "\0" in path:
        raise Invalid(f"The path on the compute of {name!r} is {str(path)[:120]!r}; it must be a path without '..'.")
    return path


def _positive(value: Any) -> float | None:
    if value is None:
        return None
    if not isinstance(value, (int, float)) or isinstance(value, bool) or value <= 0:
        raise Invalid(f"max_run_duration_seconds must be a positive number, not {value!r}.")
    return float(value)
