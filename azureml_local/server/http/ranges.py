"""Sending a file, whole or a range of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import BinaryIO

from fastapi.responses import Response, StreamingResponse

from azureml_local.storage.uploads import iterate

RANGE = re.compile(r"bytes=(\d*)-(\d*)")
# A smaller body goes out in one piece: a thread for each piece would cost more than reading it.
WHOLE = 1 << 20


def parse_range(text: str | None, size: int) -> tuple[int, int] | None:
    """(start, length) of a Range header, None when there is none (or several, which may be ignored).

    Raises ValueError: out of it.
    """
    match = RANGE.fullmatch(text.strip()) if text else None
    if match is None or match[1] == match[2] == "":
        return None
    if match[1] == "":
        length = min(int(match[2]), size)
        if length == 0:
            raise ValueError("an empty range")
        return size - length, length
    start, end = int(match[1]), int(match[2]) if match[2] else size - 1
    if start >= size or end < start:
        raise ValueError("a range outside")
    return start, min(end, size - 1) - start + 1


def send_file(
    file: BinaryIO,
    size: int,
    *,
    range_header: str | None = None,
    headers: Mapping[str, str] | None = None,
    media_type: str = "application/octet-stream",
    head: bool = False,
) -> Response:
    """The first ``size`` bytes of a file, or the range of them that is asked for (206), or 416. It is closed then."""
    # As a header: given as a media type, text would get a charset that nobody stated.
    fields = {"Accept-Ranges": "bytes", "Content-Type": media_type, **(headers or {})}
    try:
        part = parse_range(range_header, size)
    except ValueError:
        file.close()
        return Response(
            status_code=416,
            headers={**fields, "Content-Range": f"bytes */{size}", "x-ms-error-code": "InvalidRange"},
        )
    start, length = part or (0, size)
    if part is not None:
        fields["Content-Range"] = f"bytes {start}-{start + length - 1}/{size}"
    status = 200 if part is None else 206
    fields["Content-Length"] = str(length)
    if head:
        file.close()
        return Response(status_code=status, headers=fields)
    if length <= WHOLE:
        return Response(b"".join(iterate(file, start, length)), status, fields)
    return StreamingResponse(iterate(file, start, length), status, fields)
