"""A process that is killed while it migrates a store: nothing is lost, and the next one finishes."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from azureml_local.storage.database import Database

STORES = sorted((Path(__file__).parent / "stores").glob("version-*.sql"))
KILLS = 8  # of each store, evenly over the migration

# Opens the store of each argument in a process of its own, which kills itself at the moment that the argument names:
# the nth thing that it does to the database or its files. Prints how each ended; for 0, how many moments there are.
PROGRAM = """
import os, signal, sys
from pathlib import Path
from sqlalchemy import Engine, event
from azureml_local.storage.database import Database

seen = 0

def step(*_):
    global seen
    seen += 1
    if seen == moment:
        os.kill(os.getpid(), signal.SIGKILL)

def audit(name, _):
    if name in ("sqlite3.connect", "os.rename", "os.chmod", "os.remove"):
        step()

for argument in sys.argv[1:]:
    path, moment = argument.rsplit(":", 1)
    moment = int(moment)
    child = os.fork()
    if child == 0:
        sys.addaudithook(audit)
        event.listen(Engine, "before_cursor_execute", step)
        event.listen(Engine, "commit", step)
        Database(Path(path))
        print(seen, flush=True)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if moment:
        print(os.waitstatus_to_exitcode(status), flush=True)
"""


def store(folder: Path, dump: Path) -> Path:
    folder.mkdir()
    path = folder / "workspace.sqlite3"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(dump.read_text())
    return path


def run(*arguments: str) -> list[int]:
    done = subprocess.run([sys.executable, "-c", PROGRAM, *arguments], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return [int(line) for line in done.stdout.split()]


def rows(path: Path) -> dict[str, list[Any]]:
    with closing(sqlite3.connect(path)) as connection:
        names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        found = {name: connection.execute(f'SELECT * FROM "{name}"').fetchall() for name in names}
    # A name whose versions were all deleted before format 4 was made when it was migrated.
    found["asset_names"] = [row for row in found.get("asset_names", []) if "gone" not in row]
    return found


@pytest.mark.parametrize("dump", STORES, ids=lambda path: path.stem)
def test_store_killed_at_any_moment_of_its_migration_loses_nothing(dump: Path, tmp_path: Path) -> None:
    before = rows(store(tmp_path / "before", dump))
    whole = store(tmp_path / "whole", dump)
    (moments,) = run(f"{whole}:0")
    expected = rows(whole)
    assert moments > KILLS
    kills = sorted({1 + number * (moments - 1) // (KILLS - 1) for number in range(KILLS)})
    paths = {moment: store(tmp_path / str(moment), dump) for moment in kills}
    ended = run(*(f"{path}:{moment}" for moment, path in paths.items()))
    assert ended == [-signal.SIGKILL] * len(kills)
    untouched = 0
    for moment, path in paths.items():
        untouched += rows(path) == before
        Database(path).close()
        assert rows(path) == expected, f"killed at {moment} of {moments}"
        [copy] = path.parent.glob("workspace.sqlite3.version-?")
        assert rows(copy) == before
        with closing(sqlite3.connect(path)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert untouched == len(kills), "what was killed before its commit changed something"
