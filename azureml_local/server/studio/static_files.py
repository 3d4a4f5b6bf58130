"""Scripts, styles and the libraries beside them: files of this package, named here one by one."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import Response

from azureml_local.server.studio.access import Viewing
from azureml_local.server.studio.render import HERE
from azureml_local.workspace.errors import NotFound

router = APIRouter(prefix="/studio/{key}")

SCRIPT, STYLE = "text/javascript; charset=utf-8", "text/css; charset=utf-8"
FILES = {
    "studio.js": ("studio.js", SCRIPT),
    "log.js": ("log.js", SCRIPT),
    "charts.js": ("charts.js", SCRIPT),
    "studio.css": ("studio.css", STYLE),
    "icon.svg": ("icon.svg", "image/svg+xml"),
    "idiomorph.js": ("vendor/idiomorph.min.js", SCRIPT),
    "uplot.js": ("vendor/uPlot.iife.min.js", SCRIPT),
    "uplot.css": ("vendor/uPlot.min.css", STYLE),
}


@router.get("/static/{version}/{name}")
def static_file(viewing: Viewing, version: str, name: str) -> Response:
    """``version`` is in the address so that a browser may keep the file: another state has another address."""
    if name not in FILES:
        raise NotFound(f"There is no file {name[:80]!r} among Studio's own.")
    file, kind = FILES[name]
    headers = {"Content-Type": kind, "Cache-Control": "private, max-age=86400, immutable"}
    return Response((HERE / "static" / file).read_bytes(), headers=headers)
