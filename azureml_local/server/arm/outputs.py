"""Outputs of SDK v2's jobs: folders and files that are kept in the datastore, and registered by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from azureml_local.server.arm.inputs import FILES, MODELS
from azureml_local.server.arm.versioned import MAX_URI
from azureml_local.workspace import Workspace, datastores
from azureml_local.workspace.assets import check_asset_name
from azureml_local.workspace.errors import Invalid, NotBuilt
from azureml_local.workspace.jobs import URI_FILE, OutputSpec
from azureml_local.workspace.places import place_of

MODES = {None: "mount", "readwritemount": "mount", "upload": "upload"}


def read_output(workspace: Workspace, name: str, given: Mapping[str, Any], run_id: str) -> OutputSpec:
    """An output, with the path in the datastore that it is copied to. Raises Invalid, NotFound, NotBuilt."""
    kind, mode, asked = given.get("jobOutputType") or "uri_folder", given.get("mode"), given.get("uri")
    if kind not in FILES + MODELS:
        raise Invalid(f"The output {name!r} can't be {str(kind)[:40]!r}.")
    key = None if mode is None else str(mode).lower()
    if key not in MODES:
        raise NotBuilt(f"The output {name!r} has the mode {str(mode)[:40]}; azureml-local has rw_mount and upload.")
    path, file, store = f"azureml/{run_id}/{name}", name if kind == URI_FILE else None, datastores.DEFAULT
    if asked:
        uri = str(asked)[:MAX_URI].replace("${{name}}", run_id)
        place = place_of(uri, workspace.identity.names, workspace.datastores)
        if place is None or place.datastore == datastores.ARTIFACTS:
            raise NotBuilt(f"The output {name!r} can be in {datastores.DEFAULT!r} or a registered datastore.")
        path, store = datastores.clean_path(place.path), place.datastore
        if kind == URI_FILE:
            path, _, file = path.rpartition("/")
    if not path or file == "":
        raise Invalid(f"The output {name!r} needs a path in the datastore.")
    asset, version = given.get("assetName"), given.get("assetVersion")
    return OutputSpec(
        name=name,
        mechanism=MODES[key],
        destination=path,
        path_on_compute=None,
        overwrite=True,
        globs=(),
        register_as=None,
        description=None if given.get("description") is None else str(given["description"]),
        tags={},
        transformation=None,
        kind=str(kind),
        file=file,
        asset=None if asset is None else check_asset_name(str(asset)),
        asset_version=None if version is None else str(version),
        datastore=store,
    )
