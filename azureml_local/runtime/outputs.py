"""Output folders of a job (``OutputFileDatasetConfig``), and the files that it wrote there."""

from __future__ import annotations

import fnmatch
import json
from dataclasses import dataclass
from pathlib import Path

from azureml_local.runtime.left import Left, left_in
from azureml_local.storage.folder import write_private
from azureml_local.storage.trees import open_regular
from azureml_local.workspace.jobs import OutputSpec

# The folders of the working directory whose files a run keeps.
COLLECTED = ("outputs", "logs")


@dataclass(frozen=True)
class OutputFolders:
    """Output folders of one job: ``folder`` is the run's, ``working`` the working directory of its script."""

    specs: tuple[OutputSpec, ...]
    folder: Path
    working: Path

    def prepare(self) -> dict[str, str]:
        """Create the folders, when the inputs are there. Returns the path of each by name, but for those of inputs."""
        for spec in self.specs:
            place = self.place(spec)
            (place.parent if spec.free else place).mkdir(parents=True, exist_ok=True)
            if spec.mounted:
                write_private(self._state_file(spec), json.dumps(_state(place)))
        return {spec.name: self._told(spec) for spec in self.specs if not spec.mounted}

    def variables(self) -> dict[str, str]:
        """Environment variables that give the script the paths: one for each name, and those of
        ``run.output_datasets``.
        """
        specs = [spec for spec in self.specs if not spec.mounted]
        if not specs:
            return {}
        places = {spec.variable: self._told(spec) for spec in specs}
        datasets = [spec.variable for spec in specs if not spec.free]
        return {
            **places,
            **{f"AZUREML_DATAREFERENCE_{name}": place for name, place in places.items()},
            **({"AZUREML_DATASET_FILE_OUTPUTS": ";".join(datasets)} if datasets else {}),
        }

    def _told(self, spec: OutputSpec) -> str:
        place = self.place(spec)
        return str(place / spec.file if spec.file else place)

    def place(self, spec: OutputSpec) -> Path:
        if spec.path_on_compute is None:
            return self.folder / ("inputs" if spec.mounted else "output-data") / spec.name
        return self.working / spec.path_on_compute  # an absolute path stays what it is

    def left(self, spec: OutputSpec, name: str) -> Left:
        """What the job has left of an output, by its places where the output is to be ``name``."""
        place, found = self.place(spec), Left()
        if spec.free and place.is_file() and not place.is_symlink():
            found.files[name] = place
        else:
            found.add(f"{name}/", written(place, spec.globs))
        if spec.mounted:
            before = self._before(spec)
            found.files = {
                each: path for each, path in found.files.items() if before.get(each[len(name) + 1 :]) != _look(path)
            }
        return found

    def _state_file(self, spec: OutputSpec) -> Path:
        return self.folder / f"mounted-{spec.name}.json"

    def _before(self, spec: OutputSpec) -> dict[str, list[int]]:
        """What was in a mounted folder when the job began; nothing where the job has made that unreadable."""
        try:
            with open_regular(self._state_file(spec)) as file:
                found = json.load(file)
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}


def _state(place: Path) -> dict[str, list[int]]:
    return {name: _look(path) for name, path in left_in(place, "").files.items()}


def _look(path: Path) -> list[int]:
    """Size and time of a file; another look is another content."""
    found = path.lstat()
    return [found.st_size, found.st_mtime_ns]


def written(place: Path, globs: tuple[str, ...]) -> Left:
    """The files in an output's folder; with patterns, those whose whole path, or path below the folder, matches one."""
    found = left_in(place, "")
    if globs:
        found.files = {
            name: path
            for name, path in found.files.items()
            if any(fnmatch.fnmatch(str(path), pattern) or fnmatch.fnmatch(name, pattern) for pattern in globs)
        }
    return found
