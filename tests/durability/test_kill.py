"""``kill -9`` at any moment: what was acknowledged is there afterwards, byte for byte.

``AZUREML_LOCAL_KILLS`` says how often (``make kill-test``: hundreds), ``AZUREML_LOCAL_SEED`` what happens when.
"""

from __future__ import annotations

import os
import random
import sqlite3
import time
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from azureml_local.client.instance import LocalServer
from tests.durability.ledger import ABSENT, Ledger
from tests.durability.servers import KillableServer
from tests.durability.workload import (
    DATASETS,
    ENVIRONMENTS,
    EXPERIMENT,
    HISTORY,
    METRICS,
    MODELS,
    SECRETS,
    Client,
    Writer,
    prepare,
    read,
)

KILLS = int(os.environ.get("AZUREML_LOCAL_KILLS", "20"))
SEED = int(os.environ.get("AZUREML_LOCAL_SEED", "1"))
WRITERS = 3
FINAL = ("Completed", "Failed", "Canceled")


@pytest.mark.slow
@pytest.mark.timeout(KILLS * 20 + 300)
def test_what_was_acknowledged_survives_kill_9_at_any_moment(killable: KillableServer, tmp_path: Path) -> None:
    chance = random.Random(SEED)
    ledger = Ledger()
    evidence = tmp_path / "evidence"
    evidence.touch()
    killable.start()
    server = killable.wait()
    prepare(Client(server))
    writers = [Writer(server, ledger, SEED * 100 + n, max(2, KILLS // 10), str(evidence)) for n in range(WRITERS)]
    began = time.monotonic()
    starting = 0
    for writer in writers:
        writer.start()
    for _ in range(KILLS):
        # Most kills meet a server at work, some one that is just starting.
        if chance.random() < 0.8:
            killable.wait()
            wanted = ledger.acknowledged.total() + chance.randrange(30)
            deadline = time.monotonic() + 10
            while ledger.acknowledged.total() < wanted and time.monotonic() < deadline:
                time.sleep(0.001)
        time.sleep(chance.random() * 0.1)
        starting += not killable.ready()
        killable.kill()
        assert not any(writer.faults for writer in writers), [writer.faults for writer in writers]
        killable.start()
    for writer in writers:
        writer.stop()
    server = killable.wait()
    for writer in writers:
        writer.join(60)
    assert not any(writer.faults for writer in writers), [writer.faults for writer in writers]
    seconds = time.monotonic() - began
    client = Client(server)
    complaints = jobs_told_the_truth(client, ledger, evidence)
    complaints += all_is_there(client, ledger)
    # One more start, which clears away what the last kills left.
    killable.stop()
    killable.start()
    killable.wait()
    complaints += store_fits_together(server)
    print(
        f"\n{KILLS} kills in {seconds:.0f} s (seed {SEED}), {starting} of them while it was starting; "
        f"{ledger.acknowledged.total()} writes acknowledged: {dict(ledger.acknowledged)}; "
        f"without an answer: {dict(ledger.unanswered)}; {len(complaints)} lost or wrong"
    )
    assert complaints == []
    assert ledger.acknowledged.total() > KILLS


def all_is_there(client: Client, ledger: Ledger) -> list[str]:
    complaints = [ledger.check(key, look(client, key)) for key in ledger.possible if key[0] != "job"]
    for key in ledger.series:
        answer = client.http.post(f"{METRICS}/{key[1]}/full", json={"metricName": key[2]})
        values = [] if answer.status_code == 404 else answer.json()["value"]
        found = [(value["metricId"], (value["createdUtc"], value["data"]["loss"])) for value in values]
        complaints.append(ledger.check_series(key, found))
    return [complaint for complaint in complaints if complaint is not None]


def look(client: Client, key: tuple[str, ...]) -> Any:
    """What the store has of a thing now."""
    kind, name = key[0], key[1]
    if kind in ("blob", "log"):
        return read(client.blob(name))
    if kind in ("run", "status", "tag"):
        answer = client.http.get(f"{HISTORY}/experiments/{EXPERIMENT}/runs/{name}")
        if answer.status_code == 404:
            return ABSENT
        run = answer.json()
        if kind == "status":
            return run["status"] if run["status"] in FINAL else ABSENT
        return run["displayName"] if kind == "run" else run["tags"].get(key[2])
    if kind == "artifact":
        return _artifact(client, f"dcid.{name}", key[2])
    if kind == "dataset":
        answer = client.http.get(f"{DATASETS}/query/name={name}")
        return ABSENT if answer.status_code == 404 else answer.json()["latest"]["dataflow"]
    if kind == "environment":
        answer = client.http.get(f"{ENVIRONMENTS}/{name}")
        return ABSENT if answer.status_code == 404 else answer.json()["environmentVariables"]["VALUE"]
    if kind == "secret":
        answer = client.http.get(f"{SECRETS}/{name}")
        return ABSENT if answer.status_code == 404 else answer.json()["value"]
    assert kind == "model"
    if client.http.get(f"{MODELS}/models/{name}:1").status_code == 404:
        return ABSENT
    return _artifact(client, f"dcid.{name}", "model.bin")


def _artifact(client: Client, container: str, path: str) -> bytes | None:
    base = HISTORY.replace("/history/v1.0", "/artifact/v2.0")
    answer = client.http.get(f"{base}/artifacts/content/ExperimentRun/{container}/{path}")
    if answer.status_code == 404:
        return ABSENT
    assert answer.status_code == 200, answer.text
    return answer.content


def jobs_told_the_truth(client: Client, ledger: Ledger, evidence: Path) -> list[str]:
    """Each submission that was acknowledged comes to an end, runs once, and its status is what its script did."""
    complaints = []
    submissions = [key for key in ledger.possible if key[0] == "job"]
    for key in submissions:  # a run's end is kept back for a while from a client that has not looked yet
        client.http.get(f"{HISTORY}/experiments/{EXPERIMENT}/runs/{key[1]}/details")
    for key in submissions:
        run, code = key[1], ledger.possible[key][-1]
        path = f"{HISTORY}/experiments/{EXPERIMENT}/runs/{run}"
        deadline = time.monotonic() + 120
        while (answer := client.http.get(path)).is_success and answer.json()["status"] not in FINAL:
            if time.monotonic() > deadline:
                break
            time.sleep(0.2)
        if answer.status_code == 404:
            if ABSENT not in ledger.possible[key]:
                complaints.append(f"the submission {run} is lost")
            continue
        said = Counter(evidence.read_text().splitlines())
        begun, ended, status = said[f"begin {run}"], said[f"end {run}"], answer.json()["status"]
        wanted = "Completed" if code == 0 and ended == 1 else "Failed"
        if begun > 1 or ended != begun or status != wanted:
            complaints.append(f"{run} (exit {code}) began {begun} times, ended {ended} times, is {status}")
        if ended and _artifact(client, f"dcid.{run}", "outputs/said.txt") != f"{run}\n".encode():
            complaints.append(f"{run} lost its output")
    return complaints


def store_fits_together(server: LocalServer) -> list[str]:
    root = server.folder.blobs
    with closing(sqlite3.connect(f"file:{server.folder.database}?mode=ro", uri=True)) as database:
        (answer,) = database.execute("PRAGMA integrity_check").fetchone()
        strangers = database.execute("PRAGMA foreign_key_check").fetchall()
        rows = {
            file: size
            for file, size in database.execute("SELECT file, size FROM blobs UNION ALL SELECT file, size FROM blocks")
        }
    files = {path.relative_to(root).as_posix(): path.stat().st_size for path in root.rglob("*") if path.is_file()}
    return [
        *([answer] if answer != "ok" else []),
        *map(str, strangers),
        *(f"the file {name} is gone" for name in rows.keys() - files.keys()),
        *(f"the file {name} belongs to nothing" for name in files.keys() - rows.keys()),
        *(f"the file {name} is short" for name in rows.keys() & files.keys() if files[name] < rows[name]),
    ]
