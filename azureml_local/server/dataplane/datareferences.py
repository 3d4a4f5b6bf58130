"""Data references of SDK v1: a path in a datastore, which a job reads or writes (azureml.data.data_reference).

``str(reference)`` in the arguments is ``$AZUREML_DATAREFERENCE_{name}``, which the job's runner replaces by the path on
the compute; the run configuration says what the name means (``dataReferences``, measured in azureml-core 1.61).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from azureml_local.server.dataplane.runconfiguration import name_of, part, path_on_compute
from azureml_local.workspace import Workspace, datastores
from azureml_local.workspace.errors import Invalid
from azureml_local.workspace.jobs import NOTHING, InputSpec, JobSpec, OutputSpec
from azureml_local.workspace.pipeline_runs import at_place

MOUNT, DOWNLOAD, UPLOAD = "mount", "download", "upload"


def with_references(workspace: Workspace, configuration: Mapping[str, Any], spec: JobSpec) -> JobSpec:
    """The job with what its run configuration refers to: inputs of the modes mount and download, outputs of the mode
    upload; a mounted folder is both.

    Raises Invalid, and NotFound for a datastore that isn't there.
    """
    inputs, outputs = list(spec.inputs), list(spec.outputs)
    taken = {each.name for each in inputs} | {each.name for each in outputs}
    for name, value in part(configuration, "dataReferences").items():
        store = str(part({"it": value}, "it").get("dataStoreName") or datastores.DEFAULT)
        mode = str(value.get("mode") or "mount").lower()
        path = datastores.clean_path(str(value.get("pathOnDataStore") or ""))
        on_compute = path_on_compute(name, value.get("pathOnCompute"))
        if name in taken:
            raise Invalid(f"The run has a data reference and an input or output of the same name, {name[:80]!r}.")
        if mode in (MOUNT, DOWNLOAD):
            found = at_place(workspace, _input(name_of(name), mode, on_compute), path, store)
            inputs.append(found)
            if mode == MOUNT and path and found.kind in (NOTHING, "uri_folder"):
                # What is written to a mount is in the datastore, as in Azure.
                outputs.append(
                    replace(_output(found.name, store, path, on_compute, overwrite=True), mounted=True, mechanism=MOUNT)
                )
        elif mode == UPLOAD:
            workspace.datastores.container(store)
            overwrite = bool(value.get("overwrite"))
            outputs.append(_output(name_of(name), store, path, on_compute, overwrite=overwrite))
        else:
            raise Invalid(f"The data reference {name!r} has the mode {mode[:40]!r}; it is mount, download or upload.")
    return replace(spec, inputs=tuple(inputs), outputs=tuple(outputs))


def _input(name: str, mode: str, on_compute: str | None) -> InputSpec:
    return InputSpec(name=name, dataset_id="", mechanism=mode, variable=name, path_on_compute=on_compute)


def _output(name: str, store: str, path: str, on_compute: str | None, *, overwrite: bool) -> OutputSpec:
    """A file or folder that the script itself makes; there is no dataset of it."""
    return OutputSpec(
        name=name,
        mechanism=UPLOAD,
        destination=path,
        path_on_compute=on_compute,
        overwrite=overwrite,
        globs=(),
        register_as=None,
        description=None,
        tags={},
        transformation=None,
        free=True,
        datastore=store,
    )
