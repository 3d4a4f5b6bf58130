"""Definitions of AmlCompute clusters. The state of their nodes is the `cluster` package's."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlalchemy import select

from azureml_local.storage.clock import now
from azureml_local.storage.database import Database
from azureml_local.storage.tables import Compute, Json
from azureml_local.workspace.errors import Conflict, Invalid, NotFound

# azureml.core.compute: 3 to 16 (older: 24, 32) of letters, digits and -; the service says so when it isn't.
NAME = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,30}[A-Za-z0-9]")
RESERVED = ("amlcompute", "local", "containerinstance")  # ComputeTarget.create refuses them too
PRIORITIES = ("dedicated", "lowpriority")
MAX_NODES = 1000
MOST_IDLE_SECONDS = 366 * 24 * 3600.0


@dataclass(frozen=True)
class ScaleSettings:
    min_nodes: int = 0
    max_nodes: int = 1
    idle_seconds: float = 1800.0

    def check(self) -> None:
        if not 0 <= self.min_nodes <= self.max_nodes <= MAX_NODES:
            raise Invalid(
                f"The node counts make no sense: minimum {self.min_nodes}, maximum {self.max_nodes}. "
                f"They must be 0 <= minimum <= maximum <= {MAX_NODES}."
            )
        if not 0 <= self.idle_seconds <= MOST_IDLE_SECONDS:
            raise Invalid(f"The idle time before scaledown makes no sense: {self.idle_seconds:g} s; a year is the most")


@dataclass(frozen=True)
class ClusterRequest:
    name: str
    vm_size: str
    scale: ScaleSettings
    vm_priority: str = "dedicated"
    tags: Json = field(default_factory=dict)
    description: str | None = None
    extra: Json = field(default_factory=dict)


class Computes:
    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, request: ClusterRequest, provisioning_error: Json | None = None) -> Compute:
        """Create a cluster, or change the scale of the one with this name.

        With a provisioning error it ends in the state Failed, and waits to be deleted or created again.

        Raises:
            Invalid: no name, priority or scale that a cluster can have.
            Conflict: there is one, of another VM size or priority.
        """
        self._check(request)
        with self._database.write() as session:
            old = session.get(Compute, request.name)
            moment = now()
            if old is not None and old.provisioning_error is None:
                for word, has, asked in (
                    ("VM size", old.vm_size, request.vm_size),
                    ("VM priority", old.vm_priority, request.vm_priority),
                ):
                    if has != asked:
                        raise Conflict(
                            f"The cluster {request.name!r} exists with the {word} {has}, which cannot be changed to "
                            f"{asked}. Delete it first, or choose another name."
                        )
            return session.merge(
                Compute(
                    name=request.name,
                    location="local",
                    vm_size=request.vm_size,
                    vm_priority=request.vm_priority,
                    min_nodes=request.scale.min_nodes,
                    max_nodes=request.scale.max_nodes,
                    idle_seconds=request.scale.idle_seconds,
                    tags=request.tags,
                    description=request.description,
                    extra=request.extra,
                    created=old.created if old else moment,
                    modified=moment,
                    provisioning_error=provisioning_error,
                )
            )

    def rescale(self, name: str, scale: ScaleSettings) -> Compute:
        scale.check()
        with self._database.write() as session:
            row = session.get(Compute, name)
            if row is None:
                raise self._missing(name)
            row.min_nodes, row.max_nodes, row.idle_seconds = (
                scale.min_nodes,
                scale.max_nodes,
                scale.idle_seconds,
            )
            row.modified = now()
        return row

    def find(self, name: str) -> Compute | None:
        with self._database.read() as session:
            return session.get(Compute, name)

    def get(self, name: str) -> Compute:
        row = self.find(name)
        if row is None:
            raise self._missing(name)
        return row

    def ready(self, name: str) -> Compute:
        """A cluster that can take a run. Raises NotFound, and Conflict for one that was never provisioned."""
        row = self.get(name)
        if row.provisioning_error is not None:
            raise Conflict(
                f"The cluster {name!r} is in failed state and thus not ready for runs: "
                f"{row.provisioning_error.get('message')} Delete it, or create it again."
            )
        return row

    def list(self) -> Sequence[Compute]:
        with self._database.read() as session:
            return list(session.scalars(select(Compute).order_by(Compute.name)))

    def delete(self, name: str) -> None:
        with self._database.write() as session:
            row = session.get(Compute, name)
            if row is None:
                raise self._missing(name)
            session.delete(row)

    @staticmethod
    def _check(request: ClusterRequest) -> None:
        name = request.name
        if not NAME.fullmatch(name):
            raise Invalid(
                f"{name[:80]!r} is no compute name: use 2 to 32 letters, digits and '-', a letter first, no '-' last."
            )
        if name.lower() in RESERVED:
            raise Invalid(f"{name!r} is a reserved name. Choose another one for the cluster.")
        if request.vm_priority not in PRIORITIES:
            raise Invalid(f"{request.vm_priority[:80]!r} is no VM priority. Choose one of: {', '.join(PRIORITIES)}.")
        request.scale.check()

    @staticmethod
    def _missing(name: str) -> NotFound:
        # azureml.core.compute turns a 404 with this code into ComputeTargetNotFound.
        return NotFound(f"There is no compute target {name!r} in this workspace. Create it with ComputeTarget.create.")
