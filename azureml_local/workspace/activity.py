"""Utilization of a cluster over time, computed from the statuses of its runs."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import select

from azureml_local.storage.clock import parse_time
from azureml_local.storage.database import Database
from azureml_local.storage.tables import Run, RunEvent
from azureml_local.workspace.run_kinds import not_orchestrated
from azureml_local.workspace.runs import FINAL, STATUS_EVENT

MOST_RUNS = 300
QUEUED = "Queued"
# A run that is asked to end is still where it was.
UNMOVED = "CancelRequested"


class ActivityPoint(NamedTuple):
    """From ``time`` (seconds since 1970) on, so many runs had a node, and so many waited for one."""

    time: float
    busy: int
    waiting: int


def of_cluster(database: Database, name: str) -> list[ActivityPoint]:
    """The last `MOST_RUNS` runs of a cluster, oldest change first. A sweep itself has no node; its runs have."""
    last = select(Run.id).where(Run.target == name, not_orchestrated()).order_by(Run.number.desc()).limit(MOST_RUNS)
    events = (
        select(RunEvent.run_id, RunEvent.time, RunEvent.data)
        .where(RunEvent.run_id.in_(last), RunEvent.name == STATUS_EVENT)
        .order_by(RunEvent.id)
    )
    waiting: set[str] = set()
    busy: set[str] = set()
    found: list[ActivityPoint] = []
    with database.read() as session:
        for run_id, time, data in session.execute(events):
            status = data["status"]
            if status == UNMOVED:
                continue
            waiting.discard(run_id)
            busy.discard(run_id)
            if status == QUEUED:
                waiting.add(run_id)
            elif status not in FINAL:
                busy.add(run_id)
            found.append(ActivityPoint(parse_time(time).timestamp(), len(busy), len(waiting)))
    return found
