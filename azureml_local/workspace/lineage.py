"""The datasets that a run reads and writes."""

from __future__ import annotations

from azureml_local.storage.tables import Run
from azureml_local.workspace import Workspace
from azureml_local.workspace.datasets import DatasetUse
from azureml_local.workspace.jobs import is_made_of_a_job, spec_of


def lineage(workspace: Workspace, run: Run, *, output: bool) -> list[DatasetUse]:
    """The datasets with which the run was submitted, and those that its script reported."""
    given = spec_of(run).inputs if not output and is_made_of_a_job(run) else ()
    submitted = [DatasetUse(each.dataset_id, False, "RunInput", each.name, each.mechanism) for each in given]
    return [*submitted, *workspace.datasets.uses(run.id, output=output)]
