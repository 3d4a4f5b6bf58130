"""Access control of Studio: who may view pages, and who may change something."""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import parse_qs

from fastapi import Depends, Request

from azureml_local.server.access.signin import COOKIE
from azureml_local.server.context import Context, Ctx
from azureml_local.server.errors import Forbidden
from azureml_local.workspace.errors import NotFound


@dataclass(frozen=True)
class Viewer:
    """Who asks: anyone who knows the address; with a ``form_token``, a browser that signed in too."""

    ctx: Context
    form_token: str | None = None

    @property
    def base(self) -> str:
        return f"/studio/{self.ctx.secrets.view_key}"


def viewer(request: Request, ctx: Context, key: str) -> Viewer:
    """Raises NotFound for another workspace's address, or none."""
    if not hmac.compare_digest(key.encode(), ctx.secrets.view_key.encode()):
        raise NotFound("There is no such page. Links of another local workspace don't work here.")
    cookie = cookie_of(request)
    signed_in = cookie is not None and ctx.sessions.valid(cookie)
    return Viewer(ctx, ctx.sessions.form_token(cookie) if cookie and signed_in else None)


async def _viewing(request: Request, ctx: Ctx, key: str) -> Viewer:
    return viewer(request, ctx, key)


Viewing = Annotated[Viewer, Depends(_viewing)]


async def acting(request: Request, viewing: Viewing) -> Viewer:
    """For what changes something. Raises Forbidden unless a form of our own page is sent by a browser that signed in.

    The guard has refused other origins already; here there must be one, so that it is a browser's word.
    """
    cookie = cookie_of(request) or ""
    if viewing.form_token is None:
        raise Forbidden("This page only shows. Run `azureml-local open`, and do it in the page that opens.")
    token = form_token_of(await request.body())
    if "origin" not in request.headers or not viewing.ctx.sessions.form_is_ours(cookie, token):
        raise Forbidden("The form isn't one of this page. Load the page again, and then try once more.")
    return viewing


def cookie_of(request: Request) -> str | None:
    """The sign-in's cookie. Ours never needs quotes, and Python's reader of those takes a second for 64 KiB of
    backslashes (CVE-2024-7592).
    """
    for header in request.headers.getlist("cookie"):
        for pair in header.split(";"):
            name, _, value = pair.strip().partition("=")
            if name == COOKIE:
                return value
    return None


def form_token_of(body: bytes) -> str:
    """The token that a form of ours carries."""
    return parse_qs(body.decode("latin-1")).get("token", [""])[0]


Acting = Annotated[Viewer, Depends(acting)]
