"""One run on one node, from its image to its last artifact."""

from __future__ import annotations

import contextlib
import os
import shutil
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from azureml_local.cluster import job as job_script
from azureml_local.cluster.environments import (
    EnvironmentBuildCanceled,
    EnvironmentBuilder,
    EnvironmentBuildError,
    JobEnvironment,
)
from azureml_local.cluster.inputs import InputError, Inputs
from azureml_local.cluster.jobspec import LOCAL_TARGET, JobSpec, parse, resolve, resolve_command
from azureml_local.cluster.kinds import Kind
from azureml_local.cluster.local_target import await_client, client_of, with_interpreter
from azureml_local.cluster.logs import make_readable
from azureml_local.cluster.outputs import OutputError, Outputs
from azureml_local.cluster.process import JobProcess, describe_end, marker
from azureml_local.cluster.simulation import Simulations
from azureml_local.storage.blobs import BlobError
from azureml_local.storage.tables import Run
from azureml_local.workspace import Workspace
from azureml_local.workspace.artifacts import RUN_ORIGIN
from azureml_local.workspace.errors import WorkspaceError
from azureml_local.workspace.runs import FINAL, data_container, user_error

BUILD_LOG = "azureml-logs/20_image_build_log.txt"
JOB_LOG = "user_logs/std_log.txt"
NODE_LOG = "system_logs/local_node.txt"
COLLECTED = ("outputs", "logs")
POLL_SECONDS = 0.5
BUILD_FAILURE = "The environment's packages could not be installed (a simulation)."
STARTUP_FOLDER = Path(__file__).parent / "startup"
SHELLS = ("/bin/bash", "/usr/bin/bash", "/bin/sh")


@dataclass(frozen=True)
class Machinery:
    """What every execution needs. ``job_variables`` gives the SDK's variables for a run's process."""

    workspace: Workspace
    builder: EnvironmentBuilder
    inputs: Inputs
    job_variables: Callable[[Run], dict[str, str]]
    simulations: Simulations = field(default_factory=Simulations)


