"""SDK v1's run configuration, read as what a job is (`jobs.JobSpec`)."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from azureml_local.workspace import datastores
from azureml_local.workspace.datasets import check_dataset_name
from azureml_local.workspace.errors import Invalid, NotBuilt
from azureml_local.workspace.jobs import Distribution, InputSpec, JobSpec, OutputSpec

# Where an output goes that names no destination (azureml.data.output_dataset_config).
NAME = re.compile(r"\w[\w.-]{0,254}", re.ASCII)
DEFAULT_DESTINATION = "dataset/{run-id}/{output-name}"
# More than this would be a slip of the pen: all of them are processes of this machine.
MAX_PROCESSES = 64


def parse_run_configuration(configuration: Mapping[str, Any]) -> JobSpec:
    """Read a run configuration (the ``Configuration`` of a snapshot run, measured in azureml-core 1.61).

    Raises:
        Invalid: neither script nor command, or a malformed part. NotBuilt: what only a real cluster can do.
    """
    target = configuration.get("target")
    if not isinstance(target, str) or not target:
        raise Invalid("The run names no compute target. Set ScriptRunConfig(compute_target=...).")
    _refuse_what_needs_a_cluster(configuration)
    environment = part(configuration, "environment")
    script, command = configuration.get("script"), configuration.get("command")
    if command and (script or configuration.get("arguments")):
        raise Invalid(
            "The run has a command, and a script or arguments too. Set ScriptRunConfig(script=..., arguments=...) or "
            "(command=...); a command's arguments are part of it."
        )
    if command:
        # The SDK joins a list with blanks before it sends it (_run_config_modification), and so does this: a list
        # is no more protected from the shell than a text is, here as in Azure.
        words = command if isinstance(command, list) else [command]
        command, script = " ".join(_text(word, "The command") for word in words), None
    elif script:
        command, script = None, _text(script, "The script")
    else:
        raise Invalid("The run has neither a script nor a command. Set ScriptRunConfig(script=...) or (command=...).")
    return JobSpec(
        target=target,
        script=script,
        arguments=_arguments(configuration.get("arguments")) if script else (),
        command=command,
        environment=environment,
        variables={
            **_conda_variables(part(environment, "python")),
            **_variables(environment.get("environmentVariables")),
            **_variables(configuration.get("environmentVariables")),
        },
        inputs=tuple(_input(name, value) for name, value in part(configuration, "data").items()),
        outputs=tuple(_output(name, value) for name, value in part(configuration, "outputData").items()),
        max_seconds=_positive(configuration.get("maxRunDurationSeconds")),
        notes=tuple(_notes(configuration)),
        distribution=_distribution(configuration),
    )


def _conda_variables(python: Mapping[str, Any]) -> dict[str, str]:
    """The ``variables`` of a conda file, which conda sets when it activates the environment."""
    if python.get("userManagedDependencies"):
        return {}
    return _variables(part(python, "condaDependencies").get("variables"))


def _distribution(configuration: Mapping[str, Any]) -> Distribution | None:
    """The processes of a job; None where it is one. Raises Invalid."""
    mpi, pytorch, tensorflow = (part(configuration, name) for name in ("mpi", "pytorch", "tensorflow"))
    communicator = str(configuration.get("communicator") or "None").lower()
    nodes = _least("node_count", _count(configuration, "nodeCount"))
    found = None
    if communicator in ("intelmpi", "openmpi", "mpi"):
        each = _least("process_count_per_node", _count(mpi, "processCountPerNode"))
        found = Distribution("mpi", nodes, nodes * each)
    elif communicator in ("nccl", "gloo"):
        # One process on each node where none is named (PyTorchConfiguration(process_count=None)).
        count = _least("process_count", _count(pytorch, "processCount", nodes))
        if count % nodes:
            raise Invalid(f"process_count={count} can't be shared out evenly among node_count={nodes} nodes.")
        found = Distribution("pytorch", nodes, count)
    elif communicator == "parameterserver":
        workers = _least("worker_count", _count(tensorflow, "workerCount"))
        servers = _least("parameter_server_count", _count(tensorflow, "parameterServerCount", 0), 0)
        found = Distribution("tensorflow", nodes, workers, servers)
    elif nodes > 1:
        raise NotBuilt(
            f"A run with node_count={nodes} doesn't say how its processes find one another: set distributed_job_config "
            "(MpiConfiguration, PyTorchConfiguration, TensorflowConfiguration)."
        )
    if found and found.workers + found.servers > MAX_PROCESSES:
        raise Invalid(
            f"The run asks for {found.workers + found.servers} processes. All nodes of a local workspace are one "
            f"machine: ask for {MAX_PROCESSES} or fewer."
        )
    return found


def _least(name: str, count: int, least: int = 1) -> int:
    if count < least:
        raise Invalid(f"{name} must be {least} or more, not {count}.")
    return count


def _refuse_what_needs_a_cluster(configuration: Mapping[str, Any]) -> None:
    """Raises NotBuilt for what would be another job if it ran here all the same."""
    framework = str(configuration.get("framework") or "Python").lower()
    if framework in ("pyspark", "r"):
        raise NotBuilt(f"The framework {configuration['framework']!r} is not built in azureml-local: it runs Python.")
    if configuration.get("datacaches"):
        raise NotBuilt("Data caches are not built in azureml-local: pass the dataset itself.")


def _notes(configuration: Mapping[str, Any]) -> Iterator[str]:
    docker = part(configuration, "docker")
    if docker.get("useDocker"):
        yield "Docker is not used: the job is a process of this machine. Image, volumes and shm_size do nothing."
        if docker.get("arguments"):
            yield f"Docker's arguments are not used: {docker['arguments']}"
    if configuration.get("priority") is not None:
        yield "The priority is not used: runs start in the order of their submission."


def _count(section: Mapping[str, Any], name: str, default: int = 1) -> int:
    value = section.get(name)
    if value is None:
        return default
    if not isinstance(value, int) or isinstance(value, bool):
        raise Invalid(f"{name} must be a whole number, not {str(value)[:80]!r}.")
    return value


def _variables(value: Any) -> dict[str, str]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise Invalid("The environment variables must be a mapping of names to texts.")
    for name in value:
        if not isinstance(name, str) or not name or "=" in name or "\0" in name:
            raise Invalid(f"{str(name)[:80]!r} is no name of an environment variable.")
    return {_text(name, "A variable"): _text(text, f"The variable {name}") for name, text in value.items()}


def _arguments(value: Any) -> tuple[str, ...]:
    if value is None:
        return ()
    if isinstance(value, str):
        # ScriptRunConfig takes one text too; it is split as a shell would, and nothing in it is run.
        try:
            value = shlex.split(value)
        except ValueError as error:
            raise Invalid(f"The arguments {value[:120]!r} can't be split into words ({error}).") from error
    if not isinstance(value, list):
        raise Invalid("The arguments must be a list.")
    return tuple(_text(word, f"The argument {place}") for place, word in enumerate(value, 1))


def _text(value: Any, what: str) -> str:
    """A value as the process gets it. Numbers arrive as numbers, truth values as such; Python's own text of them
    (0.5, True) is what the user wrote.
    """
    if not isinstance(value, (str, int, float)):
        raise Invalid(f"{what} is {str(value)[:80]}, which is neither text nor a number. Leave it out, or write text.")
    text = str(value)
    if "\0" in text:
        raise Invalid(f"{what} has a null character in it; no process can be given one.")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise Invalid(f"{what} holds half of a character (a lone surrogate).") from None
    return text


def _input(name: str, value: Any) -> InputSpec:
    dataset = part(part(value, "dataLocation"), "dataset")
    if not dataset.get("id"):
        raise NotBuilt(f"The input {name!r} isn't a dataset. A local workspace reads inputs from datasets only.")
    mechanism = str(value.get("mechanism") or "direct").lower()
    if mechanism not in ("mount", "download", "direct"):
        raise Invalid(f"The input {name!r} asks for {mechanism!r}; it must be mount, download or direct.")
    return InputSpec(
        name=name_of(name),
        dataset_id=str(dataset["id"]),
        mechanism=mechanism,
        variable=name_of(str(value.get("environmentVariableName") or name)),
        path_on_compute=path_on_compute(name, value.get("pathOnCompute")),
    )


def _output(name: str, value: Any) -> OutputSpec:
    """An ``OutputData`` (azureml.core.runconfig)."""
    options = part(value, "additionalOptions")
    mechanism = str(value.get("mechanism") or "mount").lower()
    if mechanism not in ("mount", "upload"):
        raise NotBuilt(f"The output {name!r} asks for {mechanism!r}; a local workspace has mount and upload.")
    place = part(part(value, "outputLocation"), "dataPath")
    datastore = str(place.get("datastoreName") or datastores.DEFAULT)
    upload = part(options, "uploadOptions")
    registration = part(options, "registrationOptions")
    return OutputSpec(
        name=name_of(name),
        mechanism=mechanism,
        destination=datastores.clean_path(str(place.get("relativePath") or DEFAULT_DESTINATION)),
        path_on_compute=path_on_compute(name, options.get("pathOnCompute")),
        # What is written to a mount is in the datastore at once, whatever was there before.
        overwrite=mechanism == "mount" or bool(upload.get("overwrite")),
        globs=tuple(str(glob) for glob in part(upload, "sourceGlobs").get("patterns") or ()),
        register_as=_registered(registration.get("name")),
        description=registration.get("description"),
        tags=part(registration, "tags"),
        transformation=part(registration, "datasetRegistrationOptions").get("additionalTransformation"),
        datastore=datastore,
    )


def part(value: Any, key: str) -> Mapping[str, Any]:
    """An object inside an object; an empty one where it is missing. Raises Invalid."""
    found = (value.get(key) or {}) if isinstance(value, Mapping) else value
    if not isinstance(found, Mapping):
        raise Invalid(f"{key} must be an object, not {str(found)[:80]!r}.")
    return found


def name_of(name: str) -> str:
    """An input or output's name: a folder and a variable of the job have it. Raises Invalid."""
    if not NAME.fullmatch(name):
        raise Invalid(f"{name[:80]!r} is no name of an input or output: use letters, digits, '-', '_' and '.'.")
    return name


def _registered(name: Any) -> str | None:
    """The name under which an output is registered: an impossible one is refused before the job has run."""
    if not isinstance(name, (str, type(None))):
        raise Invalid(f"{str(name)[:80]!r} is no dataset name.")
    return None if name is None else check_dataset_name(name)


def path_on_compute(name: str, path: Any) -> str | None:
    if not path:
        return None
    if not isinstance(path, str) or ".." in path.split("/") or "\0" in path:
        raise Invalid(f"The path on the compute of {name!r} is {str(path)[:120]!r}; it must be a path without '..'.")
    return path


def _positive(value: Any) -> float | None:
    if value is None:
        return None
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not value > 0:
        raise Invalid(f"max_run_duration_seconds must be a positive number, not {value!r}.")
    return float(value)
