"""Inputs of SDK v2's jobs: URIs, and assets that stand for URIs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from azureml_local.names import WorkspaceName
from azureml_local.server.arm.versioned import MAX_URI
from azureml_local.workspace import Workspace
from azureml_local.workspace.datasets import files_at
from azureml_local.workspace.errors import Invalid, NotBuilt
from azureml_local.workspace.jobs import URI_FILE, InputSpec
from azureml_local.workspace.model_places import place_of_model, resolved
from azureml_local.workspace.places import place_of, shown_uri

ASSET = re.compile(
    r"(?:azureml:)?/subscriptions/.*/(data|models)/([^/]+)/(versions|labels)/([^/]+)", re.IGNORECASE | re.DOTALL
)
FILES, MODELS = ("uri_file", "uri_folder", "mltable"), ("custom_model", "mlflow_model", "triton_model")
MODES = {None: "mount", "readonlymount": "mount", "download": "download", "direct": "direct"}


def read_input(workspace: Workspace, name: str, given: Mapping[str, Any], workspace_name: WorkspaceName) -> InputSpec:
    """An input that is data.

    Raises:
        Invalid, NotFound: no data that a job can read. NotBuilt: a way to read it that isn't there.
    """
    kind, asked, mode = given.get("jobInputType"), given.get("uri"), given.get("mode")
    if kind not in FILES + MODELS or not isinstance(asked, str) or not 0 < len(asked) <= MAX_URI:
        raise Invalid(f"The input {name!r} is {str(kind)[:40]!r} at {str(asked)[:120]!r}, which is no data.")
    key = None if mode is None else str(mode).lower()
    if key not in MODES:
        raise NotBuilt(
            f"The input {name!r} has the mode {str(mode)[:40]}; azureml-local has ro_mount, download, direct."
        )
    uri = _uri(workspace, name, str(kind), asked)
    place = place_of(uri, (), workspace.datastores)
    file = kind == URI_FILE
    if place is not None and kind in MODELS:  # a model may be one file, too
        file = workspace.blobs.exists(place.container, place.path.rstrip("/"))
    mirrored = workspace.mirrors.find(uri) is not None
    if place is None and not file and not mirrored:
        raise NotBuilt(f"The input {name!r} is a folder at {uri[:120]!r}; of the web azureml-local reads single files.")
    long = shown_uri(uri, workspace_name)
    flow = files_at(long.rstrip("/")) if place is not None else files_at(uri, "file" if file else "folder")
    return InputSpec(
        name=name,
        dataset_id=workspace.datasets.save("file", flow, {}).id,
        mechanism=MODES[key],
        variable=f"AZURE_ML_INPUT_{name}",
        path_on_compute=None,
        uri=long,
        kind=URI_FILE if file else str(kind),
    )


def _uri(workspace: Workspace, name: str, kind: str, asked: str) -> str:
    found = ASSET.fullmatch(asked)
    if found is None:
        return resolved(workspace, asked, workspace.identity.names)[0]
    assets = workspace.data if found[1].lower() == "data" else workspace.models
    row = assets.get(found[2], found[4]) if found[3].lower() == "versions" else assets.labelled(found[2], found[4])
    if assets is workspace.models:
        return place_of_model(workspace, row)
    if row.type != kind:
        raise Invalid(
            f"The input {name!r} has the type {kind}, and the data asset {row.name}:{row.version} is {row.type}. "
            f"Set Input(type={row.type!r}, ...)."
        )
    return row.uri or ""
