"""The workspace's key vault: secrets that users keep for their jobs."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence

from cryptography.fernet import Fernet, InvalidToken
from sqlalchemy import select

from azureml_local.storage.clock import now
from azureml_local.storage.database import Database
from azureml_local.storage.tables import Secret
from azureml_local.workspace.errors import Conflict, Invalid, NotFound

NAME = re.compile(r"[0-9a-zA-Z-]{1,127}")  # Azure Key Vault's rule, and its limit for a value
MAX_BYTES = 25_000
MAX_BATCH = 1000


def cipher(key: str, purpose: str) -> Fernet:
    """What encrypts for one purpose, with a key that is derived from the store's own."""
    derived = hmac.new(key.encode(), f"azureml-local {purpose}".encode(), hashlib.sha256).digest()
    return Fernet(base64.urlsafe_b64encode(derived))


class KeyVault:
    """Secrets, encrypted with a key that isn't in the database: a copy of the database tells nothing.

    As in Azure, upper and lower case make no difference to a secret's name. No message here ever has a value
    in it.
    """

    def __init__(self, database: Database, key: str) -> None:
        self._database = database
        self._cipher = cipher(key, "key vault")

    def set(self, secrets: Mapping[str, tuple[str, str | None]]) -> None:
        """Keep each name's value and content type: all of them, or none. Raises Invalid."""
        if len(secrets) > MAX_BATCH:
            raise Invalid(f"At most {MAX_BATCH} secrets can be set at once.")
        for name, (value, _) in secrets.items():
            if not NAME.fullmatch(name):
                raise Invalid(f"{name[:127]!r} is no name for a secret: letters, digits and '-', at most 127.")
            if len(value.encode()) > MAX_BYTES:
                raise Invalid(f"The value of the secret {name!r} has more than {MAX_BYTES:,} bytes.")
        with self._database.write() as session:
            for name, (value, content_type) in secrets.items():
                session.merge(
                    Secret(
                        key=name.lower(),
                        name=name,
                        value=self._cipher.encrypt(value.encode()).decode(),
                        content_type=content_type,
                        created=now(),
                    )
                )

    def get(self, name: str) -> tuple[str, str | None]:
        """A secret's value and content type.

        Raises:
            NotFound. Conflict: it was encrypted with a key that the store no longer has.
        """
        with self._database.read() as session:
            found = session.get(Secret, name.lower())
        if found is None:
            raise NotFound(f"There is no secret {name[:127]!r} in this workspace's key vault.")
        try:
            return self._cipher.decrypt(found.value.encode()).decode(), found.content_type
        except InvalidToken:
            raise Conflict(
                f"The secret {found.name!r} was encrypted with a key that this store no longer has (its secrets.json "
                "was made anew). Set it again."
            ) from None

    def names(self) -> Sequence[str]:
        with self._database.read() as session:
            return session.scalars(select(Secret.name).order_by(Secret.key)).all()

    def delete(self, names: Sequence[str]) -> None:
        """Raises NotFound, and then deletes none of them."""
        with self._database.write() as session:
            for name in names:
                found = session.get(Secret, name.lower())
                if found is None:
                    raise NotFound(f"There is no secret {name[:127]!r} in this workspace's key vault.")
                session.delete(found)
