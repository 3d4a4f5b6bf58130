"""The page that a one-time link leads to: it gives the browser a cookie, and goes on to Studio."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import Response

from azureml_local.server.access.signin import COOKIE, SESSION_SECONDS
from azureml_local.server.studio.access import Viewing
from azureml_local.server.studio.render import moved, page

router = APIRouter(prefix="/studio/{key}")


@router.get("/sign-in/{token}")
def sign_in(request: Request, viewing: Viewing, token: str) -> Response:
    """The cookie is for this store's own address only, key and all: browsers send cookies to every port of a host,
    and no other server of this machine knows that address.

    A browser that comes from a page of elsewhere, the file of `azureml-local open` for one, would not send the cookie
    (SameSite=Strict) to where an answer redirects it. It gets a page of ours, and goes on from there.
    """
    ctx = viewing.ctx
    where = ctx.sign_in_links.take(token)
    if where is None:
        return moved(viewing, "/") if viewing.form_token else page(viewing, "used.html", status=403)
    from_elsewhere = request.headers.get("sec-fetch-site", "none") in ("cross-site", "same-site")
    answer = page(viewing, "signed_in.html", where=where) if from_elsewhere else moved(viewing, where)
    answer.set_cookie(
        COOKIE, ctx.sessions.make(), max_age=SESSION_SECONDS, path=viewing.base, httponly=True, samesite="strict"
    )
    return answer
