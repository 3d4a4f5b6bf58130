"""Tables of deployments."""

from __future__ import annotations

from typing import Any

from sqlalchemy.orm import Mapped, mapped_column

from azureml_local.storage.tables import Base, Json


class Service(Base):
    """A deployed model. ``state`` is Transitioning, Healthy, Unhealthy, Failed or Deleting.

    ``image`` is what it is to run (`workspace.services.Image`), and ``revision`` counts the images it has had;
    ``served`` and ``serving`` are the image and the revision that answer, None before the first. ``client`` is what one
    client keeps with it and nobody else reads. ``auth`` is what requests need: ``none``, a ``key``, or a ``token`` or
    key. ``keys`` are encrypted.
    """

    __tablename__ = "services"
    name: Mapped[str] = mapped_column(primary_key=True)
    compute_type: Mapped[str]
    state: Mapped[str]
    revision: Mapped[int]
    serving: Mapped[int | None]
    image: Mapped[Json]
    served: Mapped[Json | None]
    client: Mapped[Json]
    description: Mapped[str | None]
    tags: Mapped[Json]
    properties: Mapped[Json]
    auth: Mapped[str]
    keys: Mapped[str]
    error: Mapped[str | None]
    operation: Mapped[str]
    created: Mapped[str]
    modified: Mapped[str]


class ServiceOperation(Base):
    """A long operation on a service, which clients poll. ``log`` is a list of (time, line); ``step`` says what it does:
    BuildEnvironment or DeployService.
    """

    __tablename__ = "service_operations"
    id: Mapped[str] = mapped_column(primary_key=True)
    service: Mapped[str] = mapped_column(index=True)
    kind: Mapped[str]
    state: Mapped[str]
    step: Mapped[str]
    error: Mapped[str | None]
    log: Mapped[list[Any]]
    created: Mapped[str]
