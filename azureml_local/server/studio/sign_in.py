"""The page that a one-time link leads to: it gives the browser a cookie, and goes on to Studio."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import Response

from azureml_local.server.signin import COOKIE, SESSION_SECONDS
from azureml_local.server.studio.access import Viewing
from azureml_local.server.studio.render import moved, page

router = APIRouter(prefix="/studio/{key}")


@router.get("/sign-in/{token}")
def sign_in(viewing: Viewing, token: str) -> Response:
    """The cookie is for this store's own address only, key and all: browsers send cookies to every port of a host,
    and no other server of this machine knows that address.
    """
    ctx = viewing.ctx
    where = ctx.sign_in_links.take(token)
    if where is None:
        return moved(viewing, "/") if viewing.form_token else page(viewing, "used.html", status=403)
    answer = moved(viewing, where)
    answer.set_cookie(
        COOKIE, ctx.sessions.make(), max_age=SESSION_SECONDS, path=viewing.base, httponly=True, samesite="strict"
    )
    return answer
