"""JSON that the SDK sends as a file of a form (multipart/form-data)."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from fastapi import Request

from azureml_local.workspace.errors import Invalid

BOUNDARY = re.compile(r'boundary="?([^\s";,]{1,70})')


# The SDK sends two or three.
MAX_PARTS = 100


def parts_named(filename: str, content: bytes, boundary: bytes) -> Iterator[bytes]:
    """The contents of the parts of a form that are files of this name."""
    wanted = f'filename="{filename}"'.encode()
    for part in content.split(b"--" + boundary, MAX_PARTS):
        head, _, data = part.partition(b"\r\n\r\n")
        if wanted in head:
            yield data


def json_file(filename: str) -> Callable[[Request], Awaitable[dict[str, Any]]]:
    """A dependency that reads the object in the file of this name. Other parts of the form aren't needed."""

    async def read(request: Request) -> dict[str, Any]:
        content = await request.body()
        boundary = BOUNDARY.search(request.headers.get("content-type", ""))
        for data in parts_named(filename, content, boundary[1].encode("latin-1")) if boundary else ():
            try:
                body = json.loads(data)
                # What Python reads and no answer could hold: nan, infinity, half a character.
                json.dumps(body, allow_nan=False, ensure_ascii=False).encode()
            except (ValueError, RecursionError) as error:
                raise Invalid(f"The {filename} of a submission is no JSON: {error}") from error
            if isinstance(body, dict):
                return body
        raise Invalid(f"A submission of this kind needs a file {filename}, as multipart/form-data.")

    return read
