"""Schedules: what is started again and again, at times that recur or when files of the datastore change.

They are kept as parts of pipelines are, with what is started as its owner wrote it. ``due`` is when one is looked at
next; a time that was missed while no server ran is made up for once, however many there were.
"""

from __future__ import annotations

import calendar
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import date, datetime, timedelta, timezone
from typing import Any

from azureml_local.storage.tables import Json, PipelinePart
from azureml_local.workspace.datastores import DEFAULT
from azureml_local.workspace.errors import Invalid
from azureml_local.workspace.pipeline_parts import PipelineParts
from azureml_local.workspace.time_zones import zone

SCHEDULE = "schedule"
MINUTE, HOUR, DAY, WEEK, MONTH = "minute", "hour", "day", "week", "month"
DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
MOST_INTERVAL = 1000


@dataclass(frozen=True)
class Recurrence:
    """Times that recur: each ``interval`` of ``frequency``, counted from ``start`` (ISO 8601, in the zone).

    Of days and weeks, at these ``hours`` and ``minutes``; of weeks, on these ``week_days`` (0 is Monday).
    """

    frequency: str
    interval: int
    start: str | None = None
    time_zone: str | None = None
    hours: tuple[int, ...] = ()
    minutes: tuple[int, ...] = ()
    week_days: tuple[int, ...] = ()


@dataclass(frozen=True)
class Trigger:
    """Files in a folder of a datastore, without those in folders there: looked at each so many seconds."""

    path: str
    seconds: float
    datastore: str = DEFAULT


@dataclass(frozen=True)
class Schedule:
    """``kind`` is whose schedule it is (who starts it), ``what`` is for that one. Times are ISO 8601 in UTC.

    ``looked`` is the time up to which a trigger has seen the files; ``problem`` why the last start failed, if it did.
    """

    id: str
    kind: str
    enabled: bool
    what: Json
    recurrence: Recurrence | None = None
    trigger: Trigger | None = None
    due: str | None = None
    created: str | None = None
    looked: str | None = None
    problem: str | None = field(default=None)

    @classmethod
    def of(cls, row: PipelinePart) -> Schedule:
        kept: Mapping[str, Any] = row.body
        recurrence, trigger = kept["recurrence"], kept["trigger"]
        lists = ("hours", "minutes", "week_days")
        made: dict[str, Any] = {
            key: tuple(value) if key in lists else value for key, value in (recurrence or {}).items()
        }
        return cls(
            **{
                **kept,
                "id": row.id,
                "recurrence": Recurrence(**made) if recurrence else None,
                "trigger": Trigger(**trigger) if trigger else None,
            }
        )

    def next(self, after: datetime) -> datetime:
        """When it is looked at next, later than ``after``."""
        if self.trigger is not None:
            return after + timedelta(seconds=self.trigger.seconds)
        assert self.recurrence is not None
        begun = datetime.fromisoformat(self.created) if self.created else after
        return next(moment for moment in times(self.recurrence, begun, after) if moment > after)


class Schedules:
    """The schedules of a workspace, of every kind."""

    def __init__(self, parts: PipelineParts) -> None:
        self._parts = parts
        self._listeners: list[Callable[[], None]] = []

    def listen(self, listener: Callable[[], None]) -> None:
        """Call this whenever one is made or changed."""
        self._listeners.append(listener)

    def add(self, new: Schedule, now: datetime) -> Schedule:
        """One without a start is due at once, as in Azure; its ``id`` is made here."""
        at_once = new.recurrence is not None and new.recurrence.start is None
        new = replace(new, created=now.isoformat(), looked=now.isoformat())
        due = now if at_once else new.next(now)
        return self._told(self._parts.add(SCHEDULE, _body(replace(new, due=due.isoformat())), new.kind))

    def get(self, schedule_id: str) -> Schedule:
        """Raises NotFound."""
        return Schedule.of(self._parts.get(SCHEDULE, schedule_id))

    def list(self) -> list[Schedule]:
        return [Schedule.of(row) for row in self._parts.list(SCHEDULE)]

    def put(self, changed: Schedule, now: datetime) -> Schedule:
        """One with other times, or enabled again, is due when its next time comes."""
        before = self.get(changed.id)
        same = (before.recurrence, before.trigger, before.enabled) == (
            changed.recurrence,
            changed.trigger,
            changed.enabled,
        )
        due = before.due if same else changed.next(now).isoformat()
        looked = before.looked if same else now.isoformat()
        changed = replace(changed, due=due, created=before.created, looked=looked)
        return self._told(self._parts.change(SCHEDULE, changed.id, lambda _: _body(changed)))

    def note(self, schedule_id: str, *, due: datetime, looked: str | None, problem: str | None) -> None:
        """What became of a time that was due."""
        change = {"due": due.isoformat(), "problem": problem} | ({"looked": looked} if looked else {})
        self._parts.change(SCHEDULE, schedule_id, lambda body: {**body, **change})

    def _told(self, row: PipelinePart) -> Schedule:
        for listener in self._listeners:
            listener()
        return Schedule.of(row)


