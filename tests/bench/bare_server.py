"""The least a server of this kind can do: uvicorn, TLS, an empty JSON object. What the routes are measured beside.

Usage: bare_server.py CERTIFICATE; it prints its port, and serves until it is ended.
"""

from __future__ import annotations

import socket
import sys

import uvicorn
from starlette.types import Receive, Scope, Send


async def answer(scope: Scope, receive: Receive, send: Send) -> None:
    while (await receive()).get("more_body"):
        pass
    headers = [(b"content-type", b"application/json"), (b"content-length", b"2")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"{}"})


if __name__ == "__main__":
    listening = socket.create_server(("127.0.0.1", 0))
    print(listening.getsockname()[1], flush=True)
    config = uvicorn.Config(
        answer, ssl_certfile=sys.argv[1], ssl_keyfile=sys.argv[1], access_log=False, log_level="warning", lifespan="off"
    )
    uvicorn.Server(config).run(sockets=[listening])
