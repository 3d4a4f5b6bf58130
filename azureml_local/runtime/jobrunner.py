"""The job's part of an execution: its environment, working folder and process.

It runs on the node, which may be another machine than the server's, so it has no access to the workspace.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from azureml_local.runtime import job as job_script
from azureml_local.runtime import parallel
from azureml_local.runtime.distribution import write_plan
from azureml_local.runtime.environments import (
    EnvironmentBuildCanceled,
    EnvironmentBuilder,
    EnvironmentBuildError,
    JobEnvironment,
)
from azureml_local.runtime.faults import FaultKind
from azureml_local.runtime.inputs import InputError, InputRequest, Inputs
from azureml_local.runtime.logs import JOB_LOG, job_logs, rank_log
from azureml_local.runtime.outputs import COLLECTED, OutputFolders
from azureml_local.runtime.patience import passing
from azureml_local.runtime.placeholders import resolve, resolve_command
from azureml_local.runtime.process import JobProcess, around_script, describe_end, marker, status_file
from azureml_local.runtime.reporter import Postponed, RunReporter
from azureml_local.storage import short_folders
from azureml_local.storage.bloberrors import BlobError
from azureml_local.workspace.errors import WorkspaceError
from azureml_local.workspace.jobs import JobSpec

POLL_SECONDS = 0.5
BUILD_FAILURE = "The environment's packages could not be installed (a simulation)."
STARTUP_FOLDER = Path(__file__).parent / "startup"
SHELLS = ("/bin/bash", "/usr/bin/bash", "/bin/sh")


@dataclass(frozen=True)
class Task:
    """A job and where it is to run. ``variables`` are the SDK's, for the run's process; ``flows`` the data flows (YAML)
    of the inputs by the ids of their datasets, and ``fingerprints`` the state of their files
    (`inputs.InputRequest`); ``folder`` is the run's own, ``working`` the one that the script starts in.
    """

    spec: JobSpec
    variables: Mapping[str, str]
    flows: Mapping[str, str]
    fingerprints: Callable[[], Mapping[str, str]]
    folder: Path
    working: Path


class JobRunner:
    """One job on this machine. ``write_files`` puts the submitted files into the working folder; ``lease``: see
    `process.JobProcess.spawn`.
    """

    def __init__(
        self,
        reporter: RunReporter,
        task: Task,
        *,
        builder: EnvironmentBuilder,
        inputs: Inputs,
        write_files: Callable[[], None],
        lease: float = 0,
    ) -> None:
        self._reporter = reporter
        self._task = task
        self._spec = task.spec
        self._builder = builder
        self._inputs = inputs
        self._write_files = write_files
        self._lease = lease

    def run(self) -> bool:
        """From *Preparing* to the end of the job. False when it was cancelled before there was a process.

        Raises:
            EnvironmentBuildError, InputError: what the run's error is; WorkspaceError, OSError.
        """
        reporter, spec = self._reporter, self._spec
        reporter.stage("Preparing")
        for note in spec.notes:
            reporter.say(note)
        with contextlib.closing(self._build()) as environment:
            process = self._start(environment) if not reporter.cancelled.is_set() else None
        if process is None:
            return False
        reporter.say(f"Process {process.pid}: {_described(spec)}")
        with contextlib.closing(process):  # it begins once it is written down, or never
            reporter.note(process)
            reporter.stage("Running")
            process.begin()
            follow(reporter, process, spec.max_seconds)
        return True

    def _start(self, environment: JobEnvironment) -> JobProcess | None:
        """The job's process, which waits to begin. None when the run was cancelled before."""
        reporter, spec, task = self._reporter, self._spec, self._task
        if environment.warning:
            reporter.warn(environment.warning)
        reporter.stage("Starting")
        self._write_files()
        for name in COLLECTED:
            # The SDK's own preparation of a job makes them in Azure (azureml.history._tracking, execute_job_prep).
            with contextlib.suppress(FileExistsError):  # a file of that name is the user's own
                (task.working / name).mkdir(exist_ok=True)
        python = environment.of_run(task.folder)
        short = short_folders.make(task.folder)
        variables = self._variables(python, short)
        outputs = OutputFolders(spec.outputs, task.folder, task.working)
        wanted = self._wanted(outputs)
        with short_folders.in_use(short) as use, self._inputs.brought(wanted, variables, reporter) as inputs:
            if reporter.cancelled.is_set():
                return None
            places = {**inputs.places, **outputs.prepare()}
            variables.update(outputs.variables())
            held = [use, *inputs.descriptors, *environment.descriptors]
            return self._launch(python, variables, places, held, environment.warning)

    def _wanted(self, outputs: OutputFolders) -> InputRequest:
        task = self._task
        written = [*(outputs.place(each) for each in task.spec.outputs), *(task.working / name for name in COLLECTED)]
        return InputRequest(task.spec.inputs, task.flows, task.fingerprints, task.folder, task.working, written)

    def _build(self) -> JobEnvironment:
        path = self._reporter.build_log()
        try:
            with path.open("a", encoding="utf-8", errors="backslashreplace") as log:
                if self._reporter.meets(FaultKind.BUILD_FAILED):
                    print(f"ERROR: {BUILD_FAILURE}", file=log)
                    raise EnvironmentBuildError(BUILD_FAILURE)
                return self._builder.build(self._spec.environment, log, self._reporter.cancelled)
        finally:
            self._reporter.build_log_done()

    def _launch(
        self,
        python: Path,
        variables: Mapping[str, str],
        places: Mapping[str, str],
        held: Sequence[int],
        warning: str | None,
    ) -> JobProcess:
        """Start the process, whose log begins with the `warning`, if any."""
        spec, task = self._spec, self._task
        values = dict(variables)
        for item in spec.inputs:
            values[item.variable] = values[f"AZUREML_DATAREFERENCE_{item.variable}"] = places[item.name]
        if spec.inputs:
            values["AZUREML_DATASET_ENVIRONMENT_VARS"] = ",".join(
                f"{item.variable}:{item.mechanism}" for item in spec.inputs
            )
        if spec.command is not None:
            argv = [_shell(), "-c", resolve_command(spec.command, places)]
        else:
            script = str(spec.script)
            if not (task.working / script).is_file():
                raise InputError(f"The script {script!r} is not in the submitted folder.")
            argv = [str(python), str(Path(job_script.__file__))]
            arguments = resolve(spec.arguments, places)
            if spec.parallel is None:
                argv += [script, *arguments]
            else:
                plan = parallel.write_plan(spec.parallel, task.working, task.folder, script, arguments, places)
                argv += [parallel.DRIVER, str(plan)]
            for rank in range(len(job_logs(spec.distribution))) if spec.distribution else [None]:
                around_script(task.folder, rank).touch(mode=0o600)
        if spec.distribution:
            argv = write_plan(spec.distribution, argv, task.folder, self._reporter.job_log)
        log = self._reporter.job_log(job_logs(spec.distribution)[0])
        if warning:
            with log.open("a", encoding="utf-8") as file:
                print(f"azureml-local: {warning}", file=file)
        try:
            return JobProcess.spawn(
                argv,
                cwd=task.working,
                environment=values,
                log=log,
                status_file=status_file(task.folder),
                lease=self._lease,
                held=held,
            )
        except OSError as error:
            raise InputError(f"The job's process can't be started: {error.strerror or error}.") from error

    def _variables(self, python: Path, short: Path) -> dict[str, str]:
        """A job's environment variables: of the server's own, only the search path and the locale are passed on."""
        task, asked = self._task, self._spec.variables
        home, temporary = short / "home", short / "tmp"
        # azureml-core 1.47 (Python 3.6) and earlier write to ~/.azure without making it (azure_cli_core._session).
        for folder in (home, home / ".azure", temporary):
            folder.mkdir(mode=0o700)
        passed = {key: os.environ[key] for key in ("LANG", "LC_ALL", "TZ") if key in os.environ}
        return {
            **passed,
            "PATH": f"{python.parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
            "HOME": str(home),
            "TMPDIR": str(temporary),
            "PYTHONUNBUFFERED": "1",
            "PYTHONIOENCODING": "utf-8",
            **task.variables,
            **asked,
            "PYTHONPATH": os.pathsep.join(filter(None, [str(STARTUP_FOLDER), asked.get("PYTHONPATH")])),
            # For the processes that fetch the inputs; the job's have it from JobProcess.
            **marker(status_file(task.folder)),
        }


