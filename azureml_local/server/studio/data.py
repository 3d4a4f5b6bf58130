"""Registered data: versions, files, and a look at MNIST's digits."""

from __future__ import annotations

import functools
import gzip
import itertools
import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fastapi import APIRouter
from fastapi.responses import HTMLResponse, Response

from azureml_local.opendata.idx import IMAGES, TRAIN_IMAGES, TRAIN_LABELS
from azureml_local.server.context import Context
from azureml_local.server.studio.access import Viewing
from azureml_local.server.studio.events import mark
from azureml_local.server.studio.files import SANDBOX
from azureml_local.server.studio.render import events, page
from azureml_local.workspace.datasets import THIS_SERVER, rust_dataflow
from azureml_local.workspace.errors import Invalid

router = APIRouter(prefix="/studio/{key}/data")

DIGITS = 40  # in the picture, ten in a row
SIDE = 28
# What a data flow reads, as its YAML names it (azureml-dataprep 5): `- file: ADDRESS`, `- pattern: ADDRESS`, ...
SOURCES = ("file", "folder", "pattern", "path")
DATASTORE = re.compile(r"^azureml://subscriptions/.+/datastores/([^/]+)/paths/")
MOST_SOURCES = 50
MOST_VERSIONS = 100


@router.get("", response_class=HTMLResponse)
def data_page(viewing: Viewing) -> Response:
    ctx = viewing.ctx
    return page(
        viewing,
        "data.html",
        here="data",
        seen=mark(ctx),
        events=events(viewing),
        datasets=ctx.workspace.datasets.list(limit=200),
        mnist=ctx.mnist(),
        labels=_labels(ctx.mnist().folder),
    )


@router.get("/sets/{name}", response_class=HTMLResponse)
def dataset_page(viewing: Viewing, name: str) -> Response:
    ctx = viewing.ctx
    versions = ctx.workspace.datasets.versions(name, MOST_VERSIONS)
    sources = {each.version.version: _sources(ctx, each.saved.dataflow) for each in versions}
    mnist = any("opendata/mnist" in source for found in sources.values() for source in found)
    return page(
        viewing,
        "dataset.html",
        here="data",
        seen=mark(ctx),
        events=events(viewing),
        dataset=versions[0].dataset,
        versions=versions,
        sources=sources,
        mnist=ctx.mnist() if mnist else None,
        labels=_labels(ctx.mnist().folder) if mnist else [],
    )


@router.get("/mnist.png")
def digits(viewing: Viewing) -> Response:
    """The first digits of MNIST's training images, as they are in the file that jobs read."""
    picture = _picture(viewing.ctx.mnist().folder)
    return Response(picture, media_type="image/png", headers={"Content-Security-Policy": SANDBOX})


@functools.cache
def _picture(folder: Path) -> bytes:
    import zlib

    with gzip.open(folder / TRAIN_IMAGES) as file:
        magic, count, rows, columns = struct.unpack(">IIII", file.read(16))
        if magic != IMAGES or (rows, columns) != (SIDE, SIDE):
            raise Invalid("MNIST's training images aren't of the form that can be drawn here.")
        pixels = file.read(min(count, DIGITS) * SIDE * SIDE)
    lines = []
    for top in range(0, len(pixels) // (SIDE * SIDE) // 10):
        for line in range(SIDE):
            starts = ((top * 10 + place) * SIDE * SIDE + line * SIDE for place in range(10))
            lines.append(b"\0" + b"".join(pixels[start : start + SIDE] for start in starts))

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = struct.pack(">IIBBBBB", 10 * SIDE, len(lines), 8, 0, 0, 0, 0)  # greys of 8 bits
    body = zlib.compress(b"".join(lines))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


@functools.cache
def _labels(folder: Path) -> list[int]:
    with gzip.open(folder / TRAIN_LABELS) as file:
        return list(file.read(8 + DIGITS)[8:])


def _sources(ctx: Context, dataflow: str) -> list[str]:
    """The addresses that a data flow names: without this server, or without the workspace that a datastore is of."""
    try:
        text: Any = rust_dataflow(dataflow)
    except Invalid:
        return []
    found = [address.replace(THIS_SERVER, "") for address in itertools.islice(sources_of(text), MOST_SOURCES)]
    return [DATASTORE.sub(r"\1: ", address) for address in found]


def sources_of(text: str) -> Iterator[str]:
    """The addresses in a data flow's YAML, a line each, as the SDK writes it. A reader of all of YAML takes seconds
    for what a dataset may hold.
    """
    for line in text.split("\n"):
        key, colon, address = line.partition(":")
        if colon and key.strip().removeprefix("-").lstrip() in SOURCES:
            address = address.strip()
            first, last = address[:1] in ("'", '"'), address[-1:] in ("'", '"')
            if bare := address[int(first) : len(address) - int(last)]:
                yield bare
