"""Runs of stores of earlier versions get their specs when the store is first served."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from azureml_local.server.dataplane.backfill import fill_specs
from azureml_local.storage.folder import StateFolder
from azureml_local.workspace import Workspace, sweeps
from azureml_local.workspace.jobs import SpecMissing, spec_of
from azureml_local.workspace.new_runs import NewRun

CONFIGURATION = {"target": "c", "script": "train.py", "arguments": ["--rate", 0.5]}
SWEEP = {
    "generator_config": {"name": "RANDOM", "parameter_space": {"x": ["uniform", [0, 1]]}},
    "primary_metric_config": {"name": "score", "goal": "MAXIMIZE"},
    "policy_config": {"name": "Default"},
    "max_total_jobs": 4,
    "seed": 11,
}


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    folder = StateFolder(tmp_path / "state")
    folder.create()
    with closing(Workspace(folder)) as made:
        yield made


def test_runs_without_a_spec_get_it_once_from_their_configuration(workspace: Workspace) -> None:
    experiment = workspace.experiments.get_or_create("e").id
    sweep = {**CONFIGURATION, "hyperdrive": SWEEP}
    workspace.runs.create(NewRun("job", experiment, definition=CONFIGURATION))
    workspace.runs.create(NewRun("sweep", experiment, run_type="hyperdrive", definition=sweep))
    workspace.runs.create(NewRun("interactive", experiment))
    fill_specs(workspace)
    assert spec_of(workspace.runs.get("job")).arguments == ("--rate", "0.5")
    kept = sweeps.of_run(workspace.runs.get("sweep"))
    assert (kept.seed, kept.metric, kept.max_total) == (11, "score", 4)
    assert spec_of(workspace.runs.get("sweep")).script == "train.py"
    assert workspace.runs.get("interactive").spec is None
    # Once for each store: what comes later has its spec from the edge.
    workspace.runs.create(NewRun("later", experiment, definition=CONFIGURATION))
    fill_specs(workspace)
    assert workspace.runs.get("later").spec is None


def test_a_configuration_that_cannot_be_read_harms_no_other_run(workspace: Workspace) -> None:
    experiment = workspace.experiments.get_or_create("e").id
    workspace.runs.create(NewRun("odd", experiment, definition={"target": "c"}))
    workspace.runs.create(NewRun("job", experiment, definition=CONFIGURATION))
    fill_specs(workspace)
    with pytest.raises(SpecMissing, match="odd"):
        spec_of(workspace.runs.get("odd"))
    assert spec_of(workspace.runs.get("job")).script == "train.py"
