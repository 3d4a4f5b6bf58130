"""Eight clients at once: no error, no lost write, and a server that doesn't grow.

``AZUREML_LOCAL_SOAK_SECONDS`` says how long (``make soak``: ten minutes).
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import psutil
import pytest

from tests.durability.ledger import Ledger
from tests.durability.servers import KillableServer
from tests.durability.test_kill import all_is_there, jobs_told_the_truth, store_fits_together
from tests.durability.workload import Client, Writer, prepare

SECONDS = float(os.environ.get("AZUREML_LOCAL_SOAK_SECONDS", "3"))
CLIENTS = 8
# What a run of ten minutes may add to the server's memory; it is not to grow with what is written.
GROWTH = 64 << 20


@pytest.mark.slow
@pytest.mark.timeout(SECONDS * 3 + 600)
def test_eight_concurrent_clients_lose_nothing(killable: KillableServer, tmp_path: Path) -> None:
    ledger = Ledger()
    evidence = tmp_path / "evidence"
    evidence.touch()
    killable.start()
    server = killable.wait()
    prepare(Client(server))
    jobs = int(SECONDS / 30)
    writers = [Writer(server, ledger, 100 + n, jobs + (n < 3), str(evidence), reads=True) for n in range(CLIENTS)]
    process = psutil.Process(killable.pid)
    memory: list[int] = []
    for writer in writers:
        writer.start()
    end = time.monotonic() + SECONDS
    while time.monotonic() < end and all(writer.is_alive() for writer in writers):
        time.sleep(min(1.0, SECONDS / 10))
        memory.append(process.memory_info().rss)
    for writer in writers:
        writer.stop()
    for writer in writers:
        writer.join(60)
    faults = [fault for writer in writers for fault in writer.faults]
    client = Client(server)
    complaints = jobs_told_the_truth(client, ledger, evidence) + all_is_there(client, ledger)
    warm = memory[len(memory) // 4]
    print(
        f"\n{SECONDS:.0f} s, {CLIENTS} clients: {ledger.acknowledged.total()} writes "
        f"({ledger.acknowledged.total() / SECONDS:.0f}/s) and {sum(w.lists for w in writers)} lists; "
        f"{dict(ledger.acknowledged)}; memory in MiB: "
        f"{' '.join(str(rss >> 20) for rss in memory[:: max(1, len(memory) // 20)])}; "
        f"{len(faults)} errors, {ledger.unanswered.total()} without an answer, {len(complaints)} lost or wrong"
    )
    assert faults == []
    assert ledger.unanswered.total() == 0
    assert complaints == []
    assert max(memory) - warm < GROWTH
    killable.stop()
    assert store_fits_together(server) == []
