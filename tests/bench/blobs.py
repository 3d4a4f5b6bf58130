"""Blobs up and down through Azure's storage client, against Azurite; and what the servers cost when they do nothing."""

from __future__ import annotations

import functools
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from azure.storage.blob import BlobServiceClient, ContainerClient
from emulators import AZURITE, AZURITE_ACCOUNT, AZURITE_KEY, MOTO, Started, azurite, moto, ours, state_folder
from processes import say, temporary_folder
from table import Part, Row

LARGE = 64 * 2**20
BLOCK = 4 * 2**20  # the SDK uploads in blocks of this size
SMALL = 4 * 2**10
MANY = 1000
TURN = 100
ROUNDS = 3
STARTS = 5
IDLE_SECONDS = 10.0


@dataclass
class Server:
    name: str
    container: ContainerClient
    seconds: dict[str, list[float]] = field(default_factory=dict)

    def time(self, what: str, number: int, work: Callable[[], Any]) -> None:
        """Add to the seconds that this took in a round."""
        begun = time.perf_counter()
        work()
        self.seconds.setdefault(what, [0.0] * ROUNDS)[number] += time.perf_counter() - begun


def measure_blobs() -> Part:
    part = Part("Blobs through azure-storage-blob, https, one client: ours against Azurite")
    if shutil.which("npm") is None:
        part.remarks.append("Not measured: Azurite needs Node.js and npm.")
        return part
    large, small = os.urandom(LARGE), os.urandom(SMALL)
    with temporary_folder() as folder, _both(folder) as servers:
        for number in range(ROUNDS):
            say(f"  round {number + 1} of {ROUNDS}")
            for what, work in _round(number, large, small):
                for server in servers if number % 2 else servers[::-1]:
                    server.time(what, number, functools.partial(work, server.container))
    mine, other = servers
    part.rows = [Row(what, values, "s", AZURITE, other.seconds[what]) for what, values in mine.seconds.items()]
    return part


Work = Callable[[ContainerClient], Any]


def _round(number: int, large: bytes, small: bytes) -> Iterator[tuple[str, Work]]:
    """What each server does in turn. A thousand small blobs are done a hundred at a time: this machine may be twice as
    quick a second later, and both shall have their share of that.
    """
    name = f"large-{number}"
    yield "64 MiB up, in blocks of 4 MiB", lambda to: to.upload_blob(name, large)
    yield "64 MiB down", lambda at: _same(at.download_blob(name).readall(), large)
    names = [f"small/{number}/{index}" for index in range(MANY)]
    parts = [names[start : start + TURN] for start in range(0, MANY, TURN)]

    def up(part: list[str]) -> Work:
        return lambda to: [to.upload_blob(name, small) for name in part]

    def down(part: list[str]) -> Work:
        return lambda at: [_same(at.download_blob(name).readall(), small) for name in part]

    yield from ((f"{MANY:,} blobs of 4 KiB up", up(part)) for part in parts)
    yield from ((f"{MANY:,} blobs of 4 KiB down", down(part)) for part in parts)
    yield f"list {MANY:,} blobs", lambda at: _same(len(list(at.list_blobs(f"small/{number}/"))), MANY)


def _same(got: object, sent: object) -> None:
    if got != sent:
        raise RuntimeError("What came back is not what was sent.")


@contextmanager
def _both(folder: Path) -> Iterator[list[Server]]:
    with ours(folder) as us:
        state = state_folder(folder)
        account, certificate = state.secrets().account_key, state.tls / "server.pem"
        trusted = str(state.tls / "ca.pem")
        with azurite(folder, certificate) as other:
            mine = _client(f"https://localhost:{us.port}", "localstore", account, trusted)
            theirs = _client(f"https://localhost:{other.port}/{AZURITE_ACCOUNT}", AZURITE_ACCOUNT, AZURITE_KEY, trusted)
            container = theirs.create_container("bench")
            yield [Server("ours", mine.get_container_client("azureml-blobstore")), Server("azurite", container)]


def _client(url: str, account: str, key: str, trusted: str) -> BlobServiceClient:
    credential = {"account_name": account, "account_key": key}
    return BlobServiceClient(
        url, credential, connection_verify=trusted, max_single_put_size=BLOCK, max_block_size=BLOCK
    )


def measure_cost() -> Part:
    """Start-up, memory and idle CPU time, one after the other."""
    part = Part("Start-up and cost at rest: ours against Azurite's blob service and moto's server")
    kinds: dict[str, Callable[[Path], Any]] = {"ours": ours, MOTO: moto}
    if shutil.which("npm") is not None:
        kinds[AZURITE] = azurite
    starts: dict[str, list[float]] = {name: [] for name in kinds}
    memory: dict[str, list[float]] = {name: [] for name in kinds}
    idle: dict[str, float] = {}
    for number in range(STARTS):
        for name, kind in kinds.items():
            with temporary_folder() as folder, kind(folder) as started:
                starts[name].append(started.seconds)
                if number == 0:
                    idle[name] = _idle(started)
                memory[name].append(started.memory())
    for name in kinds:
        if name != "ours":
            part.rows.append(Row("from start to the first answer", starts["ours"], "s", name, starts[name]))
            part.rows.append(Row("memory after the start", memory["ours"], "MiB", name, memory[name]))
            part.rows.append(Row("CPU time in 10 idle seconds", [idle["ours"]], "s", name, [idle[name]]))
    return part


def _idle(started: Started) -> float:
    time.sleep(2)
    before = started.cpu()
    time.sleep(IDLE_SECONDS)
    return started.cpu() - before


__all__ = ["measure_blobs", "measure_cost"]
