"""Specs of runs that an earlier format kept without one: read once from the run configurations that it kept."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from sqlalchemy import select

from azureml_local.server.dataplane.runconfiguration import parse_run_configuration
from azureml_local.server.dataplane.sweepconfiguration import KEY, parse_sweep
from azureml_local.storage.tables import Json, Run
from azureml_local.workspace import Workspace
from azureml_local.workspace.errors import WorkspaceError
from azureml_local.workspace.jobs import kept_job
from azureml_local.workspace.sweeps import kept_sweep

logger = logging.getLogger("azureml_local.server")

DONE = "job_specs"


def fill_specs(workspace: Workspace) -> None:
    """Give each submitted run its spec, in one transaction, the first time that a store is served with this format.

    A run whose configuration can't be read any more stays without; only one that still waits needs it, and fails.
    """
    database = workspace.database
    if database.setting(DONE):
        return
    with database.write() as session:
        for run in session.scalars(select(Run).where(Run.spec.is_(None))):
            if run.definition:
                run.spec = _spec(run.id, run.definition)
    database.set_setting(DONE, True)


def _spec(run_id: str, definition: Mapping[str, Any]) -> Json | None:
    try:
        job = parse_run_configuration(definition)
        described = definition.get(KEY)
        if described is None:
            return kept_job(job)
        # The policy of a parent of an earlier format stands in its description, like the rest.
        generator = described.get("generator_config") or {}
        seeded = {**generator, "properties": {"seed": described.get("seed")}}
        return kept_sweep(parse_sweep({**described, "generator_config": seeded}), job)
    except WorkspaceError as error:
        logger.info("The configuration of the run %s can't be read any more: %s", run_id, error)
        return None
