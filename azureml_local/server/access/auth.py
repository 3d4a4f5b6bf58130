"""Authentication: access tokens and signed URLs.

A client gets a token for the store's sign-in secret (``MSI_SECRET``), a job gets one for its run. Both are
JWTs signed with the store's key, for this store only: a claim of their own names its workspace. Their audience is
the resource that the client asked for, which azure-ai-ml looks at before it uses one. URLs of blobs and of
containers carry a signature of their own, as Azure's do.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from dataclasses import dataclass
from datetime import datetime, timezone
from urllib.parse import quote, urlencode

import jwt

from azureml_local.names import MLFLOW_RESOURCE
from azureml_local.server.errors import Unauthorized
from azureml_local.storage.blobs import BlobError
from azureml_local.storage.clock import expired
from azureml_local.storage.folder import Secrets
from azureml_local.workspace.identity import Identity

ALGORITHM = "HS256"
ISSUER = "https://azureml-local.invalid/"
CLIENT_SECONDS = 24 * 3600
RUN_SECONDS = 24 * 3600
SIGNATURE_SECONDS = 7 * 24 * 3600
CONTAINER_SECONDS = 24 * 3600  # the longest that a signature for a whole container is good
# A token that stands in a variable can't be renewed by who reads it there; the secret beside it has no end at all.
VARIABLE_SECONDS = 30 * 24 * 3600
SAS_VERSION = "2021-08-06"
# The claim that names the workspace: ``aud`` is whatever was asked for.
WORKSPACE_CLAIM = "azureml_local_workspace"


@dataclass(frozen=True)
class Token:
    text: str
    expires: int  # seconds since 1970

    @property
    def expires_utc(self) -> str:
        """As the SDK wants it: it takes a number for local time."""
        return datetime.fromtimestamp(self.expires, timezone.utc).isoformat()


@dataclass(frozen=True)
class Caller:
    """Who asks: a client that signed in, or the job of a run."""

    run_id: str | None = None


class Tokens:
    def __init__(self, secrets: Secrets, identity: Identity) -> None:
        self._key = secrets.signing_key
        self._sign_in = secrets.sign_in
        self._secrets = secrets
        self._identity = identity

    def sign_in(self, secret: str | None, resource: str) -> Token:
        """A client's token. Raises Unauthorized unless it knows the secret."""
        if secret is None or not hmac.compare_digest(secret.encode(), self._sign_in.encode()):
            raise Unauthorized(
                "Sign-in needs this server's secret in the header 'secret'. Start the client through "
                "azureml-local "
                "(run or env): it sets MSI_SECRET."
            )
        return self._for_client(resource)

    def sign_in_by_address(self, key: str, resource: str) -> tuple[Token, str | None]:
        """A token for who knows a sign-in address, and the run whose job that is (`Secrets.sign_in_key`).

        Raises Unauthorized.
        """
        run_id = key.rpartition(".")[0]
        if not hmac.compare_digest(key.encode(), self._secrets.sign_in_key(run_id).encode()):
            raise Unauthorized(
                "This sign-in address isn't the server's. Start the client through azureml-local (run or env): it sets "
                "ARM_CLOUD_METADATA_URL and AZURE_AUTHORITY_HOST."
            )
        return (self.for_run(run_id, resource), run_id) if run_id else (self._for_client(resource), None)

    def _for_client(self, resource: str) -> Token:
        # The issuer's host can't exist and the signature is ours: Azure would refuse this token, so it can't
        # be taken for a real one.
        return self._issue(
            VARIABLE_SECONDS if resource == MLFLOW_RESOURCE else CLIENT_SECONDS,
            aud=resource or self._identity.workspace_id,
            oid=self._identity.principal_id,
            name="azureml-local",
            upn="you@azureml-local.invalid",
        )

    def for_run(self, run_id: str, resource: str = "") -> Token:
        """A job's token. The SDK in the job asks for a new one shortly before it expires
        (azureml.core.authentication: AzureMLTokenAuthentication).
        """
        audience = resource or self._identity.workspace_id
        return self._issue(RUN_SECONDS, aud=audience, run=run_id, oid=self._identity.principal_id)

    def check(self, authorization: str | None) -> Caller:
        """Whose token it is. Raises Unauthorized unless it is ``Bearer`` and a valid token of this store."""
        scheme, _, text = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not text:
            raise Unauthorized(
                "The request has no bearer token. Use a client that azureml-local started or gave its variables to."
            )
        try:
            claims = jwt.decode(
                text,
                self._key,
                algorithms=[ALGORITHM],
                issuer=ISSUER,
                options={
                    "require": ["exp", "aud", "iss", WORKSPACE_CLAIM],
                    # What the client has asked for, and no business of ours: our own claim is below.
                    "verify_aud": False,
                    # The end is looked at below. That it was made after the present says only that the clock was set
                    # back; for the same reason none of ours has a time that it begins at ("nbf").
                    "verify_exp": False,
                    "verify_iat": False,
                },
            )
            if claims[WORKSPACE_CLAIM] != self._identity.workspace_id:
                raise jwt.InvalidTokenError("of another workspace")
        except jwt.InvalidTokenError:
            raise Unauthorized(
                "The token isn't one of this server's. Was it made by another one, or by Azure? "
                "Start the client anew through azureml-local."
            ) from None
        run_id = claims.get("run")
        # A job's token ends with its run (`permissions.check`). A job that was frozen, with its machine for one, for
        # longer than a token is told to be good, goes on with the one that it has until it has renewed that.
        if run_id is None and expired(int(claims["exp"])):
            raise Unauthorized("The token has expired. Sign in again.")
        return Caller(run_id)

    def _issue(self, seconds: int, **claims: str) -> Token:
        moment = int(time.time())
        expires = moment + seconds
        payload = {
            "iss": ISSUER,
            WORKSPACE_CLAIM: self._identity.workspace_id,
            "iat": moment,
            "exp": expires,
            "tid": self._identity.tenant_id,
            **claims,
        }
        return Token(jwt.encode(payload, self._key, ALGORITHM), expires)


