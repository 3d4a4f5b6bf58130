"""A server whose patience with its nodes is short, so that a test need not wait as long as a user."""

from __future__ import annotations

import sys
from pathlib import Path

from azureml_local.cluster.remote import executor as remote
from azureml_local.server.serve import Settings, serve


def main(state: str, cache: str, scheduler: str, host: str, port: str, patience: str) -> None:
    remote.CUT_OFF_SECONDS, remote.SILENCE_SECONDS = float(patience), float(patience) + 10
    remote.RETRY_SECONDS = 0.5
    where = {"host": host, "port": int(port), "exposed": True}
    serve(Settings(Path(state), Path(cache), host_environment=True, scheduler=scheduler, **where))


if __name__ == "__main__":
    main(*sys.argv[1:])
