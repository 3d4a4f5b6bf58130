"""When schedules are due, and what the clock starts."""

from __future__ import annotations

import io
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from itertools import islice
from pathlib import Path

import pytest

from azureml_local.cluster.orchestration.clock import Clock
from azureml_local.storage.folder import StateFolder
from azureml_local.workspace import Workspace, datastores
from azureml_local.workspace.errors import Conflict, Invalid
from azureml_local.workspace.schedules import Recurrence, Schedule, Trigger, check, times
from azureml_local.workspace.time_zones import WINDOWS, zone

NOON = datetime(2026, 3, 6, 12, tzinfo=timezone.utc)  # a Friday


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    folder = StateFolder(tmp_path / "state")
    folder.create()
    made = Workspace(folder)
    yield made
    made.close()


def following(recurrence: Recurrence, count: int = 4, after: datetime = NOON) -> list[str]:
    later = (moment for moment in times(check(recurrence), NOON, after) if moment > after)
    return [f"{moment:%m-%d %H:%M}" for moment in islice(later, count)]


@pytest.mark.parametrize(
    ("recurrence", "wanted"),
    [
        (Recurrence("minute", 15), ["03-06 12:15", "03-06 12:30", "03-06 12:45", "03-06 13:00"]),
        (Recurrence("hour", 5), ["03-06 17:00", "03-06 22:00", "03-07 03:00", "03-07 08:00"]),
        (Recurrence("day", 2), ["03-08 12:00", "03-10 12:00", "03-12 12:00", "03-14 12:00"]),
        (
            Recurrence("day", 1, hours=(14, 6), minutes=(30, 0)),
            ["03-06 14:00", "03-06 14:30", "03-07 06:00", "03-07 06:30"],
        ),
        # Weeks are counted from that of the start; Monday of it is over.
        (
            Recurrence("week", 2, hours=(18,), minutes=(30,), week_days=(0, 4)),
            ["03-06 18:30", "03-16 18:30", "03-20 18:30", "03-30 18:30"],
        ),
        # The last day of months that are too short.
        (
            Recurrence("month", 1, start="2026-01-31T09:00:00"),
            ["03-31 09:00", "04-30 09:00", "05-31 09:00", "06-30 09:00"],
        ),
        # 18:30 in Los Angeles is 02:30 in UTC, and 01:30 from Sunday, 8 March 2026 on.
        (
            Recurrence("day", 1, time_zone="Pacific Standard Time", hours=(18,), minutes=(30,)),
            ["03-07 02:30", "03-08 02:30", "03-09 01:30", "03-10 01:30"],
        ),
        (Recurrence("hour", 1, start="2026-03-09T10:55:00", time_zone="UTC"), ["03-09 10:55", "03-09 11:55"]),
        (Recurrence("hour", 1, start="2020-01-13T12:55:00", time_zone="UTC"), ["03-06 12:55", "03-06 13:55"]),
    ],
)
def test_times_of_a_recurrence(recurrence: Recurrence, wanted: list[str]) -> None:
    assert following(recurrence, len(wanted)) == wanted


def test_every_windows_time_zone_is_known() -> None:
    assert len(WINDOWS) == 131
    assert {str(zone(name)) for name in WINDOWS} == set(WINDOWS.values())


@pytest.mark.parametrize(
    ("recurrence", "told"),
    [
        (Recurrence("fortnight", 1), "is no frequency"),
        (Recurrence("day", 0), "interval must be from 1"),
        (Recurrence("day", 1, hours=(24,)), "from 0 to 23"),
        (Recurrence("day", 1, start="soon"), "is no start of a schedule"),
        (Recurrence("day", 1, time_zone="Middle-earth Standard Time"), "There is no time zone 'Middle-earth"),
    ],
)
def test_impossible_recurrence_is_refused(recurrence: Recurrence, told: str) -> None:
    with pytest.raises(Invalid, match=told):
        check(recurrence)


def test_missed_times_are_made_up_for_once_and_nothing_starts_twice(workspace: Workspace) -> None:
    started: list[str] = []

    def start(schedule: Schedule, run_id: str, path: str | None) -> None:
        if run_id in started:
            raise Conflict("There is that run already.")
        started.append(run_id)

    clock = Clock(workspace)
    clock.starts["test"] = start
    hourly = Schedule(id="", kind="test", enabled=True, what={}, recurrence=Recurrence("hour", 1))
    kept = workspace.schedules.add(hourly, NOON)
    assert clock.look(NOON) == 30.0
    assert len(started) == 1  # at once, for it has no start
    clock.look(NOON + timedelta(minutes=59))
    assert len(started) == 1
    clock.look(NOON + timedelta(hours=5, minutes=30))
    assert len(started) == 2
    assert clock.look(NOON + timedelta(hours=5, minutes=59, seconds=50)) == 10.0
    # A server that is killed before it could note the start starts it once more.
    due = datetime.fromisoformat(str(workspace.schedules.get(kept.id).due))
    clock.look(due)
    workspace.schedules.note(kept.id, due=due, looked=None, problem=None)
    clock.look(due)
    assert len(started) == 3
    assert len(set(started)) == 3


def test_trigger_starts_when_a_file_of_the_folder_is_new_and_not_for_those_below(workspace: Workspace) -> None:
    seen: list[str | None] = []
    clock = Clock(workspace)
    clock.starts["test"] = lambda schedule, run_id, path: seen.append(path)
    begun = datetime.now(timezone.utc)
    watching = Schedule(id="", kind="test", enabled=True, what={}, trigger=Trigger("in", 60))

    def put(name: str) -> None:
        workspace.blobs.put_file(datastores.CONTAINER, name, io.BytesIO(b"x"))

    put("in/old")
    begun = datetime.now(timezone.utc)
    workspace.schedules.add(watching, begun)
    for number, (name, wanted) in enumerate(
        [(None, []), ("in/below/x", []), ("inner", []), ("in/new", ["in/new"]), (None, ["in/new"])], 1
    ):
        if name is not None:
            put(name)
        clock.look(begun + timedelta(seconds=61 * number))
        assert seen == wanted, name
