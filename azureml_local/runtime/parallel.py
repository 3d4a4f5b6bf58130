"""What the driver of a job that shares its inputs out is told (`parallel_driver`)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from azureml_local.workspace.jobs import Parallel

DRIVER = str(Path(__file__).with_name("parallel_driver.py"))
PLAN = "parallel.json"


def write_plan(
    parallel: Parallel,
    working: Path,
    folder: Path,
    entry: str,
    arguments: Sequence[str],
    places: Mapping[str, str],
) -> Path:
    """Write the driver's file into the run's folder. ``places`` are those of inputs and outputs by their names; of a
    table it is the id of its dataset.
    """
    output = places[parallel.output] if parallel.output is not None else None
    plan = {
        **asdict(parallel),
        "entry": str(working / entry),
        "arguments": list(arguments),
        "working": str(working),
        "inputs": [(name, places[name]) for name in parallel.inputs],
        "output": output,
        "append_to": str(Path(output) / parallel.append_to) if output and parallel.append_to else None,
    }
    path = folder / PLAN
    path.touch(mode=0o600)
    path.write_text(json.dumps(plan), encoding="utf-8")
    return path