def follow(reporter: RunReporter, process: JobProcess, max_seconds: float | None) -> None:
    """Until the job's process is gone, and all that it started."""
    lost = False
    while not process.wait(POLL_SECONDS if not reporter.cancelled.is_set() else 0):
        if reporter.cancelled.is_set():
            process.terminate()
        elif reporter.meets(FaultKind.NODE_LOST):
            lost = True
            process.kill()
        elif max_seconds and process.seconds() > max_seconds:
            # Before the process ends: what the script prints when interrupted is not the reason.
            reporter.fail(
                f"The run took longer than its max_run_duration_seconds ({max_seconds:g}) and was ended.",
                "TimeoutError",
            )
            process.terminate()
    process.kill()
    code = process.returncode
    reporter.say(f"Process {process.pid} {describe_end(code)}.")
    if code == 0 or lost or reporter.cancelled.is_set():
        return
    rank = process.failed_rank
    what = (
        "The job's process"
        if rank is None
        else f"The job's process {rank} (the first that failed; it ended the others)"
    )
    log = JOB_LOG if rank is None else rank_log(rank)
    if process.failed_around_script:
        reporter.fail(
            f"{what} {describe_end(code)} outside of the script: in what azureml-local and the SDK do "
            f"before and after it. See {log} for what it said last.",
            "ServiceError",
        )
    else:
        reporter.fail(f"{what} {describe_end(code)}. See {log} for what it said last.")


def guarded(reporter: RunReporter, steps: Callable[[], None]) -> None:
    """Run the steps and report failures as the run's error. Re-raises internal errors only."""
    try:
        steps()
    except Postponed:
        raise
    except EnvironmentBuildCanceled:
        reporter.say("The environment's build was cancelled.")
    except (EnvironmentBuildError, InputError, WorkspaceError, BlobError) as error:
        reporter.fail(str(error))
        reporter.say(str(error))
    except OSError as error:
        reporter.fail(f"The run's files can't be handled: {error}", "ServiceError")
        reporter.say(str(error))
    except Exception as error:
        if (trouble := passing(error)) is not None:
            reporter.fail(f"The run can't go on. {trouble}", "ServiceError")
            reporter.say(str(trouble))
            return
        # An internal error: the run must not stay Running for ever, and the reason must be logged.
        reporter.fail(f"The local cluster failed ({type(error).__name__}: {error}).", "ServiceError")
        reporter.say(repr(error))
        raise


def _shell() -> str:
    """The shell for commands: bash, as in Azure's images, else the system's own shell."""
    return next(shell for shell in SHELLS if Path(shell).exists())


def _described(spec: JobSpec) -> str:
    words = spec.command if spec.command is not None else " ".join([str(spec.script), *spec.arguments])
    return words if len(words) <= 1000 else f"{words[:1000]} ..."
