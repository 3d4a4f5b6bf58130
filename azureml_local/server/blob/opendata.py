"""Azure Open Datasets: the MNIST files, from wherever this server has them, and Diabetes."""

from __future__ import annotations

import hmac
from typing import Any
from urllib.parse import quote

from fastapi import APIRouter, Request
from fastapi.responses import Response

from azureml_local.opendata import DIABETES
from azureml_local.server.context import Context, Ctx
from azureml_local.server.errors import Unauthorized
from azureml_local.server.http.ranges import send_file
from azureml_local.workspace.errors import NotFound
from azureml_local.workspace.mirrors import Mirror

router = APIRouter(prefix="/opendata")


@router.get("/mnist")
def listing(ctx: Ctx) -> dict[str, Any]:
    """Which data this is, in words, and the URLs of its files.

    The kind is part of each URL: whoever lists a dataset's files sees it.
    """
    source = ctx.mnist()
    names = sorted(path.name for path in source.folder.glob("*-ubyte.gz"))
    base = f"{ctx.endpoints.api}/opendata/mnist/{kind(source.real)}"
    return {
        "description": source.description,
        "real": source.real,
        "files": [f"{base}/{name}" for name in names],
    }


@router.api_route("/mnist/{asked}/{file}", methods=["GET", "HEAD"], include_in_schema=False)
def mnist(ctx: Ctx, request: Request, asked: str, file: str) -> Response:
    """Public, as at Azure's: no token. The Rust engine asks for the size first, then for ranges."""
    source = ctx.mnist()
    if asked != kind(source.real):
        raise NotFound(
            f"This server has {source.description} A dataset that was registered from other data ({asked}) "
            "can't be served "
            "from it; set AZUREML_LOCAL_MNIST to the folder with MNIST's files, or register the dataset anew."
        )
    path = {item.name: item for item in source.folder.glob("*-ubyte.gz")}.get(file)
    if path is None:
        raise NotFound(f"There is no file {file!r} in MNIST.")
    return send_file(
        path.open("rb"),
        path.stat().st_size,
        range_header=request.headers.get("range"),
        media_type="application/gzip",
        head=request.method == "HEAD",
    )


@router.api_route("/diabetes/diabetes.parquet", methods=["GET", "HEAD"], include_in_schema=False)
def diabetes(request: Request) -> Response:
    """The 442 rows of Diabetes, which come with scikit-learn (``load_diabetes(scaled=False)``), in Azure's columns."""
    return send_file(
        DIABETES.open("rb"),
        DIABETES.stat().st_size,
        range_header=request.headers.get("range"),
        media_type="application/octet-stream",
        head=request.method == "HEAD",
    )


@router.get("/mirror/{key}/{mirror_id}")
def mirror_files(ctx: Ctx, key: str, mirror_id: str, match: str = "") -> dict[str, Any]:
    """The files of a mirror that a pattern means, by their paths (`mirrors.Mirror.files`): for the start-up hook."""
    return {"files": [quote(name) for name in _mirror(ctx, key, mirror_id).files(match)]}


@router.api_route("/mirror/{key}/{mirror_id}/{path:path}", methods=["GET", "HEAD"], include_in_schema=False)
def mirror_file(ctx: Ctx, request: Request, key: str, mirror_id: str, path: str) -> Response:
    """A file of a folder that stands for an address of the web. The key in the path takes the place of a token."""
    mirror = _mirror(ctx, key, mirror_id)
    file = mirror.file(quote(path))
    if file is None:
        raise NotFound(f"There is no file {path[:200]!r} in the folder {mirror.folder}, the mirror of {mirror.prefix}.")
    return send_file(
        file.open("rb"),
        file.stat().st_size,
        range_header=request.headers.get("range"),
        media_type="application/octet-stream",
        head=request.method == "HEAD",
    )


def _mirror(ctx: Context, key: str, mirror_id: str) -> Mirror:
    if not hmac.compare_digest(key.encode(), ctx.mirror_key.encode()):
        raise Unauthorized("This address isn't one of this server's.")
    return ctx.workspace.mirrors.get(mirror_id)


def kind(real: bool) -> str:
    return "original" if real else "embedded-digits"
