"""Signing in to Studio: a link that works once, and the cookie that it gives.

Who knows the address of the pages (there is a key in it, and a notebook's links tell it) may look. Who wants to do
something there, cancel a run for one, must have come by a link of the command line: it sets a cookie, and a page's
forms carry a token made from that cookie.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
import time

from azureml_local.storage.clock import expired

LINK_SECONDS = 15 * 60
SESSION_SECONDS = 24 * 3600
MAX_LINKS = 1000
COOKIE = "azureml-local"


class SignInLinks:
    """Links that were made and not yet used. They die with the server, which costs nobody more than a new one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._links: dict[str, tuple[float, str]] = {}

    def make(self, where: str = "/") -> str:
        """A new token. ``where`` is the page, below Studio's own address, that it leads to."""
        token = secrets.token_urlsafe(24)
        with self._lock:
            moment = time.monotonic()
            kept = {key: link for key, link in self._links.items() if link[0] > moment}
            self._links = dict(list(kept.items())[-MAX_LINKS + 1 :])
            self._links[_digest(token)] = moment + LINK_SECONDS, where
        return token

    def take(self, token: str) -> str | None:
        """Where it leads, once; None for a token that was used, is too old, or never was one."""
        with self._lock:
            expires, where = self._links.pop(_digest(token), (0.0, ""))
        return where if expires > time.monotonic() else None


class Sessions:
    """Cookies of browsers that signed in, signed with a key of the store: a restart leaves them good."""

    def __init__(self, key: str) -> None:
        self._key = key.encode()

    def make(self) -> str:
        content = f"{int(time.time()) + SESSION_SECONDS}.{secrets.token_urlsafe(12)}"
        return f"{content}.{self._sign('session', content)}"

    def valid(self, cookie: str | None) -> bool:
        content, _, signature = (cookie or "").rpartition(".")
        if not content or not hmac.compare_digest(signature.encode(), self._sign("session", content).encode()):
            return False
        return not expired(int(content.partition(".")[0]))

    def form_token(self, cookie: str) -> str:
        """What a form must carry: a page of somebody else can make a browser send the cookie, but not this."""
        return self._sign("form", cookie)

    def form_is_ours(self, cookie: str, token: str) -> bool:
        return hmac.compare_digest(token.encode(), self.form_token(cookie).encode())

    def _sign(self, purpose: str, text: str) -> str:
        return hmac.new(self._key, f"{purpose}:{text}".encode(), hashlib.sha256).hexdigest()


def _digest(token: str) -> str:
    # Looked up by its digest: how long that takes tells nothing of the token.
    return hashlib.sha256(token.encode()).hexdigest()
