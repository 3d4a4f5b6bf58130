"""The clock of schedules: starts what is due.

The run of a time has an id that is made of the schedule and that time, so that a server that is killed between the
start and its note of it starts nothing twice.
"""

from __future__ import annotations

import logging
import threading
import uuid
from collections.abc import Callable
from datetime import datetime, timezone

from azureml_local.runtime.patience import passing
from azureml_local.storage.clock import parse_time
from azureml_local.workspace import Workspace
from azureml_local.workspace.errors import Conflict, WorkspaceError
from azureml_local.workspace.schedules import Schedule

logger = logging.getLogger("azureml_local.cluster")

# Seconds between two looks at most: the wall clock may be set meanwhile.
LONGEST = 30.0

# Starts what a schedule starts, as the run of this id; the path of a changed file, where files have triggered it.
Start = Callable[[Schedule, str, str | None], None]


class Clock:
    """Looks at the schedules when one is due. ``starts`` are by the kinds of schedules."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._schedules = workspace.schedules
        self.starts: dict[str, Start] = {}
        self._changed = threading.Condition()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="clock", daemon=True)

    def start(self) -> None:
        self._schedules.listen(self.wake)
        self._thread.start()

    def stop(self) -> None:
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        if self._thread.ident:
            self._thread.join()

    def wake(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _run(self) -> None:
        with self._changed:
            while not self._stopping:
                try:
                    seconds = self.look(datetime.now(timezone.utc))
                except Exception as error:
                    # A full disk, for example; anything else is a fault, and other schedules go on at the next look.
                    logger.log(
                        logging.WARNING if passing(error) else logging.ERROR,
                        "The schedules can't be looked at now",
                        exc_info=error,
                    )
                    seconds = LONGEST
                self._changed.wait(min(max(seconds, 0.0), LONGEST))

    def look(self, now: datetime) -> float:
        """Start what is due. Returns the seconds until the next is."""
        waits = [LONGEST]
        for schedule in self._schedules.list():
            if not schedule.enabled or schedule.due is None:
                continue
            due = datetime.fromisoformat(schedule.due)
            if due <= now:
                due = self._serve(schedule, due, now)
            waits.append((due - now).total_seconds())
        return min(waits)

    def _serve(self, schedule: Schedule, due: datetime, now: datetime) -> datetime:
        """Start one whose time has come, unless its files are the old ones. Returns its next time, after now."""
        problem = path = looked = None
        try:
            if schedule.trigger is not None:
                path, looked = self._changed_file(schedule)
            if schedule.trigger is None or path is not None:
                run_id = str(uuid.uuid5(uuid.UUID(schedule.id), due.isoformat()))
                self.starts[schedule.kind](schedule, run_id, path)
        except Conflict:
            pass  # an earlier server has started it, and was killed before it could note that
        except WorkspaceError as error:
            problem = str(error)
            logger.warning("The schedule %s can't start its run: %s", schedule.id, error)
        following = schedule.next(now)
        self._schedules.note(schedule.id, due=following, looked=looked, problem=problem)
        return following

    def _changed_file(self, schedule: Schedule) -> tuple[str | None, str | None]:
        """The file that was changed last since the schedule has looked, and when that was."""
        assert schedule.trigger is not None
        assert schedule.looked is not None
        looked, folder = datetime.fromisoformat(schedule.looked), schedule.trigger.path
        found: str | None = None
        prefix, after = f"{folder}/" if folder else "", ""
        container = self._workspace.datastores.container(schedule.trigger.datastore)
        while True:
            rows, following = self._workspace.blobs.page(container, prefix, "/", after, 1000)
            for row in rows:
                # A text stands for a folder: what is in it is not looked at, as in Azure.
                if not isinstance(row, str) and (moment := parse_time(row.modified)) > looked:
                    found, looked = row.name, moment
            if following is None:
                return (found, looked.isoformat()) if found is not None else (None, None)
            after = following
