"""p50 and p95 of the server's answers by route, beside a bare server's with the same client."""

from __future__ import annotations

import os
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from processes import announced, temporary_folder, workspace
from requests_to import NAMED, Connection, connect, sign_in, trusted
from table import Part, Row

from azureml_local.client.instance import LocalServer

CALLS = 300
WARM_UP = 20
RUNS = 100  # in the experiment that is listed
ARTIFACTS = 20  # of the run whose files are listed
BLOB = os.urandom(64 * 1024)

HISTORY = f"/history/v1.0{NAMED}/experiments/bench"
RUN_ID = "bench_run_0"
METRICS = f"/metric/v2.0{NAMED}/runs/{RUN_ID}"
ARTIFACT = f"/artifact/v2.0{NAMED}/artifacts"
OF_RUN = f"ExperimentRun/dcid.{RUN_ID}"
BLOCK_BLOB = {"x-ms-blob-type": "BlockBlob"}


@dataclass
class Route:
    what: str
    ask: Callable[[], float]  # one call, in milliseconds
    values: list[float] = field(default_factory=list)


def measure() -> Part:
    with (
        temporary_folder() as folder,
        workspace(folder, "--environments", "host") as server,
        _bare(server) as bare,
        closing(connect(server)) as api,
    ):
        plain, token, secret = sign_in(server)
        write, read = _fill(api)
        routes = [
            Route("sign in for a token (http)", lambda: plain.milliseconds("GET", token, headers=secret)),
            Route("get a run", lambda: api.milliseconds("GET", f"{HISTORY}/runs/{RUN_ID}")),
            Route(f"list {RUNS} runs", lambda: api.milliseconds("POST", f"{HISTORY}/runs:query", {"top": RUNS})),
            Route("a run's details", lambda: api.milliseconds("GET", f"{HISTORY}/runs/{RUN_ID}/details")),
            Route("log a batch of 10 metrics", lambda: api.milliseconds("POST", f"{METRICS}/batch", _batch())),
            Route("list the run's metrics", lambda: api.milliseconds("POST", f"{METRICS}/list", {})),
            Route("read a metric", lambda: api.milliseconds("POST", f"{METRICS}/full", {"metricName": "fixed"})),
            Route(f"list {ARTIFACTS} artifacts", lambda: api.milliseconds("GET", f"{ARTIFACT}/{OF_RUN}")),
            Route("put a blob of 64 KiB", lambda: api.milliseconds("PUT", write, BLOB, BLOCK_BLOB)),
            Route("get a blob of 64 KiB", lambda: api.milliseconds("GET", read)),
        ]
        floor = Route("bare", lambda: bare.milliseconds("GET", "/"))
        for number in range(WARM_UP + CALLS):
            # In turn, so that whatever else the machine is doing meets all of them alike.
            for route in [floor, *routes]:
                milliseconds = route.ask()
                if number >= WARM_UP:
                    route.values.append(milliseconds)
        plain.close()
    return Part(
        "The server's answers: p50 and p95 on one kept-open https connection",
        [Row(route.what, route.values, "ms", "bare uvicorn, TLS", floor.values) for route in routes],
    )


def _fill(api: Connection) -> tuple[str, str]:
    """Make what is asked for. Returns the paths with which to write and to read a blob."""
    api.call("POST", HISTORY)
    for number in range(RUNS):
        run_id = f"bench_run_{number}"
        api.call("PATCH", f"{HISTORY}/runs/{run_id}", {"runId": run_id, "target": "sdk"})
    api.call("POST", f"{METRICS}/batch", _batch("fixed"))
    paths = [f"outputs/{number}.bin" for number in range(ARTIFACTS)]
    asked = {"paths": [{"path": path} for path in paths]}
    places = api.json("POST", f"{ARTIFACT}/batch/metadata/{OF_RUN}", asked)["artifactContentInformation"]
    for path in paths:
        api.call("PUT", _path(places[path]["contentUri"]), BLOB, BLOCK_BLOB)
    read = api.json("GET", f"{ARTIFACT}/contentinfo/{OF_RUN}/{paths[0]}")["contentUri"]
    return _path(places[paths[0]]["contentUri"]), _path(read)


def _batch(only: str = "") -> dict[str, Any]:
    """One value for each of ten metrics, in the form that the SDK sends."""
    moment = datetime.now(timezone.utc).isoformat()
    return {
        "values": [
            {
                "name": name,
                "columns": {name: "double"},
                "value": [{"metricId": str(uuid.uuid4()), "createdUtc": moment, "data": {name: 0.5}}],
                "properties": {"uxMetricType": "azureml.v1.scalar"},
            }
            for name in ([only] if only else [f"metric {number}" for number in range(10)])
        ],
        "reportErrors": True,
    }


def _path(uri: str) -> str:
    parts = urlsplit(uri)
    return f"{parts.path}?{parts.query}"


@contextmanager
def _bare(server: LocalServer) -> Iterator[Connection]:
    """A connection to a bare server that has the certificate of ours."""
    certificate = server.folder.tls / "server.pem"
    program = str(Path(__file__).with_name("bare_server.py"))
    with announced([sys.executable, program, str(certificate)], certificate.parent) as port:
        connection = Connection(f"https://localhost:{int(port)}", {}, trusted(server))
        with closing(connection):
            yield connection
