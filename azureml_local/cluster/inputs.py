"""A job's inputs: datasets brought into its folder before the script starts.

Azure mounts or downloads them with the SDK's Rust engine. So does this: the same engine, in a process of its
own, with the job's token. The one short cut is for files of our own open data mirror, which lie on this
machine already.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import yaml

from azureml_local.cluster.engine import Home
from azureml_local.cluster.jobspec import InputSpec

# Runs in the server's own interpreter, which has the SDK wherever the tutorial runs. As in the SDK's own
# azureml.data.context_managers, the dataset is got in a way that doesn't count as the script's asking for it.
FETCH = """
import json, sys
from azureml.core import Run
from azureml.data._dataset import _Dataset
workspace = Run.get_context(allow_offline=False).experiment.workspace
for name, dataset_id, target in json.loads(sys.argv[1]):
    print("Input", name, flush=True)
    _Dataset._get_by_id(workspace, dataset_id).download(target, overwrite=True)
"""

MOST_YAML = 256 * 1024


class InputError(Exception):
    """An input can't be had; one sentence for the run's error."""


@dataclass(frozen=True)
class Mirror:
    """The files that the server itself serves: their URL's beginning, and where they lie.

    The folder is found on first use.
    """

    url: str
    folder: Callable[[], Path]


class Inputs:
    """``mirror`` is None on a machine that isn't the server's: everything is fetched there."""

    def __init__(self, mirror: Mirror | None) -> None:
        self._mirror = mirror

    def fetch(
        self,
        inputs: tuple[InputSpec, ...],
        flows: Mapping[str, str],
        folder: Path,
        working: Path,
        environment: Mapping[str, str],
        home: Home,
    ) -> dict[str, str]:
        """Bring every input into the run's folder, or where it asks to be (relative to the working directory).

        ``flows`` are the data flows (YAML) by the ids of the datasets.

        Returns what each stands for in the arguments: a folder, the file of a mounted dataset that is one file, or
        a dataset id for ``direct``.

        Raises:
            InputError: a dataset that can't be read.
        """
        targets: dict[str, Path] = {}
        to_fetch: list[tuple[str, str, str]] = []
        for spec in inputs:
            if spec.mechanism == "direct":
                continue
            target = working / spec.path_on_compute if spec.path_on_compute else folder / "inputs" / spec.name
            target.mkdir(parents=True, exist_ok=True)
            targets[spec.name] = target
            files = self._mirrored(flows[spec.dataset_id])
            if files is None:
                to_fetch.append((spec.name, spec.dataset_id, str(target)))
            else:
                for relative, source in files.items():
                    destination = target / relative
                    destination.parent.mkdir(parents=True, exist_ok=True)
                    _link_or_copy(source, destination)
        if to_fetch:
            self._download(to_fetch, folder, environment, home)
        places: dict[str, str] = {}
        for spec in inputs:
            if spec.mechanism == "direct":
                places[spec.name] = spec.dataset_id
                continue
            target = targets[spec.name]
            found = [path for path in target.rglob("*") if path.is_file()]
            home.say(f"Input {spec.name}: {len(found)} files ({spec.mechanism}) at {target}")
            single = spec.mechanism == "mount" and _single_file(flows[spec.dataset_id])
            places[spec.name] = str(found[0] if single and len(found) == 1 and found[0].name == single else target)
        return places

    def _mirrored(self, dataflow: str) -> dict[str, Path] | None:
        """The files of a data flow that only names files of the mirror; None for any other."""
        if self._mirror is None:
            return None
        try:
            flow = _flow(dataflow)
            paths = [entry["file"] for entry in flow["paths"]]
        except (ValueError, KeyError, TypeError):
            return None
        prefix = self._mirror.url + "/"
        if flow.get("transformations") or not paths or not all(str(path).startswith(prefix) for path in paths):
            return None
        if any(".." in urlsplit(str(path)).path.split("/") for path in paths):
            return None  # its place in the job's folder would be outside of it
        root = self._mirror.folder()
        found = {_engine_path(str(path)): root / Path(urlsplit(str(path)).path).name for path in paths}
        return found if all(path.is_file() for path in found.values()) else None

    @staticmethod
    def _download(
        inputs: list[tuple[str, str, str]],
        folder: Path,
        environment: Mapping[str, str],
        home: Home,
    ) -> None:
        process = subprocess.Popen(
            [sys.executable, "-c", FETCH, json.dumps(inputs)],
            env=dict(environment),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        output: list[str] = []
        reader = threading.Thread(target=lambda: output.append(process.stdout.read() if process.stdout else ""))
        reader.start()
        while process.poll() is None:
            if home.cancelled.wait(0.05):
                process.kill()
        reader.join()
        for line in output[0].splitlines():
            home.say(line)
        if process.returncode != 0 and not home.cancelled.is_set():
            said = output[0].strip().splitlines() or ["no output"]
            name = next((line[len("Input ") :] for line in reversed(said) if line.startswith("Input ")), inputs[0][0])
            raise InputError(f"The input {name!r} could not be downloaded for the job: {said[-1]}")


def _flow(dataflow: str) -> Any:
    """A data flow's YAML. Raises ValueError when it is none, or so large that reading it would take minutes."""
    if len(dataflow) > MOST_YAML:
        raise ValueError("too large")
    try:
        return yaml.safe_load(dataflow)
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError("not YAML") from error


def _single_file(dataflow: str) -> str | None:
    """The name of the file in a data flow that is the path of one file (or folder), without a pattern; else None.

    A mount of such a dataset stands for the file and not for the folder around it (azureml.data.context_managers).
    """
    try:
        flow = _flow(dataflow)
        (entry,) = flow["paths"]
        (path,) = entry.values()
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    if flow.get("transformations") or "*" in str(path):
        return None
    return unquote(urlsplit(str(path)).path).rsplit("/", 1)[-1] or None


def _engine_path(url: str) -> str:
    """Where the Rust engine puts a file that it downloads from this URL (measured with azureml-dataprep-rslex
    2.26).
    """
    parts = urlsplit(url)
    return f"{quote(parts.scheme + ':', safe='')}/{quote('/' + parts.netloc, safe='')}{parts.path}"


def _link_or_copy(source: Path, destination: Path) -> None:
    # A copy, where a link would let a job that writes to its input change the mirror.
    shutil.copyfile(source, destination)
    destination.chmod(0o444)
