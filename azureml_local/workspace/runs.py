"""Runs: one row each, and the one place where a run's status changes."""

from __future__ import annotations

import contextlib
import logging
import re
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from azureml_local.storage.clock import now, seconds_since
from azureml_local.storage.database import Database
from azureml_local.storage.tables import Json, Run, RunEvent
from azureml_local.workspace import parameters
from azureml_local.workspace.errors import Conflict, Invalid, NotFound
from azureml_local.workspace.filters import Filter, Page
from azureml_local.workspace.new_runs import NewRun, RunChange, checked
from azureml_local.workspace.run_kinds import STOPPED, is_job, is_submitted
from azureml_local.workspace.run_lists import NEWEST_FIRST, Listing, RunRow, page_of
from azureml_local.workspace.texts import check_name, check_text, texts

logger = logging.getLogger("azureml_local.workspace")

# In Azure's order (azureml.core.run: RUNNING_STATES, POST_PROCESSING_STATES, TERMINAL_STATES). A run goes
# down this list, never up.
ORDER = (
    "NotStarted",
    "Queued",
    "Preparing",
    "Provisioning",
    "Starting",
    "Running",
    "CancelRequested",
    "Finalizing",
    "Completed",
    "Failed",
    "Canceled",
)
# A run's folder has its name, and no file system takes a longer one than 255.
RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,254}")
FINAL = frozenset({"Completed", "Failed", "Canceled"})

# The event that each change of status leaves, beside those that clients tell of.
STATUS_EVENT = "azureml_local.Status"

MAX_WARNINGS = 100

# So many seconds after it was submitted, the end of a run is kept back from a client that has not yet begun to follow
# it: the SDK prints no log at all of a run that is final at the first look, and has its first look by then.
FOLLOWER_GRACE = 3.0
# The same for a job at which SDK v2 has looked once: it is about to follow it, and the first time in a process it
# imports mlflow before.
SLOW_FOLLOWER_GRACE = 20.0


def data_container(run: Run | RunRow) -> str:
    """The name of the container of a run's artifacts."""
    return container_name(run.id)


def container_name(run_id: str) -> str:
    """The same by the run's id, spelt as Azure spells it."""
    return f"dcid.{run_id}"


