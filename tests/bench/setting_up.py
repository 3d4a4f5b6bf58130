"""Set-up: a fresh clone and ``make setup``, with uv's cache empty and full."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from processes import ROOT, CommandFailed, run, say, temporary_folder
from table import Part, Row

WARM_RUNS = 3


def measure(*, cold: bool) -> Part:
    part = Part("Set-up: a fresh clone, `make setup`")
    with temporary_folder() as folder:
        # With --cold the caches are new ones: empty for the first set-up, full for those after it.
        caches = {"UV_CACHE_DIR": str(folder / "uv"), "PIP_CACHE_DIR": str(folder / "pip")} if cold else {}
        try:
            first = [_set_up(folder, caches)] if cold else []
            warm = [_set_up(folder, caches) for _ in range(WARM_RUNS)]
        except CommandFailed as error:
            part.remarks.append(f"Not measured: {error}")
            return part
    if first:
        part.rows.append(Row("cold: everything is downloaded", first, beside="warm", yardstick=warm))
    else:
        part.remarks.append(
            "Cold set-up downloads everything and takes a minute or more: `tests/bench --cold` adds it."
        )
    part.rows.append(Row("warm: the packages are in uv's cache", warm))
    return part


def _set_up(folder: Path, caches: dict[str, str]) -> float:
    """Seconds of ``make setup`` in a new clone of what is committed."""
    clone = folder / "clone"
    shutil.rmtree(clone, ignore_errors=True)
    run(["git", "clone", "--quiet", str(ROOT), str(clone)], folder=folder)
    say("  make setup")
    return run(["make", "setup"], folder=clone, environment={**os.environ, **caches}).wall
