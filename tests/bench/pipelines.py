"""Pipelines beside the same scripts as plain runs, and beside a shell that runs as many at once."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from processes import run, temporary_folder, workspace
from submit_pipelines import NODES
from table import Part, Row

TIMES, FAN = 3, 20


def measure() -> Part:
    with temporary_folder() as folder, workspace(folder, "--environments", "host") as server:
        source = folder / "source"
        source.mkdir()
        (source / "small.py").write_text("print('done')\n")
        client = str(Path(__file__).with_name("submit_pipelines.py"))
        arguments = [sys.executable, "-W", "ignore", client, str(source), str(TIMES), str(FAN)]
        output = run(arguments, folder=folder, environment={**os.environ, **server.variables()}).output
        (found,) = [json.loads(line) for line in output.splitlines() if line.startswith('{"chain"')]
        shell = run(["sh", "-c", f"seq {FAN} | xargs -P {NODES} -I{{}} sleep 2"], folder=folder).wall
    return Part(
        "Pipelines",
        [
            Row("a chain of 3 small steps", found["chain"], "s", "3 runs one after another", found["plain"]),
            Row("the same, reused: the server's part", [1000 * each for each in found["reused"]], "ms"),
            Row(f"{FAN} steps on {NODES} nodes", found["fan"], "s", f"xargs -P {NODES}", [shell]),
        ],
    )
