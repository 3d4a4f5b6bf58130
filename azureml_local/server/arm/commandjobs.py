"""SDK v2's command job, read as what a job is (`jobs.JobSpec`)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from pydantic import Field

from azureml_local.names import WorkspaceName
from azureml_local.server.arm.durations import seconds_of
from azureml_local.server.arm.inputs import read_input
from azureml_local.server.arm.outputs import read_output
from azureml_local.server.arm.versioned import MAX_URI, Described, Wire
from azureml_local.storage.tables import Json
from azureml_local.workspace import Workspace, curated
from azureml_local.workspace.environments import definition_of
from azureml_local.workspace.errors import Invalid, NotBuilt, NotFound
from azureml_local.workspace.jobs import JobSpec
from azureml_local.workspace.snapshots import EMPTY

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,254}")
OPTIONAL = re.compile(r"\$\[\[((?:(?!\$\[\[).)*?)\]\]", re.DOTALL)
REFERENCE = re.compile(r"\$\{\{\s*([a-z_]+)\.([A-Za-z0-9_]+)(\.path)?\s*\}\}")
ENVIRONMENT = re.compile(
    r"(?:azureml:)?/subscriptions/.*/environments/([^/]+)/(versions|labels)/([^/]+)", re.IGNORECASE
)
REGISTRY = re.compile(
    r"(?:azureml:)?azureml://registries/([^/]+)/environments/([^/]+)/(versions|labels)/([^/]+)", re.IGNORECASE
)
SHORT = re.compile(r"(?:azureml:)?([^/:@]+)(?:@([^/:@]+)|:([^/:@]+))?")
CODE = re.compile(r"(?:azureml:)?/subscriptions/.*/codes/([^/]+)/versions/([^/]+)", re.IGNORECASE)
COMPUTE = re.compile(r"(?:azureml:)?(?:/subscriptions/.*/computes/)?([^/:]+)", re.IGNORECASE)
SEVERAL = (
    "A command job with {} needs several processes or nodes; a local workspace runs a job on one node and in one "
    "process. Leave it out here; distributed jobs only run in Azure."
)

MAX_COMMAND = 100_000  # characters

# The pool of the jobs that name no compute.
SERVERLESS = "serverless"


class Limits(Wire):
    timeout: str | None = None


class Resources(Wire):
    instances: int | None = Field(default=None, alias="instanceCount")
    instance_type: str | None = Field(default=None, alias="instanceType")
    shm_size: str | None = Field(default=None, alias="shmSize")
    docker_args: str | None = Field(default=None, alias="dockerArgs")


class CommandJob(Described):
    """The properties of a command job."""

    type: Literal["Command"] = Field(alias="jobType")
    command: str = Field(min_length=1, max_length=MAX_COMMAND)
    code_id: str | None = Field(default=None, alias="codeId", max_length=MAX_URI)
    environment_id: str = Field(alias="environmentId", min_length=1, max_length=MAX_URI)
    compute_id: str | None = Field(default=None, alias="computeId", max_length=MAX_URI)
    experiment: str | None = Field(default=None, alias="experimentName")
    display_name: str | None = Field(default=None, alias="displayName")
    inputs: dict[str, dict[str, Any]] | None = None
    outputs: dict[str, dict[str, Any]] | None = None
    variables: dict[str, str] | None = Field(default=None, alias="environmentVariables")
    limits: Limits | None = None
    resources: Resources | None = None
    distribution: dict[str, Any] | None = None
    services: dict[str, Any] | None = None

    @property
    def literals(self) -> dict[str, str]:
        return {
            name: str(given.get("value", ""))
            for name, given in (self.inputs or {}).items()
            if given.get("jobInputType") == "literal"
        }

    @property
    def target(self) -> str:
        if not self.compute_id:
            return SERVERLESS
        found = COMPUTE.fullmatch(self.compute_id)
        if found is None:
            raise Invalid(f"{self.compute_id[:200]!r} is no compute.")
        return found[1]


def read_command_job(workspace: Workspace, job: CommandJob, run_id: str, name: WorkspaceName) -> JobSpec:
    """What a command job is.

    Raises:
        Invalid: a malformed part. NotFound: an environment or input that isn't there. NotBuilt: what only Azure can do.
    """
    _refuse_several(job)
    inputs, outputs, literals = job.inputs or {}, job.outputs or {}, job.literals
    for each in (*inputs, *outputs):
        if not NAME.fullmatch(each):
            raise Invalid(f"{each[:80]!r} is no name of an input or output: letters, digits and '_'.")
    if both := inputs.keys() & outputs.keys():
        raise NotBuilt(f"{min(both)!r} names an input and an output; give them different names in azureml-local.")
    return JobSpec(
        target=job.target,
        script=None,
        arguments=(),
        command=_command(job.command, inputs, outputs, literals),
        environment=_environment(workspace, job.environment_id),
        variables=_variables(job.variables or {}),
        inputs=tuple(
            read_input(workspace, each, given, name) for each, given in inputs.items() if each not in literals
        ),
        outputs=tuple(read_output(workspace, each, given or {}, run_id) for each, given in outputs.items()),
        max_seconds=_timeout(job),
        notes=tuple(_notes(job)),
    )


def snapshot_of(workspace: Workspace, code_id: str | None) -> str:
    """The snapshot of a job's code; that of no files for none. Raises NotFound, Invalid."""
    if not code_id:
        return EMPTY
    found = CODE.fullmatch(code_id)
    if found is None:
        raise Invalid(f"{code_id[:200]!r} is no code of this workspace. Give a local folder as the code.")
    return str(workspace.codes.get(found[1], found[2]).body["snapshot"])


