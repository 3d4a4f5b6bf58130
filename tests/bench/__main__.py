"""``make bench``: how long things take, in one table, each beside something to compare it with.

These are measurements, not tests: nothing here is right or wrong, and nothing depends on how fast a machine is.
"""

from __future__ import annotations

import argparse
import os
import platform
import signal
import sys
import time
from collections.abc import Callable

import blobs
import crowds
import growth
import jobs
import phases
import pipelines
import routes
import setting_up
import solvers
import starting
import sweeps
from processes import say
from rich.console import Console
from table import Part, show

WIDTH = 140


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="tests/bench", description="Measure what takes time, each beside something to compare it with."
    )
    parser.add_argument("--cold", action="store_true", help="also set up with empty caches (downloads everything)")
    names = (
        *("setup", "server", "notebook", "job", "sweep", "pipeline"),
        *("solvers", "routes", "growth", "crowds", "blobs", "cost"),
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"only these: {', '.join(names)}")
    arguments = parser.parse_args()
    measures: dict[str, Callable[[], Part]] = dict(
        zip(
            names,
            (
                lambda: setting_up.measure(cold=arguments.cold),
                starting.measure,
                phases.measure,
                jobs.measure,
                sweeps.measure,
                pipelines.measure,
                solvers.measure,
                routes.measure,
                growth.measure,
                crowds.measure,
                blobs.measure_blobs,
                blobs.measure_cost,
            ),
            strict=True,
        )
    )
    unknown = [part for part in arguments.parts if part not in measures]
    if unknown:
        parser.error(f"there is no part {unknown[0]!r}; there are {', '.join(measures)}")
    # A shell where Python may not keep its byte code would have every process here compile for itself.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends what runs, as Ctrl-C does
    load = os.getloadavg()[0]
    begun = time.monotonic()
    parts = []
    try:
        for name in arguments.parts or measures:
            say(f"Measuring: {name}")
            parts.append(measures[name]())
    except KeyboardInterrupt:
        say("Stopped; nothing is left running. What was measured so far:")
    console = Console(width=None if sys.stdout.isatty() else WIDTH)
    show(parts, console)
    console.print(
        f"Python {platform.python_version()}, {os.cpu_count()} processors, load {load:.1f} at the start; "
        f"all in {time.monotonic() - begun:.0f} s."
    )


if __name__ == "__main__":
    main()
