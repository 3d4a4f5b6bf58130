"""Log pages: tail, ranges and search, with little work for logs of 100 MB too."""

from __future__ import annotations

import codecs
import mmap
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import JSONResponse, Response

from azureml_local.server.studio.access import Viewing
from azureml_local.storage.blobs import BlobError
from azureml_local.workspace.artifacts import RUN_ORIGIN
from azureml_local.workspace.errors import NotFound
from azureml_local.workspace.runs import data_container

router = APIRouter(prefix="/studio/{key}/runs/{run_id}/log")

TAIL = 64 * 1024
PIECE = 256 * 1024
MOST_FOUND = 200
SEARCHED = 1 << 20
LINE = 300  # of a line that was found, as many characters are shown


@dataclass(frozen=True)
class Tail:
    """The end of a log: its text from ``start`` to ``end``, of ``size`` bytes in all."""

    text: str
    start: int
    end: int
    size: int


def tail(path: Path, size: int, most: int = TAIL) -> Tail:
    return part(path, size, max(0, size - most), size)


def part(path: Path, size: int, start: int, end: int, *, from_a_line: bool = True) -> Tail:
    """To the end of a character, since the last one's other bytes may not be there yet; and from the beginning of a
    line, or exactly from ``start``.
    """
    with path.open("rb") as file:
        file.seek(start)
        data = file.read(max(0, end - start))
    if from_a_line and start and 0 < (cut := data.find(b"\n") + 1) < len(data):
        data, start = data[cut:], start + cut
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    text = decoder.decode(data)
    waiting, _ = decoder.getstate()
    return Tail(text, start, start + len(data) - len(waiting), size)


@router.get("/{path:path}")
def log(
    viewing: Viewing,
    run_id: str,
    path: str,
    start: Annotated[int | None, Query(ge=0, le=2**62)] = None,
    end: Annotated[int | None, Query(ge=0, le=2**62)] = None,
    words: Annotated[str, Query(max_length=200)] = "",
) -> Response:
    """A part of a log as JSON: what comes after ``start`` or stands before ``end``; or the lines with ``words``."""
    ctx = viewing.ctx
    container = data_container(ctx.workspace.runs.get(run_id))
    try:
        blob = ctx.workspace.artifacts.get(RUN_ORIGIN, container, path)
    except BlobError as error:
        raise NotFound(f"The run {run_id!r} has no log {path[:200]!r}.") from error
    file = ctx.workspace.artifacts.path(blob)
    if words:
        lines, more = search(file, blob.size, words)
        return JSONResponse({"found": lines, "more": more, "size": blob.size})
    if start is not None:
        # What was written since; of very much, the end only.
        begin = min(start, blob.size)
        late = blob.size - begin > PIECE
        found = tail(file, blob.size) if late else part(file, blob.size, begin, blob.size, from_a_line=False)
    else:
        last = blob.size if end is None else min(end, blob.size)
        found = part(file, blob.size, max(0, last - TAIL), last)
    return JSONResponse(vars(found))


def search(path: Path, size: int, words: str) -> tuple[list[dict[str, object]], bool]:
    """The first lines that hold these words: where each begins, and its text. The case of A to Z makes no difference.

    Piece by piece, each of them brought to small letters: ten times as quick as a pattern that ignores the case.
    """
    found: list[dict[str, object]] = []
    wanted = words.encode().lower()
    if size == 0:
        return found, False
    with path.open("rb") as file, mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ) as text:
        place = 0
        while place < size:
            piece = text[place : place + SEARCHED].lower()
            at = piece.find(wanted)
            if at < 0:
                place += max(1, len(piece) - len(wanted) + 1)  # words may lie across two pieces
                continue
            if len(found) == MOST_FOUND:
                return found, True
            match = place + at
            begin, after = text.rfind(b"\n", 0, match) + 1, text.find(b"\n", match)
            after = size if after < 0 else after
            shown = text[max(begin, match - LINE // 2) : min(after, match + LINE)]
            found.append({"at": begin, "text": shown.decode("utf-8", "replace")[:LINE]})
            place = after + 1
    return found, False
