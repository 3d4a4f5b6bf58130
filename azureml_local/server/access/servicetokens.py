"""Tokens of services: what AksWebservice.get_token() gives, good for the requests of one service and nothing else."""

from __future__ import annotations

import time

import jwt

from azureml_local.server.access.auth import ALGORITHM, derived_key
from azureml_local.storage.clock import expired
from azureml_local.storage.folder import Secrets


class ServiceTokens:
    """They are signed with a key of their own, so that none is a token of the API."""

    def __init__(self, secrets: Secrets) -> None:
        self._key = derived_key(secrets, "service tokens")

    def issue(self, service: str, seconds: int) -> tuple[str, int]:
        """A token, and when it ends in seconds since 1970."""
        expires = int(time.time()) + seconds
        return jwt.encode({"service": service, "exp": expires}, self._key, ALGORITHM), expires

    def check(self, text: str, service: str) -> bool:
        """Whether a text is a token of this service that has not ended."""
        try:
            claims = jwt.decode(text, self._key, algorithms=[ALGORITHM], options={"verify_exp": False})
            return claims["service"] == service and not expired(int(claims["exp"]))
        except (jwt.InvalidTokenError, KeyError, ValueError, TypeError):
            return False
