"""A job's inputs: mounts or downloads of its datasets, prepared before its script starts.

Azure mounts or downloads them with the SDK's Rust engine. So does this: the same engine, in a process of its
own, with the job's token. The one short cut is for files of our own open data mirror, which lie on this
machine already.

Files that can be known not to have changed are fetched once: they lie in a folder that the jobs of this machine share
(`shared`), a mount is that folder itself, and a download is a copy of it. All others are fetched for each job.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from azureml_local.runtime.dataflows import Mirror, mirrored, others_of, single_file
from azureml_local.runtime.reporter import RunReporter
from azureml_local.runtime.shared import NotShared, SharedFolders, Use
from azureml_local.storage.trees import remove_tree
from azureml_local.workspace.jobs import NOTHING, URI_FILE, InputSpec
from azureml_local.workspace.mirrors import Mirrors

# Runs in the server's own interpreter, which has the SDK wherever the tutorial runs. As in the SDK's own
# azureml.data.context_managers, the dataset is got in a way that doesn't count as the script's asking for it.
FETCH = """
import gc, json, sys
gc.disable()  # as in job.py
from azureml.core import Run
from azureml.data._dataset import _Dataset
gc.freeze()
gc.enable()
workspace = Run.get_context(allow_offline=False).experiment.workspace

def told(name):
    try:
        store = workspace.datastores[name]
        account, place = getattr(store, "account_name", ""), getattr(store, "container_name", "")
        return "%s (%s at %s.%s)" % (name, place, account, getattr(store, "endpoint", ""))
    except Exception as error:
        return "%s (%s)" % (name, " ".join(str(error).split())[:300])

for name, dataset_id, target, datastores in json.loads(sys.argv[1]):
    print("Input", name, flush=True)
    try:
        _Dataset._get_by_id(workspace, dataset_id).download(target, overwrite=True)
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        where = [told(each) for each in datastores]
        print(json.dumps({"input": name, "reason": reason[:1000], "where": where}), flush=True)
        sys.exit(1)
"""


class InputError(Exception):
    """An input can't be provided; the message is one sentence for the run's error."""


@dataclass(frozen=True)
class InputRequest:
    """What a job reads, and where. ``flows`` are the data flows (YAML) by the ids of the datasets; ``fingerprints``
    tells those that can be shared from one another, by the same ids. ``folder`` is the run's, ``working`` the one
    that its script starts in; in ``written`` are the folders that it writes to.
    """

    inputs: tuple[InputSpec, ...]
    flows: Mapping[str, str]
    fingerprints: Callable[[], Mapping[str, str]]
    folder: Path
    working: Path
    written: Sequence[Path]

    def place(self, spec: InputSpec) -> Path:
        """The path that an input requests; an absolute path is kept."""
        return self.working / spec.path_on_compute if spec.path_on_compute else self.folder / "inputs" / spec.name

    def can_be_a_link(self, spec: InputSpec) -> bool:
        """Whether nothing but this input is to be at its place, and the place goes when the run does."""
        place = self.place(spec)
        others = [self.working, *self.written, *(self.place(each) for each in self.inputs if each is not spec)]
        if any(other.is_relative_to(place) for other in others) or not _inside(place, self.folder):
            return False
        if any(place.is_relative_to(other) for other in others if other != self.working):
            return False
        return not place.exists() or (place.is_dir() and not any(place.iterdir()))


@dataclass(frozen=True)
class Brought:
    """``places``: what each input stands for in the arguments; a folder, the file of a mounted dataset that is one
    file, or a dataset id for ``direct``. The shared folders stay as long as one process has ``descriptors`` open.
    """

    places: Mapping[str, str]
    descriptors: Sequence[int]


class Inputs:
    """``mirror`` and ``mirrors`` are None on a machine that isn't the server's: everything is fetched there."""

    def __init__(self, shared: SharedFolders, mirror: Mirror | None, mirrors: Mirrors | None = None) -> None:
        self.shared = shared
        self.mirror = mirror
        self._mirrors = mirrors

    @contextlib.contextmanager
    def brought(self, wanted: InputRequest, environment: Mapping[str, str], reporter: RunReporter) -> Iterator[Brought]:
        """The inputs of a job, for its start. Of no use once the run is cancelled.

        Raises:
            InputError: a dataset that can't be read.
        """
        # What an earlier server fetched, and was killed over, may be half of it.
        remove_tree(wanted.folder / "inputs")
        specs = [spec for spec in wanted.inputs if spec.mechanism != "direct"]
        with contextlib.ExitStack() as stack:
            uses = self._uses(specs, wanted, reporter, stack)
            if specs and not reporter.cancelled.is_set():
                self._fetch(specs, uses, wanted, environment, reporter)
            places = {spec.name: spec.uri or spec.dataset_id for spec in wanted.inputs if spec.mechanism == "direct"}
            if not reporter.cancelled.is_set():
                places |= {spec.name: _put(spec, uses.get(spec.dataset_id), wanted, reporter) for spec in specs}
            yield Brought(places, [use.descriptor for use in uses.values()])

    def _uses(
        self, specs: Sequence[InputSpec], wanted: InputRequest, reporter: RunReporter, stack: contextlib.ExitStack
    ) -> dict[str, Use]:
        """The shared folders, by the ids of their datasets. Two jobs ask in the same order, and never wait for one
        another.
        """
        names = {spec.dataset_id: spec.name for spec in specs}
        keys = wanted.fingerprints() if specs else {}
        uses: dict[str, Use] = {}
        for key in sorted({key for dataset_id, key in keys.items() if dataset_id in names}):
            ids = [dataset_id for dataset_id in names if keys.get(dataset_id) == key]

            def waits(name: str = names[ids[0]]) -> None:
                reporter.say(f"Input {name}: another run fetches it; waiting for that.")

            try:
                use = stack.enter_context(self.shared.use(key, reporter.cancelled, waits))
            except NotShared:
                reporter.say(
                    f"Input {names[ids[0]]}: somebody has changed the shared files, which other runs use still."
                )
                continue
            if use is not None:
                uses |= dict.fromkeys(ids, use)
        return uses

    def _fetch(
        self,
        specs: Sequence[InputSpec],
        uses: Mapping[str, Use],
        wanted: InputRequest,
        environment: Mapping[str, str],
        reporter: RunReporter,
    ) -> None:
        """Fetch missing inputs: into the shared folders, or to their own path where they can't be shared."""
        made = {id(use): (dataset_id, use) for dataset_id, use in uses.items() if not use.complete}
        targets = [(spec.name, spec.dataset_id, wanted.place(spec)) for spec in specs if spec.dataset_id not in uses]
        for dataset_id, use in made.values():
            name = next(spec.name for spec in specs if spec.dataset_id == dataset_id)
            targets.append((name, dataset_id, use.unfinished))
        to_fetch = []
        nothing = {spec.dataset_id for spec in specs if spec.kind == NOTHING}
        for name, dataset_id, target in targets:
            target.mkdir(parents=True, exist_ok=True)
            if dataset_id in nothing:
                continue
            files = mirrored(wanted.flows[dataset_id], self.mirror, self._mirrors)
            if files is None:
                to_fetch.append((name, dataset_id, str(target), others_of(wanted.flows[dataset_id])))
            else:
                _copy(files, target)
        if to_fetch:
            self._download(to_fetch, wanted.folder, environment, reporter, [use.descriptor for _, use in made.values()])
        if made and not reporter.cancelled.is_set():
            now = wanted.fingerprints()
            for dataset_id, use in made.values():
                # Files that were changed meanwhile are a mixture, for this run only.
                if use.folder.name == now.get(dataset_id):
                    use.publish()
            self.shared.sweep()

    @staticmethod
    def _download(
        inputs: list[tuple[str, str, str, list[str]]],
        folder: Path,
        environment: Mapping[str, str],
        reporter: RunReporter,
        descriptors: Sequence[int],
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
            pass_fds=descriptors,  # should it outlive the server, nobody else writes where it does
        )
        output: list[str] = []
        reader = threading.Thread(target=lambda: output.append(process.stdout.read() if process.stdout else ""))
        reader.start()
        while process.poll() is None:
            if reporter.cancelled.wait(0.05):
                process.kill()
        reader.join()
        for line in output[0].splitlines():
            reporter.say(line)
        if process.returncode != 0 and not reporter.cancelled.is_set():
            raise InputError(_refusal(inputs, output[0]))


