"""Starts servers quickly: everything is imported once, and each server is a fork.

Run with the state folder, the cache folder and a port. Each line on standard input starts one server and is answered
with its process id.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
from pathlib import Path

from azureml_local.server.serve import Settings, serve


def main(state: str, cache: str, port: str) -> None:
    settings = Settings(Path(state), Path(cache), port=int(port), host_environment=True)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for a killed server
    for _ in sys.stdin:
        if child := os.fork():
            print(child, flush=True)
            continue
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.setsid()
        try:
            serve(settings)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
