"""Services: deployed models, their keys, and the long operations that make and change them."""

from __future__ import annotations

import hmac
import json
import re
import secrets
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from cryptography.fernet import InvalidToken
from sqlalchemy import select

from azureml_local.storage.clock import now
from azureml_local.storage.database import Database
from azureml_local.storage.service_tables import Service, ServiceOperation
from azureml_local.storage.tables import Json
from azureml_local.workspace.errors import Conflict, Invalid, NotFound
from azureml_local.workspace.keyvault import cipher
from azureml_local.workspace.texts import check_text, texts

# The SDK's rule (azureml._model_management._constants.WEBSERVICE_NAME_REGEX).
NAME = re.compile(r"[a-z](?:[a-z0-9-]{1,30}[a-z0-9])")
TRANSITIONING, HEALTHY, UNHEALTHY, FAILED, DELETING = "Transitioning", "Healthy", "Unhealthy", "Failed", "Deleting"
RUNNING, SUCCEEDED, OPERATION_FAILED = "Running", "Succeeded", "Failed"
BUILD, DEPLOY = "BuildEnvironment", "DeployService"
NO_AUTH, KEY_AUTH, TOKEN_AUTH = "none", "key", "token"
MAX_KEY = 1000  # characters


@dataclass(frozen=True)
class SourceFile:
    """An uploaded file of a service's code: an artifact's blob ``place``, kept as ``name``; an archive is unpacked."""

    place: str
    name: str
    unpack: bool = False


@dataclass(frozen=True)
class Image:
    """What a service runs.

    ``environment`` is an environment's definition, None for a model that is served without code of the user's.
    ``files`` are its code, ``driver`` the one that is started where the variables name no entry script. ``models``
    are versions of models, ``name:version``. Timeouts are in seconds.
    """

    environment: Json | None
    models: tuple[str, ...] = ()
    files: tuple[SourceFile, ...] = ()
    driver: SourceFile | None = None
    scoring_timeout: float = 60.0

    def kept(self) -> Json:
        return asdict(self)

    @classmethod
    def of(cls, kept: Mapping[str, Any]) -> Image:
        return cls(
            environment=kept["environment"],
            models=tuple(kept["models"]),
            files=tuple(SourceFile(**each) for each in kept["files"]),
            driver=SourceFile(**kept["driver"]) if kept["driver"] else None,
            scoring_timeout=float(kept["scoring_timeout"]),
        )


@dataclass(frozen=True)
class NewService:
    """A service to be deployed. Keys that are None are made."""

    name: str
    compute_type: str
    image: Image
    description: str | None = None
    tags: Json | None = None
    properties: Json | None = None
    client: Json | None = None
    auth: str = NO_AUTH
    keys: tuple[str | None, str | None] = (None, None)


@dataclass(frozen=True)
class ServiceChange:
    """What is to be different of a service; None leaves a thing as it is. Keys of ``client`` replace the same keys."""

    image: Image | None = None
    description: str | None = None
    tags: Json | None = None
    properties: Json | None = None
    client: Json | None = None
    auth: str | None = None


