"""Kinds of runs, by what sets their status: the client, the cluster, or an orchestrator."""

from __future__ import annotations

from sqlalchemy import ColumnElement, and_, or_

from azureml_local.storage.tables import Run

# The parent of a sweep, which is no job itself.
SWEEP = "hyperdrive"

# A pipeline, which is no job either, and a step of one, which is.
PIPELINE, STEP = "azureml.PipelineRun", "azureml.StepRun"

# The property of a step's run that was not run again: whose outputs it has.
REUSED = "azureml.reusedrunid"

# Runs whose work is to start other runs and wait for them; they have no node of their own.
ORCHESTRATED = frozenset({SWEEP, PIPELINE})

# In what a run remembers: that the end of the server cancelled it.
STOPPED = "stopped"


def cut_short(run: Run) -> bool:
    """Whether the end of the server cancelled the run: an orchestrator starts it again."""
    return run.status == "Canceled" and bool((run.process or {}).get(STOPPED))


def is_submitted(run: Run) -> bool:
    """Whether the cluster runs it. Of any other run (an interactive one) its client says how it stands."""
    return run.spec is not None or bool(run.definition or run.job)


def is_orchestrated(run: Run) -> bool:
    """Whether it is submitted, and others run in its place: its children, or, of a step, an earlier run."""
    return is_submitted(run) and (run.run_type in ORCHESTRATED or (run.run_type == STEP and run.target is None))


def not_orchestrated() -> ColumnElement[bool]:
    """As a condition: it starts no others in its place."""
    return or_(Run.run_type.is_(None), Run.run_type.not_in(ORCHESTRATED))


def is_job() -> ColumnElement[bool]:
    """As a condition: it was submitted to a target, and is a job of its own."""
    return and_(Run.target.is_not(None), or_(Run.snapshot_id.is_not(None), Run.job.is_not(None)), not_orchestrated())