def _body(schedule: Schedule) -> Json:
    return {key: value for key, value in asdict(schedule).items() if key != "id"}


def check(recurrence: Recurrence) -> Recurrence:
    """The recurrence, if it makes sense. Raises Invalid."""
    if recurrence.frequency not in (MINUTE, HOUR, DAY, WEEK, MONTH):
        raise Invalid(f"{recurrence.frequency[:40]!r} is no frequency: Minute, Hour, Day, Week or Month.")
    if not 1 <= recurrence.interval <= MOST_INTERVAL:
        raise Invalid(f"A schedule's interval must be from 1 to {MOST_INTERVAL}, not {recurrence.interval}.")
    if not all(0 <= hour < 24 for hour in recurrence.hours) or not all(0 <= each < 60 for each in recurrence.minutes):
        raise Invalid("The hours of a schedule must be from 0 to 23, its minutes from 0 to 59.")
    if recurrence.start is not None:
        try:
            datetime.fromisoformat(recurrence.start)
        except ValueError as error:
            raise Invalid(f"{recurrence.start[:40]!r} is no start of a schedule: YYYY-MM-DDThh:mm:ss.") from error
    zone(recurrence.time_zone)
    return recurrence


def times(recurrence: Recurrence, created: datetime, after: datetime) -> Iterator[datetime]:
    """Its times in UTC, in their order: from about ``after`` on, and not before its start. ``created`` is the start
    where it has none.
    """
    local = zone(recurrence.time_zone)
    begun = datetime.fromisoformat(recurrence.start) if recurrence.start else created.astimezone(local)
    begun = begun.replace(tzinfo=None) if begun.tzinfo is None else begun.astimezone(local).replace(tzinfo=None)
    first = begun.replace(tzinfo=local).astimezone(timezone.utc)
    if recurrence.frequency in (MINUTE, HOUR):
        # Of equal length whatever the clocks on the wall do.
        step = timedelta(minutes=recurrence.interval * (60 if recurrence.frequency == HOUR else 1))
        count = max(0, (after - first) // step)
        while True:
            yield first + count * step
            count += 1
    for day in _days(recurrence, begun.date(), after.astimezone(local).date()):
        for hour in sorted(recurrence.hours) or [begun.hour]:
            for minute in sorted(recurrence.minutes) or [begun.minute]:
                second = begun.second if not recurrence.hours and not recurrence.minutes else 0
                wall = datetime(day.year, day.month, day.day, hour, minute, second, tzinfo=local)
                moment = wall.astimezone(timezone.utc)
                if moment >= first:
                    yield moment


def _days(recurrence: Recurrence, begun: date, after: date) -> Iterator[date]:
    """The days of a recurrence, from the one before ``after`` on."""
    interval = recurrence.interval
    if recurrence.frequency == MONTH:
        months = max(0, (after.year - begun.year) * 12 + after.month - begun.month)
        count = months // interval
        while True:
            month = begun.month - 1 + count * interval
            year, month = begun.year + month // 12, month % 12 + 1
            yield date(year, month, min(begun.day, calendar.monthrange(year, month)[1]))
            count += 1
    day = max(begun, after - timedelta(days=1))
    monday = begun - timedelta(days=begun.weekday())
    wanted = recurrence.week_days or (begun.weekday(),)
    while True:
        if recurrence.frequency == DAY:
            if (day - begun).days % interval == 0:
                yield day
        elif (day - monday).days // 7 % interval == 0 and day.weekday() in wanted:
            yield day
        day += timedelta(days=1)