def _command(command: str, inputs: Mapping[str, Any], outputs: Mapping[str, Any], literals: Mapping[str, str]) -> str:
    """The command with its literals, and without its optional parts whose inputs aren't given.

    As in Azure, a literal goes into the line as it is. Places are filled in where the job runs.
    """

    def optional(part: re.Match[str]) -> str:
        asked = [found[2] for found in REFERENCE.finditer(part[1]) if found[1] == "inputs"]
        return part[1] if all(each in inputs for each in asked) else ""

    def filled(found: re.Match[str]) -> str:
        group, each = found[1], found[2]
        if group not in ("inputs", "outputs") or each not in (inputs if group == "inputs" else outputs):
            raise Invalid(f"The command has {found[0][:80]!r}, and the job has no such {group.rstrip('s')}.")
        return literals.get(each, f"${{{{{group}.{each}}}}}") if group == "inputs" else found[0].replace(" ", "")

    text = REFERENCE.sub(filled, OPTIONAL.sub(optional, command))
    if "\0" in text:
        raise Invalid("The command has a null character in it; no process can be given one.")
    return text


def _environment(workspace: Workspace, asked: str) -> Json:
    """The definition of an environment with its name and version. Raises NotFound, Invalid."""
    environments = workspace.environments
    if registry := REGISTRY.fullmatch(asked):
        if registry[1].lower() != curated.REGISTRY:
            raise NotFound(
                f"The registry {registry[1]!r} is not here; of registries a local workspace knows the curated "
                f"environments of {curated.REGISTRY!r}. Register the packages of {registry[2]!r} in this workspace."
            )
        which = {"label": registry[4]} if registry[3].lower() == "labels" else {"version": registry[4]}
        row = environments.of_registry(registry[2], **which)
    elif own := ENVIRONMENT.fullmatch(asked):
        row = (
            environments.get(own[1], own[3]) if own[2].lower() == "versions" else environments.labelled(own[1], own[3])
        )
    elif short := SHORT.fullmatch(asked):
        row = environments.labelled(short[1], short[2]) if short[2] else environments.get(short[1], short[3])
    else:
        raise Invalid(f"{asked[:200]!r} is no environment.")
    definition = definition_of(row)
    python = definition.get("python") or {}
    if not python.get("userManagedDependencies") and not isinstance(python.get("condaDependencies"), dict):
        raise Invalid(
            f"The environment {row.name!r} names an image and no packages, and images are not started in "
            "azureml-local. Give it a conda_file."
        )
    return {**definition, "name": row.name, "version": row.version}


def _variables(given: Mapping[str, str]) -> dict[str, str]:
    for name, value in given.items():
        if not name or "=" in name or "\0" in name + value:
            raise Invalid(f"{name[:80]!r} is no name of an environment variable, or its value has a null character.")
    return dict(given)


def _timeout(job: CommandJob) -> float | None:
    if job.limits is None or not job.limits.timeout:
        return None
    seconds = seconds_of(job.limits.timeout)
    if seconds <= 0:
        raise Invalid(f"limits.timeout must be longer than {job.limits.timeout}.")
    return seconds


def _refuse_several(job: CommandJob) -> None:
    count = job.resources.instances if job.resources else None
    if count is not None and count > 1:
        raise NotBuilt(SEVERAL.format(f"instance_count={count}"))
    processes = (job.distribution or {}).get("processCountPerInstance") or 1
    workers = (job.distribution or {}).get("workerCount") or 1
    servers = (job.distribution or {}).get("parameterServerCount") or 0
    if processes != 1 or workers != 1 or servers:
        kind = str((job.distribution or {}).get("distributionType"))[:40]
        raise NotBuilt(SEVERAL.format(f"the distribution {kind} of several processes"))


def _notes(job: CommandJob) -> Iterator[str]:
    if job.resources is not None and (job.resources.shm_size or job.resources.docker_args):
        yield "Docker is not used: the job is a process of this machine; shm_size and docker_args do nothing."
    if job.services:
        yield f"Services are not started: {', '.join(job.services)[:200]}."