class Runs:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._changed = threading.Condition()
        self._listeners: list[Callable[[Run], None]] = []
        self._followed: set[str] = set()
        self._looks: dict[str, int] = {}

    # Reading ------------------------------------------------------------------------------------------------

    def get(self, run_id: str) -> Run:
        with self._database.read() as session:
            run = session.scalar(select(Run).where(Run.id == run_id))
        if run is None:
            raise NotFound(f"There is no run {run_id!r} in this workspace.")
        return run

    def list(
        self,
        experiment_id: str | None = None,
        *,
        top_level: bool = False,
        parent_id: str | None = None,
        statuses: Iterable[str] | None = None,
        hidden: bool | None = None,
        before: int | None = None,
        limit: int | None = None,
    ) -> Sequence[Run]:
        """Newest first, those before the run with the number ``before``. ``hidden``: only those, or only the others."""
        query = select(Run).order_by(Run.number.desc())
        if experiment_id is not None:
            query = query.where(Run.experiment_id == experiment_id)
        if top_level:
            query = query.where(Run.parent_id.is_(None))
        if parent_id is not None:
            query = query.where(Run.parent_id == parent_id)
        if statuses is not None:
            query = query.where(Run.status.in_(list(statuses)))
        if hidden is not None:
            query = query.where(Run.hidden.is_(hidden))
        if before is not None:
            query = query.where(Run.number < before)
        with self._database.read() as session:
            return list(session.scalars(query.limit(limit)))

    def page(self, wanted: Filter | None = None, listing: Listing = NEWEST_FIRST) -> Page[RunRow]:
        """Some of the runs that the filter wants, without their definitions, which are long.

        Raises Invalid for a filter that runs can't be filtered by, and for a token that is none.
        """
        with self._database.connect() as connection:
            return page_of(connection, wanted, listing)

    def unfinished(self) -> Sequence[Run]:
        """Runs that are not final, oldest first."""
        with self._database.read() as session:
            return list(session.scalars(select(Run).where(Run.status.not_in(FINAL)).order_by(Run.number)))

    def jobs_at_work(self) -> int:
        """How many submitted runs run or wait."""
        with self._database.connect() as connection:
            count = select(func.count()).select_from(Run).where(Run.status.not_in(FINAL), is_job())
            return int(connection.scalar(count) or 0)

    def events(self, run_id: str) -> Sequence[RunEvent]:
        with self._database.read() as session:
            return list(session.scalars(select(RunEvent).where(RunEvent.run_id == run_id).order_by(RunEvent.id)))

    # Writing ------------------------------------------------------------------------------------------------

    def create(self, new: NewRun) -> Run:
        """Raises Conflict when the id is taken; Invalid when it is none, or another one but for its case."""
        if not RUN_ID.fullmatch(new.run_id):
            raise Invalid(f"{new.run_id[:80]!r} is no run id: use up to 255 letters, digits, '-', '_' and '.'.")
        with self._database.write() as session:
            folded = new.run_id.lower()
            if taken := session.scalar(select(Run.id).where(Run.folded_id == folded)):
                if taken == new.run_id:
                    raise Conflict(f"There is a run {new.run_id!r} already.")
                raise Invalid(f"There is a run {taken!r} already, and ids of runs must differ by more than case.")
            parent = session.scalar(select(Run).where(Run.id == new.parent_id)) if new.parent_id else None
            if new.parent_id and parent is None:
                raise NotFound(f"There is no run {new.parent_id!r} to be the parent of {new.run_id!r}.")
            run = Run(
                id=new.run_id,
                folded_id=folded,
                uuid=str(uuid.uuid4()),
                experiment_id=new.experiment_id,
                parent_id=new.parent_id,
                root_id=parent.root_id if parent else new.run_id,
                status="NotStarted",
                run_type=new.run_type,
                target=new.target,
                name=new.name,
                display_name=new.display_name,
                description=new.description,
                script_name=new.script_name,
                hidden=False,
                created=now(),
                started=None,
                ended=None,
                tags=new.tags,
                properties=new.properties,
                definition=new.definition,
                job=new.job,
                spec=new.spec,
                snapshot_id=new.snapshot_id,
                error=None,
                warnings=[],
                process=None,
                workspace=new.workspace.arm_id if new.workspace else parent.workspace if parent else None,
            )
            session.add(run)
            session.flush()
            parameters.add(session, run.id, new.parameters)
        self._tell(run)
        return run

    def put(self, experiment_id: str, run_id: str, change: RunChange, new: NewRun | None = None) -> Run:
        """Make a run for a client, or change the one that is there.

        A client that makes one gives ``new``. The same one again, as when a call is sent again, is a change.

        Raises:
            NotFound: there is no run to change.
            Invalid: the id is taken by a run that has begun, or by one of another experiment or parent; or a text
                can't be kept.
        """
        if new is not None:
            with contextlib.suppress(Conflict):
                return self.create(checked(new))
            known = self.get(run_id)
            same = (known.experiment_id, known.parent_id) == (experiment_id, new.parent_id)
            if not same or known.status != "NotStarted":
                raise Invalid(f"There is a run {run_id!r} already. Leave run_id out, and the SDK makes a new one.")
        elif self.get(run_id).experiment_id != experiment_id:
            raise NotFound(f"There is no run {run_id!r} in this experiment.")
        return self.modify(run_id, change)

    def modify(self, run_id: str, change: RunChange) -> Run:
        """Merge tags and properties, set the names, the description or the hidden flag.

        Raises:
            Invalid: a property that has another value already: properties are a record, they never change.
        """
        with self._database.write() as session:
            run = self._locked(session, run_id)
            run.tags = {**run.tags, **texts("tags", change.tags)}
            properties = texts("properties", change.properties)
            for key, value in properties.items():
                if run.properties.get(key, value) != value:
                    raise Invalid(
                        f"The property {key[:80]!r} of the run {run_id!r} has the value {run.properties[key]!r}; "
                        "properties can't be changed. Use a tag for what changes."
                    )
            run.properties = {**run.properties, **properties}
            if change.name is not None:
                run.name = check_name("A run's name", change.name)
            if change.display_name is not None:
                run.display_name = check_name("A run's display name", change.display_name)
            if change.description is not None:
                run.description = check_text("description", change.description)
            if change.hidden is not None:
                run.hidden = change.hidden
        return run

    def remove_tags(self, run_id: str, keys: Iterable[str]) -> Run:
        gone = set(keys)
        with self._database.write() as session:
            run = self._locked(session, run_id)
            run.tags = {key: value for key, value in run.tags.items() if key not in gone}
        return run

    def advance(self, run_id: str, status: str, *, error: Json | None = None) -> Run:
        """Move a run on to a later status. A step back, or away from a final status, changes nothing.

        The caller reads what became of it in the answer's ``status``.
        """
        with self._database.write() as session:
            run = self._locked(session, run_id)
            if run.status in FINAL or ORDER.index(status) <= ORDER.index(run.status):
                return run
            run.status = status
            if status == "Running" and run.started is None:
                run.started = now()
            if status in FINAL:
                run.ended = now()
                run.process = None
            if error is not None and run.error is None:
                run.error = error
            session.add(RunEvent(run_id=run_id, name=STATUS_EVENT, time=now(), data={"status": status}))
        self._tell(run)
        return run

    def conclude(self, run_id: str, final: str, *, left: bool = False, stopped: bool = False) -> Run:
        """Move a run through *Finalizing* to its final status in one transaction, so that no client sees *Finalizing*.

        azureml.core.Run.wait_for_completion takes that for the end, and then says nothing of a run that fails.
        ``left``: its folder stays, since files are in it that could not be kept. ``stopped``: the end of the server
        cancelled it, and nobody else.
        """
        with self._database.write() as session:
            run = self._locked(session, run_id)
            if run.status in FINAL:
                return run
            moment = now()
            for status in ("Finalizing", final):
                if ORDER.index(status) > ORDER.index(run.status):
                    run.status = status
                    session.add(RunEvent(run_id=run_id, name=STATUS_EVENT, time=moment, data={"status": status}))
            run.ended = moment
            remains = {"left": left, STOPPED: stopped}
            run.process = {key: True for key, so in remains.items() if so} or None
        self._tell(run)
        return run

    def report(self, run_id: str, status: str) -> Run:
        """Apply a status that a client reports, whatever its API; only for runs that the cluster doesn't run.

        The status of a submitted run is the cluster's to tell: a script that ends its own run early, as MLflow's
        clients do, doesn't end the job.
        """
        run = self.get(run_id)
        return run if is_submitted(run) else self.advance(run_id, status)

    def note_process(self, run_id: str, process: Json) -> None:
        """Store the checkpoint from which a later server recovers a run."""
        with self._database.write() as session:
            run = self._locked(session, run_id)
            if run.status not in FINAL:
                run.process = process

    def note_error(self, run_id: str, error: Json) -> None:
        """Store a run's error; the first one is kept."""
        with self._database.write() as session:
            run = self._locked(session, run_id)
            if run.error is None and run.status not in FINAL:
                run.error = error

    def note_warning(self, run_id: str, source: str, message: str) -> None:
        """Keep a warning, for the run's details and the summary that the SDK prints at its end."""
        with self._database.write() as session:
            run = self._locked(session, run_id)
            run.warnings = [*run.warnings, {"source": source, "message": message}][-MAX_WARNINGS:]

    def add_event(self, run_id: str, name: str, data: Json) -> None:
        with self._database.write() as session:
            self._locked(session, run_id)
            session.add(RunEvent(run_id=run_id, name=name, time=now(), data=data))

    # Following ----------------------------------------------------------------------------------------------

    def listen(self, listener: Callable[[Run], None]) -> None:
        """Call this whenever a run is made or its status changes."""
        self._listeners.append(listener)

    def wait_until_final(self, run_id: str, timeout: float) -> Run:
        """Block until a run is final, or the seconds are over."""
        deadline = time.monotonic() + timeout
        with self._changed:
            while (run := self.get(run_id)).status not in FINAL and (left := deadline - time.monotonic()) > 0:
                self._changed.wait(left)
        return run

    def followed(self, run: Run) -> None:
        """A client has read the details of a run that goes on: from now on it will see the whole log at its
        last look. Or there is none that would.
        """
        if run.status not in FINAL:
            with self._changed:
                self._followed.add(run.id)
                self._changed.notify_all()

    def looked_at(self, run: Run) -> None:
        """SDK v2 has read a job: once before it follows it; more than once when it only waits for its status."""
        if run.status not in FINAL:
            with self._changed:
                self._looks[run.id] = self._looks.get(run.id, 0) + 1
                if self._looks[run.id] > 1:
                    self._followed.add(run.id)
                self._changed.notify_all()

    def await_follower(self, run_id: str) -> None:
        """Give a client that has just submitted a run the time to begin following it, before the run's end is
        told.
        """
        since = max(0.0, seconds_since(self.get(run_id).created))
        submitted = time.monotonic() - since
        with self._changed:
            while run_id not in self._followed:
                grace = SLOW_FOLLOWER_GRACE if run_id in self._looks else FOLLOWER_GRACE
                if (left := submitted + grace - time.monotonic()) <= 0:
                    break
                self._changed.wait(left)
            self._followed.discard(run_id)
            self._looks.pop(run_id, None)

    def _tell(self, run: Run) -> None:
        with self._changed:
            self._changed.notify_all()
        for listener in self._listeners:
            # The change is made, and others wait to hear of it: a listener's fault is not the caller's.
            try:
                listener(run)
            except Exception:
                logger.exception("A listener failed for the run %s", run.id)

    @staticmethod
    def _locked(session: Session, run_id: str) -> Run:
        run = session.scalar(select(Run).where(Run.id == run_id))
        if run is None:
            raise NotFound(f"There is no run {run_id!r} in this workspace.")
        return run


def user_error(message: str, code: str = "UserError", **more: Any) -> Json:
    """An error in the history service's form (``run.get_details()["error"]``)."""
    return {"error": {"code": code, "message": message, "details": [], **more}, "time": now()}