def _refusal(inputs: Sequence[tuple[str, str, str, list[str]]], output: str) -> str:
    """Extract the reason why an input can't be provided from the output of the fetching process."""
    for line in output.splitlines():  # not the last line: the SDK prints messages of its own at its end
        with contextlib.suppress(ValueError, TypeError, KeyError):
            said = json.loads(line)
            where = f" of the datastore {', '.join(said['where'])}" if said["where"] else ""
            return f"The input {said['input']!r}{where} could not be downloaded for the job: {said['reason']}"
    last = (output.strip().splitlines() or ["no output"])[-1]
    names = ", ".join(repr(name) for name, *_ in inputs)
    return f"The inputs {names} could not be downloaded for the job: {last}"


def _put(spec: InputSpec, use: Use | None, wanted: InputRequest, reporter: RunReporter) -> str:
    """Provide an input at its path, and log it. Returns the value that replaces it in the arguments."""
    place, how = wanted.place(spec), ""
    if use is not None and use.complete and spec.mechanism == "mount" and wanted.can_be_a_link(spec):
        how = f", shared ({_when(use)})"
        if spec.path_on_compute is None:
            place = use.folder
        else:
            place.parent.mkdir(parents=True, exist_ok=True)
            if place.exists():
                place.rmdir()
            place.symlink_to(use.folder)
    elif use is not None:
        source = use.folder if use.complete else use.unfinished
        how = f", a copy of what is shared ({_when(use)})" if use.complete else ""
        _copy({str(file.relative_to(source)): file for file in _files(source)}, place)
    found = _files(place)
    reporter.say(f"Input {spec.name}: {len(found)} files ({spec.mechanism}) at {place}{how}")
    if spec.kind is not None:
        return str(found[0] if spec.kind == URI_FILE and len(found) == 1 else place)
    single = spec.mechanism == "mount" and single_file(wanted.flows[spec.dataset_id])
    return str(found[0] if single and len(found) == 1 and found[0].name == single else place)


def _when(use: Use) -> str:
    return "fetched before" if use.found else "fetched now"


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def _copy(files: Mapping[str, Path], folder: Path) -> None:
    """Copies, which the job may write to: no links, and none of the rights of what is shared."""
    folder.mkdir(parents=True, exist_ok=True)
    for relative, source in files.items():
        destination = folder / relative
        destination.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, destination)


def _inside(place: Path, folder: Path) -> bool:
    """Whether a path is really inside a folder, links resolved."""
    return Path(os.path.realpath(place.parent)).is_relative_to(os.path.realpath(folder))
