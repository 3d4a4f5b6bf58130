"""The folders that a job writes its outputs to (``OutputFileDatasetConfig``), and the files that it has left there."""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass
from pathlib import Path

from azureml_local.runtime.left import Left, left_in
from azureml_local.workspace.jobs import OutputSpec

# The folders of the working directory whose files a run keeps.
COLLECTED = ("outputs", "logs")


@dataclass(frozen=True)
class OutputFolders:
    """Where a job writes its outputs: ``folder`` is the run's, ``working`` the one that its script starts in."""

    specs: tuple[OutputSpec, ...]
    folder: Path
    working: Path

    def prepare(self) -> dict[str, str]:
        """Make the folders. Returns where each is."""
        for spec in self.specs:
            self.place(spec).mkdir(parents=True, exist_ok=True)
        return {spec.name: str(self.place(spec)) for spec in self.specs}

    def variables(self) -> dict[str, str]:
        """What the script finds them by: variables under their names, and ``run.output_datasets``."""
        if not self.specs:
            return {}
        places = {spec.name: str(self.place(spec)) for spec in self.specs}
        return {**places, "AZUREML_DATASET_FILE_OUTPUTS": ";".join(places)}

    def place(self, spec: OutputSpec) -> Path:
        if spec.path_on_compute is None:
            return self.folder / "output-data" / spec.name
        return self.working / spec.path_on_compute  # an absolute path stays what it is


def written(place: Path, globs: tuple[str, ...]) -> Left:
    """What lies in an output's folder; with patterns, those files of which one fits the whole path or that below the
    folder.
    """
    found = left_in(place, "")
    if globs:
        found.files = {
            name: path
            for name, path in found.files.items()
            if any(fnmatch.fnmatch(str(path), pattern) or fnmatch.fnmatch(name, pattern) for pattern in globs)
        }
    return found