def derived_key(secrets: Secrets, purpose: str) -> str:
    """A key for one purpose, the same as long as the store's own key is."""
    return hmac.new(secrets.signing_key.encode(), purpose.encode(), hashlib.sha256).hexdigest()[:32]


class BlobUrls:
    """Signed URLs of blobs.

    Reading takes any https URL. For writing, the SDK cuts the host at its first two dots into account, "blob"
    and rest and glues it together again; ``localhost`` has none, so the dots stand in the user part, which no
    HTTP client sends.
    """

    def __init__(self, api: str, secrets: Secrets) -> None:
        self._api = api
        self._key = secrets.signing_key.encode()

    def read(self, container: str, name: str) -> str:
        return f"{self._api}/{self._path(container, name)}?{self._query('r', container, name)}"

    def write(self, container: str, name: str) -> str:
        base = self._api.replace("https://", "https://local.blob.core@", 1)
        return f"{base}/{self._path(container, name)}?{self._query('rw', container, name)}"

    def create(self, container: str, name: str) -> str:
        """For writing what isn't there yet: whoever has it replaces nothing."""
        base = self._api.replace("https://", "https://local.blob.core@", 1)
        return f"{base}/{self._path(container, name)}?{self._query('rc', container, name)}"

    def container_query(self, container: str, permissions: str, seconds: int) -> str:
        """A signature for all blobs of a container, as the query of a URL (a shared access signature, ``sr=c``)."""
        expiry = str(int(time.time()) + max(1, min(seconds, CONTAINER_SECONDS)))
        signature = self._signature(permissions, expiry, container, None)
        return urlencode({"sv": SAS_VERSION, "sr": "c", "sp": permissions, "se": expiry, "sig": signature})

    def check(self, container: str, name: str, needed: str, query: dict[str, str]) -> bool:
        """Whether all of it is allowed (of ``w``, writing), or only to create what isn't there.

        Raises BlobError 403 unless the query's signature, for this blob or for its container, allows this.
        """
        permissions, expiry, signature = query.get("sp", ""), query.get("se", ""), query.get("sig", "")
        signed = None if query.get("sr") == "c" else name
        expected = self._signature(permissions, expiry, container, signed)
        if not hmac.compare_digest(signature.encode(), expected.encode()) or not (
            needed in permissions or (needed == "w" and "c" in permissions)
        ):
            raise BlobError(403, "AuthenticationFailed", "The URL's signature doesn't allow this. Ask for a new one.")
        if not (expiry.isascii() and expiry.isdecimal() and len(expiry) < 16) or expired(int(expiry)):
            raise BlobError(403, "AuthenticationFailed", "The URL's signature has expired. Ask for a new one.")
        return needed in permissions

    @staticmethod
    def _path(container: str, name: str) -> str:
        return f"{container}/{quote(name, safe='/')}"

    def _query(self, permissions: str, container: str, name: str) -> str:
        # The expiry is rounded, so that the same blob has the same URL for a while.
        expiry = str((int(time.time()) // 3600 + 1) * 3600 + SIGNATURE_SECONDS)
        return urlencode(
            {"sp": permissions, "se": expiry, "sig": self._signature(permissions, expiry, container, name)}
        )

    def _signature(self, permissions: str, expiry: str, container: str, name: str | None) -> str:
        # A JSON list, where no field can hold what parts it from the next one; without a name it is for a container.
        text = json.dumps([permissions, expiry, container, name]).encode()
        return base64.urlsafe_b64encode(hmac.digest(self._key, text, "sha256")).decode().rstrip("=")
