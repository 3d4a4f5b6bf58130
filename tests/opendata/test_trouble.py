"""The mirror on a bad day: silent or blocked hosts, an odd environment, a damaged cache."""

from __future__ import annotations

import hashlib
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from azureml_local.opendata import download, idx
from azureml_local.opendata.digits import write_digits
from azureml_local.opendata.mirror import find_mnist
from azureml_local.opendata.original import ORIGINALS, MnistError, Original, verify_file
from utils import load_data

CONTENT = {name: f"stands for {name}".encode() * 50 for name in ORIGINALS}


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        """Tests are quiet."""


@pytest.fixture
def good_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A real HTTP server with four small files in the place of MNIST's."""
    originals = {name: Original(len(data), hashlib.sha256(data).hexdigest()) for name, data in CONTENT.items()}
    for name, original in originals.items():
        monkeypatch.setitem(ORIGINALS, name, original)
    served = tmp_path / "served"
    served.mkdir()
    for name, data in CONTENT.items():
        (served / name).write_bytes(data)
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(served))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()


@pytest.fixture
def silent_sources() -> Iterator[tuple[str, ...]]:
    """Hosts that take a connection and then say nothing, as behind some firewalls."""
    with ExitStack() as stack:
        listeners = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(3)]
        yield tuple(f"http://127.0.0.1:{listener.getsockname()[1]}/" for listener in listeners)


@pytest.fixture
def closed_source() -> str:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    return f"http://127.0.0.1:{port}/"


@pytest.mark.case("server-side-requests")
def test_downloads_ask_only_the_known_hosts_over_tls() -> None:
    assert {(urlsplit(source).scheme, urlsplit(source).hostname) for source in download.SOURCES} == {
        ("https", "ossci-datasets.s3.amazonaws.com"),
        ("https", "storage.googleapis.com"),
        ("https", "azureopendatastorage.azurefd.net"),
    }


def test_hosts_that_say_nothing_cost_a_few_seconds_in_all(tmp_path: Path, silent_sources: tuple[str, ...]) -> None:
    started = time.monotonic()
    assert not download.download(tmp_path / "original", silent_sources)
    assert time.monotonic() - started < download.PATIENCE + 3  # one after the other, they would take a minute
    assert list((tmp_path / "original").iterdir()) == []


def test_download_from_a_blocked_or_silent_host_falls_back_to_the_next(
    tmp_path: Path, good_source: str, closed_source: str, silent_sources: tuple[str, ...]
) -> None:
    found = find_mnist(tmp_path / "cache", {}, sources=(closed_source, silent_sources[0], good_source))
    assert found.kind == "download"
    assert (found.folder / idx.TEST_LABELS).read_bytes() == CONTENT[idx.TEST_LABELS]


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("SSL_CERT_FILE", "/no/such/bundle.pem"),
        ("ALL_PROXY", "socks9://127.0.0.1:1"),
        ("ALL_PROXY", "socks5://127.0.0.1:1"),
    ],
)
def test_mnist_is_found_with_invalid_environment_variables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, closed_source: str, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    assert find_mnist(tmp_path / "cache", {}, sources=(closed_source,)).kind == "embedded"


def test_a_damaged_file_in_the_cache_is_fetched_again(tmp_path: Path, good_source: str) -> None:
    cache = tmp_path / "cache"
    folder = find_mnist(cache, {}, sources=(good_source,)).folder
    (folder / idx.TRAIN_LABELS).write_bytes(b"x" * len(CONTENT[idx.TRAIN_LABELS]))
    assert find_mnist(cache, {}, sources=(good_source,)).kind == "download"
    verify_file(folder / idx.TRAIN_LABELS)


@pytest.mark.parametrize("damage", [b"", b"\x1f\x8b", b"<html>", None], ids=["empty", "cut off", "a page", "one bit"])
def test_embedded_digits_damaged_are_generated_again(tmp_path: Path, damage: bytes | None) -> None:
    folder = write_digits(tmp_path / "digits")
    intact = (folder / idx.TEST_IMAGES).read_bytes()
    if damage is None:
        flipped = bytearray(intact)
        flipped[len(flipped) // 2] ^= 1
        damage = bytes(flipped)
    (folder / idx.TEST_IMAGES).write_bytes(damage)
    assert (write_digits(folder) / idx.TEST_IMAGES).read_bytes() == intact
    assert [path.name for path in tmp_path.iterdir()] == ["digits"]


def test_embedded_digits_intact_are_not_generated_again(tmp_path: Path) -> None:
    folder = write_digits(tmp_path / "digits")
    before = {path.name: path.stat().st_ino for path in folder.iterdir()}
    assert {path.name: path.stat().st_ino for path in write_digits(folder).iterdir()} == before


def test_a_file_of_another_name_is_refused_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "other.gz").write_bytes(b"")
    with pytest.raises(MnistError, match=r"other\.gz"):
        verify_file(tmp_path / "other.gz")


def test_a_pipe_in_the_place_of_a_file_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / idx.TEST_LABELS)
    with pytest.raises(MnistError, match=r"t10k-labels-idx1-ubyte\.gz"):
        verify_file(tmp_path / idx.TEST_LABELS)


def test_a_model_learns_the_digits(tmp_path: Path) -> None:
    folder = write_digits(tmp_path / "digits")
    train, test = (load_data(folder / name) / 255 for name in (idx.TRAIN_IMAGES, idx.TEST_IMAGES))
    train_labels, test_labels = (
        load_data(folder / name, label=True).ravel() for name in (idx.TRAIN_LABELS, idx.TEST_LABELS)
    )
    assert (train.shape, test.shape) == ((1500, 784), (297, 784))
    assert np.bincount(test_labels).min() >= 28  # each digit has its share
    model = LogisticRegression(solver="saga", tol=0.05, random_state=42).fit(train, train_labels)
    assert model.score(test, test_labels) > 0.95
