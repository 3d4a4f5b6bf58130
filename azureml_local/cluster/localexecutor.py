"""The local executor: jobs are processes on the server's machine, and outlive the server."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

from azureml_local.cluster.runcontext import RunContext
from azureml_local.runtime.jobrunner import JobRunner, Task, follow
from azureml_local.runtime.local_target import Client, await_client, client_of, with_interpreter
from azureml_local.runtime.outputs import OutputFolders
from azureml_local.runtime.process import JobProcess
from azureml_local.runtime.threads import machine_cores, thread_variables
from azureml_local.storage import short_folders
from azureml_local.storage.trees import remove_tree
from azureml_local.workspace.jobs import LOCAL_TARGET, JobSpec, spec_of


class LocalExecutor:
    """A `reporter.Executor` on this machine."""

    def __init__(self, record: RunContext) -> None:
        self._record = record
        self._workspace = record.workspace
        self._client: Client | None = None

    def run(self) -> bool:
        record = self._record
        spec, client = spec_of(record.run), None
        record.stage("Preparing")
        record.say(f"Node {record.node} prepares the run {record.run.id}.")
        if spec.target == LOCAL_TARGET:
            client = self._client = await_client(record.folder, record.cancelled)
            if client is None:
                return False
            spec = dataclasses.replace(spec, environment=with_interpreter(spec.environment, client.python))
        return self._job_runner(spec, client).run()

    def resume(self) -> bool:
        record = self._record
        process = JobProcess.attach(record.known, record.status_file)
        if not process.began():
            record.say("The server was killed before the job began; a new one starts it.")
            return self.run()
        record.say(f"A new server recovers the process {process.pid}.")
        follow(record, process, spec_of(record.run).max_seconds)
        return True

    def postpone(self) -> bool:
        return False

    @property
    def working(self) -> Path:
        if self._client is None and self._record.run.target == LOCAL_TARGET:
            # Once: it lies where the job may write.
            self._client = client_of(self._record.folder)
        client = self._client
        # What lies in the folder of another run, a job that has submitted this one, goes with that.
        if client is None or self._in_a_run(client.folder):
            return self._record.folder / "wd"
        return client.folder

    def _in_a_run(self, folder: Path) -> bool:
        """A job's TMPDIR, where its SDK copies the files of a local run to, is in its short folder."""
        return folder.is_relative_to(self._workspace.folder.runs) or short_folders.hold(folder)

    def outputs(self) -> OutputFolders:
        return OutputFolders(spec_of(self._record.run).outputs, self._record.folder, self.working)

    def _job_runner(self, spec: JobSpec, client: Client | None) -> JobRunner:
        record, services = self._record, self._record.services
        task = Task(
            spec=spec,
            variables={
                **services.job_variables(record.run),
                **self._threads(),
                **(client.variables if client is not None else {}),
            },
            flows=record.flows(),
            fingerprints=record.fingerprints,
            folder=record.folder,
            working=self.working,
        )
        return JobRunner(
            record,
            task,
            builder=services.builder,
            inputs=services.inputs,
            write_files=lambda: self._write_files(client),
        )

    def _threads(self) -> dict[str, str]:
        """Jobs that wait for a node count too: of several that are submitted at once the first one starts alone."""
        computes = {compute.name: compute for compute in self._workspace.computes.list()}
        own = computes.get(self._record.target)
        nodes = sum(compute.max_nodes for compute in computes.values())
        jobs = min(self._workspace.runs.jobs_at_work(), nodes) if own else self._workspace.runs.jobs_at_work()
        return thread_variables(own.vm_size if own else None, jobs, machine_cores())

    def _write_files(self, client: Client | None) -> None:
        record, working = self._record, self.working
        if working.is_relative_to(record.folder):
            # What an earlier server prepared, and was killed over, may be half of it.
            remove_tree(working)
        if client is None:
            working.mkdir(parents=True)
            count = self._workspace.snapshots.write_to(str(record.run.snapshot_id), working)
            record.say(f"Snapshot {record.run.snapshot_id}: {count} files.")
        elif client.folder != working:
            shutil.copytree(client.folder, working, symlinks=True)
        else:
            record.say(f"The job runs in the folder that the client has copied its files to: {working}")