class Execution:
    """Runs one job and says truthfully how it ended.

    ``run`` is a thread's whole work; ``cancel`` may come at any time.
    """

    def __init__(self, machinery: Machinery, run: Run, node: str) -> None:
        self._machinery = machinery
        self._workspace = machinery.workspace
        self._run = run
        self.target = run.target or ""
        # Whether the node was lost while the job ran, which only a simulation brings about.
        self.lost = False
        self._node = node
        self._container = data_container(run)
        self._folder = machinery.workspace.folder.runs / run.id
        self._cancelled = threading.Event()
        self._closing = threading.Lock()
        self._closed = False
        self._process: JobProcess | None = None
        self._outputs: Outputs | None = None

    def cancel(self) -> bool:
        """Ask for the end. False when the job has ended by itself already: then it stays as it ended."""
        with self._closing:
            if not self._closed:
                self._cancelled.set()
            return not self._closed

    def run(self) -> None:
        """From *Preparing* to a final status. Never raises: what goes wrong is the run's error."""
        self._guarded(self._whole)

    def resume(self) -> None:
        """Go on with a job that an earlier server started."""
        if self._run.status == "CancelRequested":
            self.cancel()
        self._guarded(self._rest)

    def conclude(self) -> None:
        """Bring the end of an earlier server's job to its end."""
        known = self._run.process or {}
        self.lost = bool(known.get("lost"))
        with self._workspace.artifacts.open_log(self._container, NODE_LOG).open("a", encoding="utf-8") as log:
            self._conclude(str(known.get("final", "Canceled")), log)

    # Steps --------------------------------------------------------------------------------------------------

    def _whole(self, log: IO[str]) -> None:
        spec = parse(self._run.definition)
        self._status("Preparing")
        _say(log, f"Node {self._node} prepares the run {self._run.id}.")
        for note in spec.notes:
            _say(log, note)
        definition, client = spec.environment, None
        if spec.target == LOCAL_TARGET:
            client = await_client(self._folder, self._cancelled)
            if client is None:
                return
            definition = with_interpreter(definition, client.python)
        environment = self._build(definition)
        if self._cancelled.is_set():
            return
        self._status("Starting")
        working = self._working
        if working.is_relative_to(self._folder):
            # What an earlier server prepared, and was killed over, may be half of it.
            shutil.rmtree(working, ignore_errors=True)
        if spec.target != LOCAL_TARGET:
            working.mkdir(parents=True)
            count = self._workspace.snapshots.write_to(str(self._run.snapshot_id), working)
            _say(log, f"Snapshot {self._run.snapshot_id}: {count} files.")
        elif client is not None and client.folder != working:
            shutil.copytree(client.folder, working, symlinks=True)
        else:
            _say(log, f"The job runs in the folder that the client has copied its files to: {working}")
        variables = self._variables(spec, environment)
        places = self._machinery.inputs.fetch(spec.inputs, self._folder, working, variables, log, self._cancelled)
        if self._cancelled.is_set():
            return
        self._outputs = self._outputs_of(spec)
        places.update(self._outputs.prepare())
        variables.update(self._outputs.variables())
        self._process = self._launch(spec, environment, variables, places)
        _say(log, f"Process {self._process.pid}: {_described(spec)}")
        with contextlib.closing(self._process) as process:  # it begins once it is written down, or never
            self._workspace.runs.note_process(self._run.id, {"pid": process.pid, "started": process.started})
            self._status("Running")
            process.begin()
        self._follow(log, spec.max_seconds)
        self._keep_outputs(log)

    def _rest(self, log: IO[str]) -> None:
        known = self._run.process or {}
        self._process = JobProcess.attach(int(known["pid"]), float(known["started"]), self._status_file)
        if not self._process.began():
            _say(log, "The server was killed before the job began; a new one starts it.")
            self._whole(log)
            return
        _say(log, f"A new server takes up the process {self._process.pid}.")
        spec = parse(self._run.definition)
        self._outputs = self._outputs_of(spec)
        self._follow(log, spec.max_seconds)
        self._keep_outputs(log)

    def _build(self, definition: Mapping[str, Any]) -> JobEnvironment:
        path = self._workspace.artifacts.open_log(self._container, BUILD_LOG)
        try:
            with path.open("a", encoding="utf-8", errors="backslashreplace") as log:
                if self._machinery.simulations.take(Kind.BUILD_FAILED, self.target):
                    _say(log, f"ERROR: {BUILD_FAILURE}")
                    raise EnvironmentBuildError(BUILD_FAILURE)
                return self._machinery.builder.build(definition, log, self._cancelled)
        finally:
            self._workspace.artifacts.close_log(self._container, BUILD_LOG)

    def _launch(
        self,
        spec: JobSpec,
        environment: JobEnvironment,
        variables: Mapping[str, str],
        places: Mapping[str, str],
    ) -> JobProcess:
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
            if not (self._working / script).is_file():
                raise InputError(f"The script {script!r} is not in the submitted folder.")
            argv = [str(environment.python), str(Path(job_script.__file__)), script]
            argv += resolve(spec.arguments, places)
        try:
            return JobProcess.spawn(
                argv,
                cwd=self._working,
                environment=values,
                log=self._workspace.artifacts.open_log(self._container, JOB_LOG),
                status_file=self._status_file,
            )
        except OSError as error:
            raise InputError(f"The job's process can't be started: {error.strerror or error}.") from error

    def _follow(self, log: IO[str], max_seconds: float | None) -> None:
        assert self._process is not None
        # From the process's own start on, whichever server has seen that.
        deadline = self._process.started + max_seconds if max_seconds else None
        while not self._process.wait(POLL_SECONDS if not self._cancelled.is_set() else 0):
            if self._cancelled.is_set():
                self._process.terminate()
            elif self._machinery.simulations.take(Kind.NODE_LOST, self.target):
                self.lost = True
                self._process.kill()
            elif deadline and time.time() > deadline:
                # Before its end: what the script says of being interrupted is not the reason.
                self._fail(
                    f"The run took longer than its max_run_duration_seconds ({max_seconds:g}) and was ended.",
                    "TimeoutError",
                )
                self._process.terminate()
        self._process.kill()
        code = self._process.returncode
        _say(log, f"Process {self._process.pid} {describe_end(code)}.")
        if self.lost:
            self._fail(
                f"AzureMLCompute job failed. NodeLost: the node {self._node} of {self.target} was lost while the "
                "job ran, and what it had not uploaded with it (a simulation).",
                "ServiceError",
            )
        elif code != 0 and not self._cancelled.is_set():
            self._fail(f"The job's process {describe_end(code)}. See {JOB_LOG} for what it said last.")

    # The end ------------------------------------------------------------------------------------------------

    def _guarded(self, steps: Callable[[IO[str]], None]) -> None:
        path = self._workspace.artifacts.open_log(self._container, NODE_LOG)
        with path.open("a", encoding="utf-8", errors="backslashreplace") as log:
            try:
                steps(log)
            except EnvironmentBuildCanceled:
                _say(log, "The environment's build was cancelled.")
            except (EnvironmentBuildError, InputError, WorkspaceError, BlobError) as error:
                self._fail(str(error))
                _say(log, str(error))
            except OSError as error:
                self._fail(f"The run's files can't be handled: {error}", "SystemError")
                _say(log, str(error))
            except Exception as error:
                # A fault of ours: the run must not stay Running for ever, and the reason must be found.
                self._fail(f"The local cluster failed ({type(error).__name__}: {error}).", "SystemError")
                _say(log, repr(error))
                raise
            finally:
                self._finish(log)

    def _finish(self, log: IO[str]) -> None:
        with self._closing:
            self._closed = True
        error = self._workspace.runs.get(self._run.id).error
        final = "Canceled" if self._cancelled.is_set() else "Failed" if error else "Completed"
        # Before the status: whoever finds a run Finalizing finds what it comes to.
        self._workspace.runs.note_process(self._run.id, {"final": final, "lost": self.lost})
        self._conclude(final, log)

    def _conclude(self, final: str, log: IO[str]) -> None:
        """All of it can be done twice: a server that is killed leaves the rest to the next one."""
        self._status("Finalizing")
        if not self.lost:
            self._collect(log)
        self._close_job_log(log)
        _say(log, f"The run is {final}.")
        self._workspace.runs.await_follower(self._run.id)
        self._status(final)
        self._workspace.artifacts.close_log(self._container, NODE_LOG)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _close_job_log(self, log: IO[str]) -> None:
        if self._workspace.artifacts.exists(RUN_ORIGIN, self._container, JOB_LOG):
            blob = self._workspace.artifacts.get(RUN_ORIGIN, self._container, JOB_LOG)
            with contextlib.suppress(OSError):
                if blob.live and (strays := make_readable(self._workspace.artifacts.path(blob))):
                    _say(log, f"{strays} bytes of {JOB_LOG} were not UTF-8; a question mark is in the place of each.")
            self._workspace.artifacts.close_log(self._container, JOB_LOG)

    def _collect(self, log: IO[str]) -> None:
        """Keep the files of ``outputs`` and ``logs`` that the job did not upload itself, or changed since."""
        working = self._working
        for folder in COLLECTED:
            for path in sorted(_regular_files(working / folder)):
                name = path.relative_to(working).as_posix()
                try:
                    if self._workspace.artifacts.exists(RUN_ORIGIN, self._container, name):
                        known = self._workspace.artifacts.get(RUN_ORIGIN, self._container, name)
                        if known.size == path.stat().st_size:
                            continue
                    self._workspace.artifacts.put_file(RUN_ORIGIN, self._container, name, path)
                except (OSError, BlobError, UnicodeError) as error:
                    # A name that isn't UTF-8, or longer than a blob's can be, for example.
                    _say(log, f"{name} could not be kept: {error}")

    def _outputs_of(self, spec: JobSpec) -> Outputs:
        return Outputs(self._workspace, self._run, spec.outputs, self._folder, self._working)

    def _keep_outputs(self, log: IO[str]) -> None:
        """Still as *Running*, as in Azure: Run.wait_for_completion takes *Finalizing* for the end."""
        assert self._outputs is not None
        well = not self._cancelled.is_set() and not self._workspace.runs.get(self._run.id).error
        try:
            self._outputs.keep(log, well=well)
        except OutputError as error:
            self._fail(str(error))
            _say(log, str(error))

    def _status(self, status: str) -> None:
        self._workspace.runs.advance(self._run.id, status)

    def _fail(self, message: str, code: str = "UserError") -> None:
        if self._workspace.runs.get(self._run.id).status not in FINAL:
            self._workspace.runs.note_error(self._run.id, user_error(message, code))

    @property
    def _status_file(self) -> Path:
        return status_file(self._folder)

    @property
    def _working(self) -> Path:
        client = client_of(self._folder) if self._run.target == LOCAL_TARGET else None
        # What lies in the folder of another run, a job that has submitted this one, goes with that.
        if client is None or client.folder.is_relative_to(self._workspace.folder.runs):
            return self._folder / "wd"
        return client.folder

    def _variables(self, spec: JobSpec, environment: JobEnvironment) -> dict[str, str]:
        """A job's whole environment: nothing of the server's own but where programs are found and how text is
        written.
        """
        home = self._folder / "home"
        temporary = self._folder / "tmp"
        for folder in (home, temporary):
            folder.mkdir(parents=True, exist_ok=True)
        passed = {key: os.environ[key] for key in ("LANG", "LC_ALL", "TZ") if key in os.environ}
        return {
            **passed,
            "PATH": f"{environment.python.parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
            "HOME": str(home),
            "TMPDIR": str(temporary),
            "PYTHONUNBUFFERED": "1",
            "PYTHONIOENCODING": "utf-8",
            **self._machinery.job_variables(self._run),
            **spec.variables,
            "PYTHONPATH": os.pathsep.join(filter(None, [str(STARTUP_FOLDER), spec.variables.get("PYTHONPATH")])),
            # For the processes that fetch the inputs; the job's have it from JobProcess.
            **marker(self._status_file),
        }


def status_file(folder: Path) -> Path:
    """Where a run's keeper says how its job ended."""
    return folder / "exit_status"


def _shell() -> str:
    """What runs a command: bash, as in Azure's images, else the system's own shell."""
    return next(shell for shell in SHELLS if Path(shell).exists())


def _described(spec: JobSpec) -> str:
    words = spec.command if spec.command is not None else " ".join([str(spec.script), *spec.arguments])
    return words if len(words) <= 1000 else f"{words[:1000]} ..."


def _regular_files(folder: Path) -> list[Path]:
    """Files below a folder; no links (one could point anywhere), no pipes or devices."""
    found: list[Path] = []
    with contextlib.suppress(OSError):
        for root, _, names in os.walk(folder, followlinks=False):
            found += [path for name in names if not (path := Path(root) / name).is_symlink() and path.is_file()]
    return found


def _say(log: IO[str], line: str) -> None:
    with contextlib.suppress(OSError):
        print(time.strftime("%H:%M:%S"), line, file=log, flush=True)
