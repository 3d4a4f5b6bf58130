"""Job specifications, parsed once at submission, whichever client they come from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from azureml_local.storage.tables import Json, Run
from azureml_local.workspace.datastores import DEFAULT

# The SDK's word for the machine that submits (azureml._execution._commands._is_local_target).
LOCAL_TARGET = "local"

# SDK v2's type of an input or output that is one file.
URI_FILE = "uri_file"
# An input of no files at all: what a step of a pipeline was to make, and didn't.
NOTHING = "nothing"

# What a run's spec is of; beside ``job``, an orchestrator's has a part of its own name.
JOB, SWEEP_SPEC, PIPELINE_SPEC = "job", "sweep", "pipeline"


@dataclass(frozen=True)
class InputSpec:
    """A dataset that the job reads.

    ``mechanism`` is ``mount``, ``download`` or ``direct`` (the job gets its id, or its URI where it has one: SDK v2).
    ``kind`` is v2's type of it: a uri_file stands for the file itself, not for the folder around it.
    ``transformation`` is what makes a table of the files that a step before has made (the SDK's own description).
    """

    name: str
    dataset_id: str
    mechanism: str
    variable: str
    path_on_compute: str | None
    uri: str | None = None
    kind: str | None = None
    transformation: str | None = None


@dataclass(frozen=True)
class OutputSpec:
    """A folder that the job writes and that becomes a dataset (``OutputFileDatasetConfig``, or an output of SDK v2).

    ``mounted``: its folder is that of the input of this name, and only what the job has changed there is kept.
    ``free``: the script itself makes a file or a folder at that very path (``PipelineData``), and there is no dataset.
    ``kind`` is v2's type of it, and None for SDK v1's; a uri_file has the name ``file`` in the folder. It becomes the
    version ``asset_version`` (None: the next) of the data asset or model ``asset``, where that is named.
    ``destination`` is a path in the ``datastore``, ``{run-id}`` and ``{output-name}`` in it to be filled in.
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
    free: bool = False
    kind: str | None = None
    file: str | None = None
    asset: str | None = None
    asset_version: str | None = None
    datastore: str = DEFAULT
    mounted: bool = False

    @property
    def variable(self) -> str:
        """The variable that tells the job its place."""
        return self.name if self.kind is None else f"AZURE_ML_OUTPUT_{self.name}"

    def brought(self) -> OutputSpec:
        """The same, when its files were brought here from another machine."""
        return replace(self, path_on_compute=None, globs=(), mounted=False)


@dataclass(frozen=True)
class Distribution:
    """How many processes a job is, and what they are told of one another.

    ``framework`` is ``mpi``, ``pytorch`` or ``tensorflow``; ``workers`` counts the processes of all nodes, without
    the ``servers`` (TensorFlow's parameter servers).
    """

    framework: str
    nodes: int
    workers: int
    servers: int = 0


@dataclass(frozen=True)
class Parallel:
    """How a job shares its inputs out: its script is an entry script, whose ``run`` worker processes call for each mini
    batch.

    ``inputs`` are the names of those that are shared out: the rows of tables, or the files. A mini batch has
    ``mini_batch_size`` files, or so many bytes of a table; or, with ``partition_keys``, the rows that have the same
    values in these columns. ``timeout`` is in seconds, for each call of ``run``, and ``max_try`` how often a mini batch
    is tried. More than ``error_threshold`` lost items (-1: any number) or failed mini batches fail the job. What
    ``run`` returns is written to the file ``append_to`` of the output ``output``, where that is named.
    """

    inputs: tuple[str, ...]
    tables: bool
    mini_batch_size: int
    partition_keys: tuple[str, ...]
    processes: int
    max_try: int
    timeout: float
    error_threshold: int
    allowed_failed_count: int | None
    allowed_failed_percent: float | None
    output: str | None
    append_to: str | None
    logging_level: str = "INFO"


@dataclass(frozen=True)
class JobSpec:
    """A job: a script and its arguments, which no shell sees, or a command, which is a line for the shell.

    ``notes`` says what the configuration asks for and this machine doesn't do.
    """

    target: str
    script: str | None
    arguments: tuple[str, ...]
    command: str | None
    environment: Mapping[str, Any]
    variables: Mapping[str, str]
    inputs: tuple[InputSpec, ...]
    outputs: tuple[OutputSpec, ...]
    max_seconds: float | None
    notes: tuple[str, ...]
    distribution: Distribution | None = None
    parallel: Parallel | None = None

    def to_json(self) -> Json:
        return asdict(self)

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> JobSpec:
        """The spec that `to_json` wrote."""
        return cls(
            **{
                **kept,
                "arguments": tuple(kept["arguments"]),
                "inputs": tuple(InputSpec(**each) for each in kept["inputs"]),
                "outputs": tuple(OutputSpec(**{**each, "globs": tuple(each["globs"])}) for each in kept["outputs"]),
                "notes": tuple(kept["notes"]),
                # Not there in specs of earlier versions.
                "distribution": Distribution(**found) if (found := kept.get("distribution")) else None,
                "parallel": _parallel(kept.get("parallel")),
            }
        )


def _parallel(kept: Mapping[str, Any] | None) -> Parallel | None:
    if kept is None:
        return None
    return Parallel(
        **{**kept, "inputs": tuple(kept["inputs"]), "partition_keys": tuple(kept["partition_keys"])},
    )


class SpecMissing(Exception):
    """A submitted run has no spec: an earlier version kept its configuration in a form that this one can't read."""


def kept_job(spec: JobSpec) -> Json:
    """The form in which `Run.spec` has a job."""
    return {"kind": JOB, JOB: spec.to_json()}


def is_made_of_a_job(run: Run) -> bool:
    """Whether a run's spec has a job: its own, or that of the runs of a sweep. A pipeline has those of its steps."""
    return run.spec is not None and JOB in run.spec


def spec_of(run: Run) -> JobSpec:
    """The job that a run is, or that each run of a sweep is made of. Raises SpecMissing."""
    if run.spec is None or JOB not in run.spec:
        raise SpecMissing(
            f"The configuration of the run {run.id} was kept by another version of azureml-local and can't be read. "
            "Submit it again."
        )
    return JobSpec.from_json(run.spec[JOB])
