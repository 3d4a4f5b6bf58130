"""Output datasets of a run (``OutputFileDatasetConfig``): its files are copied to the datastore when the job is over.

In Azure, the SDK's own ``azureml.data.context_managers`` does this beside the script: in upload mode it copies
the folder to the datastore when the script is done, in mount mode a file is copied when it is closed. Here both
are a folder on this machine whose files are copied when the job is over; in upload mode only if it did well.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import BinaryIO

from azureml_local.cluster.keeping import OutputCollector
from azureml_local.cluster.runcontext import RunContext
from azureml_local.runtime.outputs import OutputFolders
from azureml_local.storage.blobnames import is_name
from azureml_local.storage.tables import Run
from azureml_local.workspace import Workspace, datastores
from azureml_local.workspace.assets import NewVersion
from azureml_local.workspace.datasets import DatasetUse, files_at
from azureml_local.workspace.errors import WorkspaceError
from azureml_local.workspace.jobs import OutputSpec
from azureml_local.workspace.places import Place
from azureml_local.workspace.run_data import NamedData

# The SDK's own conversion of "read these files as a table" to what its Rust engine reads: in a process of its
# own, in the server's interpreter, which has the SDK wherever such an output was submitted.
TRANSFORM = """
import json, sys
from azureml.data._dataprep_helper import _convert_dataflow_stub_to_engineless, dataprep_stub
from azureml.dataprep.api.engineless_dataflow import EnginelessDataflow
asked = json.load(sys.stdin)
stub = dataprep_stub().DataflowStub.from_json(asked["transformation"])
flow = EnginelessDataflow(py_rs_dataflow=asked["files"]) + _convert_dataflow_stub_to_engineless(stub)
json.dump({"dataflow": flow.to_json(), "tabular": dataprep_stub().is_tabular(stub)}, sys.stdout)
"""


class OutputError(Exception):
    """An output can't be kept; one sentence for the run's error."""


@dataclass(frozen=True)
class Outputs:
    """What becomes of the outputs of one run, once their files are on this machine."""

    workspace: Workspace
    run: Run
    folders: OutputFolders

    def keep(self, collector: OutputCollector, record: RunContext, *, well: bool, begun: bool) -> None:
        """Copy the folders to the datastore, and save (and register) a dataset of each.

        ``begun``: an earlier server has begun with it, so that files may be there already.

        Raises:
            OutputError: files that are there already and may not be overwritten; an impossible transformation.
        """
        for spec in self.folders.specs:
            if spec.mechanism == "upload" and not well:
                record.say(f"Output {spec.name}: not uploaded, since the run did not complete.")
                continue
            path = spec.destination.replace("{run-id}", self.run.id).replace("{output-name}", spec.name)
            count = self._copy(collector, spec, path, begun=begun)
            registered = ""
            if not spec.free:
                registered = record.write(lambda spec=spec, path=path: self._save(spec, path))  # type: ignore[misc]
            at = f"{spec.datastore}/{path}{registered}"
            record.say(f"Output {spec.name}: {count} files ({spec.mechanism}) at {at}")

    def _copy(self, collector: OutputCollector, spec: OutputSpec, path: str, *, begun: bool) -> int:
        blobs, container = self.workspace.blobs, self.workspace.datastores.container(spec.datastore)
        found = self.folders.left(spec, path)
        if not spec.overwrite and not begun:
            names = (name for name in found.files if is_name(name))
            there = next((name for name in names if blobs.exists(container, name)), None)
            if there is not None:
                raise OutputError(
                    f"The output {spec.name!r} would replace {there!r} in the datastore. Choose another destination, "
                    "or allow it: as_upload(overwrite=True)."
                )

        def put(name: str, source: BinaryIO) -> None:
            blobs.put_file(container, name, source)

        collector.keep(found.files, put, found.odd)
        return len(found.files)

    def _save(self, spec: OutputSpec, path: str) -> str:
        datasets = self.workspace.datasets
        place = datastores.dataflow_path(self.workspace.identity.first, path, spec.datastore)
        kind, dataflow = "file", files_at(place)
        if spec.transformation:
            kind, dataflow = transformed(dataflow, spec.transformation, f"The output {spec.name!r}")
        saved_id, registered_id, version, said = "", None, None, self._register(spec, path)
        if spec.register_as:
            detail = datasets.register(
                spec.register_as,
                kind,
                dataflow,
                properties={},
                description=spec.description,
                tags=dict(spec.tags),
            )
            saved_id, registered_id, version = detail.saved.id, detail.dataset.id, detail.version.version
            said = f", registered as {spec.register_as}:{version}"
        else:
            saved_id = datasets.save(kind, dataflow, {}).id
        datasets.note_use(
            self.run.id,
            DatasetUse(saved_id, True, "RunOutput", spec.name, spec.mechanism.capitalize(), registered_id, version),
        )
        return said

    def _register(self, spec: OutputSpec, path: str) -> str:
        """Keep an output of SDK v2 by its name, as a version of the asset that it asks for; once, if done again."""
        if spec.kind is None:
            return ""
        uri = Place(spec.datastore, f"{path}/{spec.file}" if spec.file else path).uri
        known = next(
            (each for each in self.workspace.run_data.of(self.run.id, output=True) if each.name == spec.name), None
        )
        asset_id = known.asset_id if known else None
        if spec.asset is not None and asset_id is None:
            new = NewVersion(
                spec.asset,
                spec.asset_version,
                type=spec.kind,
                uri=uri,
                description=spec.description,
                run_id=self.run.id,
            )
            try:
                models = self.workspace.models
                row = models.register(new) if spec.kind.endswith("_model") else self.workspace.data.create(new)
            except WorkspaceError as error:
                raise OutputError(f"The output {spec.name!r} can't be registered: {error}") from error
            asset_id = f"{row.kind}:{row.name}:{row.version}"
        self.workspace.run_data.put(self.run.id, [NamedData(spec.name, spec.kind, uri, asset_id)], output=True)
        return f", registered as {asset_id.partition(':')[2]}" if asset_id else ""


def transformed(dataflow: str, transformation: str, what: str) -> tuple[str, str]:
    """A dataset's kind and data flow, after the transformation that its output or input asks for. Raises OutputError,
    whose sentence begins with ``what``.
    """
    asked: Mapping[str, str | None] = {
        "files": json.loads(dataflow)["meta"]["RsDataflow"],
        "transformation": transformation,
    }
    done = subprocess.run(
        [sys.executable, "-c", TRANSFORM], input=json.dumps(asked), capture_output=True, text=True, check=False
    )
    if done.returncode != 0 or not done.stdout.strip():
        reason = (done.stderr.strip().splitlines() or ["no output"])[-1]
        raise OutputError(f"{what} can't be read as its configuration says: {reason}")
    answer = json.loads(done.stdout.splitlines()[-1])
    return ("tabular" if answer["tabular"] else "file"), str(answer["dataflow"])
