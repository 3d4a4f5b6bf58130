"""Error messages as the reason phrase of the status line, which is all that the SDK shows of many errors.

msrest reads an error's body only where the operation has a class for it, and says of every other answer "Operation
returned an invalid status code '{reason}'" (msrest.exceptions.HttpOperationError). ASGI knows no reason, so an answer
with one has it as a key of its own in the message that starts it.
"""

from __future__ import annotations

import asyncio
import re
from typing import Any, cast

from fastapi.responses import JSONResponse
from starlette.types import Message, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

KEY = "azureml_local.reason"
LONGEST = 300
# RFC 9112 allows more; clients differ in how they read it.
UNSAFE = re.compile(r"[^\x20-\x7e]+")


class ReasonedResponse(JSONResponse):
    """JSON, and a sentence for those who look at the status line alone."""

    def __init__(self, content: Any, status_code: int, reason: str) -> None:
        super().__init__(content, status_code)
        self.reason = UNSAFE.sub(" ", reason).strip()[:LONGEST]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_reason(message: Message) -> None:
            if message["type"] == "http.response.start":
                message[KEY] = self.reason
            await send(message)

        await super().__call__(scope, receive, with_reason)


class Cycle(RequestResponseCycle):
    """uvicorn's request and answer, with the reason in the status line where the answer has one."""

    async def send(self, message: Any) -> None:
        reason = message.get(KEY)
        if reason is None:
            await super().send(message)
            return
        transport = self.transport
        self.transport = cast(asyncio.Transport, _StatusLine(transport, reason))
        try:
            await super().send(message)
        finally:
            self.transport = transport


class _StatusLine:
    """A transport for the head of one answer."""

    def __init__(self, transport: asyncio.Transport, reason: str) -> None:
        self._transport = transport
        self._reason = reason

    def write(self, head: bytes) -> None:
        line, end, rest = head.partition(b"\r\n")
        version, status, _ = line.split(b" ", 2)
        self._transport.write(b" ".join((version, status, self._reason.encode("ascii"))) + end + rest)
