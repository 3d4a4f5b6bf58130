"""The folder of a scoring process, laid out as in Azure's images.

    app/                       AML_APP_ROOT: the code, the driver as main.py
    app/azureml-models/NAME/VERSION/...
    scoring.sock               where the process answers
    home/, tmp/                the process's own

Paths inside archives and names of artifacts come from clients: nothing of them leads out of the folder.
"""

from __future__ import annotations

import os
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from azureml_local.storage.tables import AssetVersion
from azureml_local.storage.trees import remove_tree
from azureml_local.workspace import Workspace
from azureml_local.workspace.errors import Invalid, NotFound
from azureml_local.workspace.model_places import place_of_model
from azureml_local.workspace.places import place_of
from azureml_local.workspace.services import Image, SourceFile

MODELS = "azureml-models"
SOCKET = "scoring.sock"
READ_ONLY = 0o400
# The driver of a scikit-learn model that comes without code, with the request and the answer of Azure's.
NO_CODE_DRIVER = '''\
"""Serves a scikit-learn model: {"data": [[...], ...]} becomes {"predict": [...]}."""

import json
import os
import pathlib

import joblib
import numpy as np


def init():
    global model
    (path,) = (each for each in pathlib.Path(os.environ["AZUREML_MODEL_DIR"]).rglob("*") if each.is_file())
    model = joblib.load(path)


def run(data):
    rows = np.array(json.loads(data)["data"])
    return {"predict": model.predict(rows).tolist()}
'''


def lay_out(workspace: Workspace, image: Image, folder: Path) -> None:
    """Write the folder anew. Raises NotFound for files and models that are gone, Invalid for what can't be unpacked,
    OSError.
    """
    remove_tree(folder)
    app = folder / "app"
    for each in (folder, app, app / MODELS, folder / "home", folder / "tmp"):
        each.mkdir(mode=0o700, parents=True, exist_ok=True)
    for file in image.files:
        _write(workspace, file, app)
    if image.driver is not None:
        _write(workspace, SourceFile(image.driver.place, "main.py"), app)
    elif image.environment is None:
        (app / "main.py").write_text(NO_CODE_DRIVER, encoding="utf-8")
    for name, version in map(name_and_version, image.models):
        _write_model(workspace, workspace.models.get(name, version), app / MODELS / name / version)
    for root, _, names in os.walk(app):
        for name in names:
            Path(root, name).chmod(READ_ONLY)


def model_folder(image: Image) -> str:
    """What AZUREML_MODEL_DIR names, relative to the app's folder: the model's own folder, or that of all."""
    if len(image.models) != 1:
        return MODELS
    name, version = name_and_version(image.models[0])
    return f"{MODELS}/{name}/{version}"


def name_and_version(model_id: str) -> tuple[str, str]:
    name, _, version = model_id.rpartition(":")
    return name, version


def found_files(folder: Path) -> Iterator[str]:
    """The files of a scoring process, for its log: what a script that finds no model needs to know."""
    app = folder / "app"
    for path in sorted(app.rglob("*")):
        if path.is_file():
            yield str(path.relative_to(app))


def _write(workspace: Workspace, file: SourceFile, app: Path) -> None:
    origin, container, path = _parts(file.place)
    blob, source = workspace.artifacts.open(workspace.artifacts.get(origin, container, path))
    with source:
        if not file.unpack:
            _copy(source, app / PurePosixPath(file.name).name)
            return
        try:
            with tarfile.open(fileobj=source, mode="r:*") as archive:
                archive.extractall(app, filter="data")
        except (tarfile.TarError, EOFError) as error:
            raise Invalid(f"The service's code, {blob.name}, can't be unpacked: {error}.") from error


def _write_model(workspace: Workspace, model: AssetVersion, target: Path) -> None:
    """The files of a version: as in Azure, below the last part of the path that it was registered with."""
    place = place_of(place_of_model(workspace, model), workspace.identity.names, workspace.datastores)
    if place is None:
        raise NotFound(f"The model {model.name}:{model.version} is at {model.uri}, which is not in this workspace.")
    container, base = place.container, place.path.rstrip("/")
    parent = base.rpartition("/")[0]
    blobs = workspace.blobs.list(container, base + "/") or (
        [workspace.blobs.get(container, base)] if workspace.blobs.exists(container, base) else []
    )
    if not blobs:
        raise NotFound(f"The files of the model {model.name}:{model.version} are gone; register it again.")
    for blob in blobs:
        relative = PurePosixPath(blob.name[len(parent) + 1 if parent else 0 :])
        if ".." in relative.parts or relative.is_absolute():
            raise Invalid(f"The model {model.name}:{model.version} has a file with the name {str(relative)[:80]!r}.")
        path = target / relative
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _, source = workspace.blobs.open(container, blob.name)
        with source:
            _copy(source, path)


def _copy(source: BinaryIO, path: Path) -> None:
    with path.open("wb") as target:
        shutil.copyfileobj(source, target)


def _parts(place: str) -> tuple[str, str, str]:
    parts = place.split("/", 2)
    if len(parts) != 3 or not all(parts):
        raise Invalid(f"{place[:80]!r} is no place of an uploaded file.")
    return parts[0], parts[1], parts[2]