class Services:
    """``key`` is the store's, from which that of the services' keys is derived."""

    def __init__(self, database: Database, key: str) -> None:
        self._database = database
        self._cipher = cipher(key, "services")

    # Reading --------------------------------------------------------------------------------------------------

    def get(self, name: str) -> Service:
        """Raises NotFound."""
        with self._database.read() as session:
            found = session.get(Service, name)
        if found is None:
            raise NotFound(f"There is no service {name[:80]!r} in this workspace.")
        return found

    def list(self) -> Sequence[Service]:
        """The newest first."""
        with self._database.read() as session:
            return session.scalars(select(Service).order_by(Service.created.desc(), Service.name)).all()

    def operation(self, operation_id: str) -> ServiceOperation:
        """Raises NotFound."""
        with self._database.read() as session:
            found = session.get(ServiceOperation, operation_id)
        if found is None:
            raise NotFound(f"There is no operation with the id {operation_id[:80]!r}.")
        return found

    def keys(self, name: str) -> tuple[str, str]:
        """The primary and the secondary key. Raises NotFound, and Conflict where they can't be read any more."""
        try:
            first, second = json.loads(self._cipher.decrypt(self.get(name).keys.encode()))
        except (InvalidToken, ValueError):
            raise Conflict(
                f"The keys of the service {name!r} can't be decrypted: the state folder's secrets.json is a new one. "
                "Make new keys: service.regen_key('Primary'), then 'Secondary'."
            ) from None
        return first, second

    # Changing -------------------------------------------------------------------------------------------------

    def create(self, new: NewService, *, overwrite: bool = False) -> Service:
        """Keep a service that is to be deployed. Raises Invalid, and Conflict for a name that is taken.

        With ``overwrite`` one of that name gets the new image, and keeps its keys.
        """
        check_name(new.name)
        tags, properties = texts("service's tags", new.tags or {}), texts("properties", new.properties or {})
        description = None if new.description is None else check_text("A service's description", new.description)
        with self._database.write() as session:
            row = session.get(Service, new.name)
            if row is not None and not overwrite:
                raise Conflict(
                    f"There is a service {new.name!r} already, {row.state}. Deploy with overwrite=True, or delete it."
                )
            stamp = now()
            if row is None:
                row = Service(name=new.name, created=stamp, revision=0, serving=None, served=None)
                row.keys = self._sealed(tuple(key or _new_key() for key in new.keys))
                session.add(row)
            row.compute_type, row.description, row.tags, row.properties = (
                new.compute_type,
                description,
                tags,
                properties,
            )
            row.client, row.auth = new.client or {}, new.auth
            row.operation = self._renewed(session, row, new.image, "Create")
            row.modified = stamp
        return row

    def change(self, name: str, change: ServiceChange) -> tuple[Service, bool]:
        """The changed service, and whether it gets a new image. Raises NotFound, Invalid."""
        with self._database.write() as session:
            row = self._row(session, name)
            if change.description is not None:
                row.description = check_text("A service's description", change.description)
            if change.tags is not None:
                row.tags = texts("service's tags", change.tags)
            if change.properties is not None:
                row.properties = {**row.properties, **texts("properties", change.properties)}
            if change.client is not None:
                row.client = {**row.client, **change.client}
            row.auth = change.auth or row.auth
            if change.image is not None:
                row.operation = self._renewed(session, row, change.image, "Update")
            row.modified = now()
        return row, change.image is not None

    def set_key(self, name: str, *, primary: bool, value: str | None) -> None:
        """A new key, made where no value is given. Raises NotFound, Invalid."""
        if value is not None and not (value.isascii() and value.isprintable() and 0 < len(value) <= MAX_KEY):
            raise Invalid(f"A service's key is 1 to {MAX_KEY} printable ASCII characters.")
        try:
            keys = self.keys(name)
        except Conflict:
            keys = (_new_key(), _new_key())
        made = value or _new_key()
        with self._database.write() as session:
            row = self._row(session, name)
            row.keys = self._sealed((made, keys[1]) if primary else (keys[0], made))
            row.modified = now()

    def note(self, name: str, revision: int | None = None, **columns: Any) -> bool:
        """Set columns of a service that is still there, and still of this revision. False where it isn't."""
        with self._database.write() as session:
            row = session.get(Service, name)
            if row is None or row.state == DELETING or (revision is not None and row.revision != revision):
                return False
            for column, value in columns.items():
                setattr(row, column, value)
        return True

    def mark_deleting(self, name: str) -> None:
        """Raises NotFound."""
        with self._database.write() as session:
            self._row(session, name).state = DELETING

    def forget(self, name: str) -> None:
        with self._database.write() as session:
            row = session.get(Service, name)
            if row is not None:
                session.delete(row)

    def finished_operation(self, name: str, kind: str) -> str:
        """The id of an operation that took no time."""
        with self._database.write() as session:
            return _operation(session, name, kind, SUCCEEDED).id

    def log(self, operation_id: str, line: str, *, step: str | None = None) -> None:
        """Add a line to what an operation tells whoever waits for it."""

        def add(row: ServiceOperation) -> None:
            row.log = [*row.log, [now(), line]]
            row.step = step or row.step

        self._operate(operation_id, add)

    def end_operation(self, operation_id: str, error: str | None) -> None:
        def end(row: ServiceOperation) -> None:
            if row.state == RUNNING:
                row.state, row.error = (OPERATION_FAILED, error) if error else (SUCCEEDED, None)

        self._operate(operation_id, end)

    def _operate(self, operation_id: str, change: Callable[[ServiceOperation], None]) -> None:
        with self._database.write() as session:
            row = session.get(ServiceOperation, operation_id)
            if row is not None:
                change(row)

    def _renewed(self, session: Any, row: Service, image: Image, kind: str) -> str:
        """The service's next revision; the operation that brings it about."""
        if row.operation is not None:
            earlier = session.get(ServiceOperation, row.operation)
            if earlier is not None and earlier.state == RUNNING:
                earlier.state, earlier.error = OPERATION_FAILED, "A newer deployment of this service has replaced it."
        row.image, row.revision, row.error = image.kept(), row.revision + 1, None
        if row.serving is None or row.state in (FAILED, UNHEALTHY):
            row.state = TRANSITIONING
        return str(_operation(session, row.name, kind, RUNNING).id)

    def _row(self, session: Any, name: str) -> Service:
        found = session.get(Service, name)
        if found is None or found.state == DELETING:
            raise NotFound(f"There is no service {name[:80]!r} in this workspace.")
        return found  # type: ignore[no-any-return]

    def _sealed(self, keys: Sequence[str]) -> str:
        return self._cipher.encrypt(json.dumps(list(keys)).encode()).decode()


def check_name(name: str) -> None:
    """Raises Invalid for a name that Azure wouldn't take."""
    if not NAME.fullmatch(name):
        raise Invalid(
            f"{name[:80]!r} is no name of a service: 3 to 32 lower case letters, digits and '-', the first a letter, "
            "the last a letter or a digit."
        )


def same_key(given: str, keys: Sequence[str]) -> bool:
    """Whether a text is one of the keys, in a time that doesn't depend on where they differ."""
    return any([hmac.compare_digest(given.encode(), key.encode()) for key in keys])


def with_timeout(image: Image, seconds: float) -> Image:
    return replace(image, scoring_timeout=seconds)


def _new_key() -> str:
    return secrets.token_urlsafe(24)


def _operation(session: Any, service: str, kind: str, state: str) -> ServiceOperation:
    row = ServiceOperation(
        id=str(uuid.uuid4()), service=service, kind=kind, state=state, step=BUILD, log=[], created=now()
    )
    session.add(row)
    return row
