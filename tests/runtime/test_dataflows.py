"""Which datasets' files can be known not to have changed, and how a change is told."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from azureml_local.names import DEFAULT_NAME, WorkspaceName
from azureml_local.runtime.dataflows import Fingerprints, Mirror
from azureml_local.storage.folder import StateFolder
from azureml_local.workspace import Workspace
from azureml_local.workspace.datastores import CONTAINER, dataflow_path

MIRROR = "https://here.invalid/opendata/mnist"
RANDOM = {"take_random_sample": {"probability": 0.5, "seed": 1}}


class Flows:
    """A workspace with a mirror, and data flows over both."""

    def __init__(self, folder: Path) -> None:
        state = StateFolder(folder / "state")
        state.create()
        self.workspace = Workspace(state)
        self.workspace.identity.answer_to(DEFAULT_NAME)
        self.mirror = folder / "mirror"
        self.mirror.mkdir()
        (self.mirror / "digits.gz").write_bytes(b"digits")
        self._fingerprints = Fingerprints(self.workspace, Mirror(MIRROR, lambda: self.mirror))
        for name in ("sets/a.csv", "sets/b.csv", "sets/deep/ä b.csv", "others/c.csv"):
            self.put(name)

    def put(self, name: str, data: bytes = b"x") -> None:
        self.workspace.blobs.put_bytes(CONTAINER, name, data)

    def of(self, *paths: str, steps: Any = None, **more: Any) -> str | None:
        """The fingerprint of a flow over these paths, in the datastore unless they are whole URLs."""
        urls = [path if "://" in path else dataflow_path(DEFAULT_NAME, path) for path in paths]
        flow = {"type": "mltable", "paths": [{"pattern": url} for url in urls], "metadata": {}, **more}
        return self._fingerprints.of(json.dumps(flow if steps is None else {**flow, "transformations": steps}))


@pytest.fixture
def flows(tmp_path: Path) -> Iterator[Flows]:
    made = Flows(tmp_path)
    yield made
    made.workspace.close()


@pytest.mark.parametrize(
    "path",
    ["sets", "sets/", "sets/*.csv", "sets/**", "**/*.csv", "/sets/*", "sets//*", "./sets/*", "sets/a.csv", "s*/a.csv"],
)
def test_fingerprint_changes_with_any_reachable_file(flows: Flows, path: str) -> None:
    seen = [flows.of(path)]
    assert seen[0] is not None
    assert flows.of(path) == seen[0]
    # The same bytes again count as a change too: whoever filters by time gets other files.
    for change in (b"y", b"y", b""):
        flows.put("sets/a.csv", change)
        seen.append(flows.of(path))
    flows.workspace.blobs.delete(CONTAINER, "sets/a.csv")
    seen.append(flows.of(path))
    flows.put("sets/a.csv")
    seen.append(flows.of(path))
    assert len(set(seen)) == len(seen)
    # All of one flow, however its files are.
    assert len({str(key).split("-")[0] for key in seen if key is not None}) == 1


def test_fingerprint_ignores_unreachable_files(flows: Flows) -> None:
    keys = [flows.of("sets/*.csv"), flows.of("sets/deep/%C3%A4%20b.csv"), flows.of("sets/a.csv", "others/c.csv")]
    assert len(set(keys)) == 3
    flows.put("Sets/new.csv")
    flows.put("more/c.csv")
    assert keys == [
        flows.of("sets/*.csv"),
        flows.of("sets/deep/%C3%A4%20b.csv"),
        flows.of("sets/a.csv", "others/c.csv"),
    ]
    flows.put("sets/deep/ä b.csv")
    assert flows.of("sets/deep/%C3%A4%20b.csv") != keys[1]
    flows.put("others/c.csv")
    assert flows.of("sets/a.csv", "others/c.csv") != keys[2]


def test_fingerprint_of_mirror_files_and_selected_files(flows: Flows) -> None:
    key = flows.of(f"{MIRROR}/original/digits.gz")
    assert key is not None
    (flows.mirror / "digits.gz").write_bytes(b"other digits")
    assert flows.of(f"{MIRROR}/original/digits.gz") not in (None, key)
    assert flows.of("sets/**", f"{MIRROR}/original/digits.gz") is not None
    chosen = [flows.of("sets/**", steps=[step]) for step in ({"skip": 1}, {"take": 1}, {"skip": 2}, RANDOM)]
    assert None not in chosen
    assert len({*chosen, flows.of("sets/**")}) == 5


def test_fingerprint_of_a_foreign_source_is_none(flows: Flows) -> None:
    other = WorkspaceName("00000000-0000-0000-0000-000000000001", "local", "azureml-local")
    for path in (
        *("https://example.org/a.csv", "wasbs://mnist@azureopendatastorage.blob.core.windows.net/x", "file:///etc/x"),
        *(
            f"{MIRROR}/original/nothing.gz",
            f"{MIRROR}/../../x/digits.gz",
            "sets/../../x",
            "sets/%2e%2e/x",
            "sets\\..\\x",
        ),
        *(dataflow_path(other, "sets"), dataflow_path(DEFAULT_NAME, "sets").replace("blobstore", "filestore")),
        "azureml://datastores/workspaceblobstore/paths/sets",
        "nothing/*.csv",
    ):
        assert flows.of(path) is None, path
        assert path == "nothing/*.csv" or flows.of("sets/*", path) is None, path
    unsown = {"take_random_sample": {"probability": 0.5}}
    for steps in ([unsown], [{"read_delimited": {}}], [{"skip": 1}, {"append": {}}], ["skip"], "x", [{}], 5):
        assert flows.of("sets/*", steps=steps) is None, steps
    assert flows.of("sets/*", traits={}) is None
    assert flows.of() is None
