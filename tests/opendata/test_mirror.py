"""Where MNIST comes from: the order of the sources, and that nothing damaged is ever served."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from azureml_local.opendata import idx
from azureml_local.opendata.digits import draw, write_digits
from azureml_local.opendata.download import download
from azureml_local.opendata.mirror import find_mnist
from azureml_local.opendata.original import ORIGINALS, MnistError, Original, verify_file

CONTENT = {name: f"stands for {name}".encode() * 50 for name in ORIGINALS}


@pytest.fixture
def small_originals(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four small files in the place of MNIST's, with their own checksums."""
    import hashlib

    originals = {name: Original(len(data), hashlib.sha256(data).hexdigest()) for name, data in CONTENT.items()}
    for name, original in originals.items():
        monkeypatch.setitem(ORIGINALS, name, original)


class Host:
    """A real HTTP server; ``answers`` says what it does for a file."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.answers: dict[str, tuple[int, bytes]] = {name: (200, data) for name, data in CONTENT.items()}
        host = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                name = self.path.rsplit("/", 1)[1]
                host.asked.append(name)
                status, body = host.answers[name]
                self.send_response(status)
                if status == 302:
                    self.send_header("Location", body.decode())
                    body = b""
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                """Tests are quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/mnist/"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def host(small_originals: None) -> Iterator[Host]:
    running = Host()
    yield running
    running.close()


def fill(folder: Path) -> Path:
    folder.mkdir(parents=True)
    for name, data in CONTENT.items():
        (folder / name).write_bytes(data)
    return folder


def test_mnist_of_a_named_folder_is_preferred(small_originals: None, tmp_path: Path) -> None:
    folder = fill(tmp_path / "mine")
    found = find_mnist(tmp_path / "cache", {"AZUREML_LOCAL_MNIST": str(folder)}, sources=())
    assert (found.kind, found.folder, found.real) == ("folder", folder, True)


@pytest.mark.parametrize("damage", ["missing", "changed", "shorter"])
def test_a_named_folder_with_a_damaged_file_is_refused(small_originals: None, tmp_path: Path, damage: str) -> None:
    folder = fill(tmp_path / "mine")
    path = folder / idx.TEST_LABELS
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(b"x" * len(CONTENT[idx.TEST_LABELS]) if damage == "changed" else path.read_bytes()[:-1])
    with pytest.raises(MnistError, match=r"t10k-labels-idx1-ubyte\.gz"):
        find_mnist(tmp_path / "cache", {"AZUREML_LOCAL_MNIST": str(folder)}, sources=())


def test_a_download_is_kept_for_the_next_time(host: Host, tmp_path: Path) -> None:
    heard: list[tuple[str, int, int]] = []
    first = find_mnist(tmp_path, {}, sources=(host.url,), progress=lambda *step: heard.append(step))
    assert (first.kind, first.real) == ("download", True)
    assert {name for name, received, size in heard if received == size} == set(CONTENT)
    asked = len(host.asked)
    assert find_mnist(tmp_path, {}, sources=(host.url,)).kind == "cache"
    assert len(host.asked) == asked


@pytest.mark.parametrize(
    "answer",
    [(404, b""), (200, b"not it"), (200, b"x" * 100_000), (302, b"http://127.0.0.1:1/elsewhere")],
    ids=["missing", "changed", "too large", "redirect"],
)
def test_download_that_is_not_the_original_is_discarded(host: Host, tmp_path: Path, answer: tuple[int, bytes]) -> None:
    host.answers[idx.TRAIN_LABELS] = answer
    assert not download(tmp_path / "original", (host.url,))
    assert not (tmp_path / "original" / idx.TRAIN_LABELS).exists()
    assert [path for path in (tmp_path / "original").iterdir() if path.name.startswith(".")] == []


def test_download_falls_back_to_the_next_source(host: Host, tmp_path: Path) -> None:
    broken = Host()
    broken.answers[idx.TRAIN_IMAGES] = (500, b"")
    assert download(tmp_path / "original", (broken.url, host.url))
    broken.close()
    for name in CONTENT:
        verify_file(tmp_path / "original" / name)


def test_embedded_digits_are_used_without_a_network(tmp_path: Path) -> None:
    found = find_mnist(tmp_path, {}, sources=("http://127.0.0.1:1/",))
    assert (found.kind, found.real) == ("embedded", False)
    assert "1,797" in found.description
    assert {path.name for path in found.folder.iterdir()} == set(ORIGINALS)


def test_offline_contacts_no_host(host: Host, tmp_path: Path) -> None:
    assert find_mnist(tmp_path, {"AZUREML_LOCAL_OFFLINE": "1"}, sources=(host.url,)).kind == "embedded"
    assert host.asked == []


def test_embedded_digits_are_always_the_same(tmp_path: Path) -> None:
    first, second = write_digits(tmp_path / "a"), write_digits(tmp_path / "b")
    for name in ORIGINALS:
        assert (first / name).read_bytes() == (second / name).read_bytes()


def test_embedded_digits_incomplete_are_generated_again(tmp_path: Path) -> None:
    folder = write_digits(tmp_path / "a")
    (folder / idx.TEST_IMAGES).unlink()
    assert (write_digits(folder) / idx.TEST_IMAGES).is_file()


def test_embedded_digits_are_centred_and_scaled_like_mnist() -> None:
    images, labels = draw()
    assert images.shape == (1797, 28, 28)
    assert sorted(np.unique(labels)) == list(range(10))
    rows, columns = np.mgrid[:28, :28]
    weight = images.reshape(-1, 784).astype(float)
    for axis in (rows, columns):
        centres = weight @ axis.ravel() / weight.sum(axis=1)
        assert np.abs(centres - 13.5).max() < 0.6
    assert images.max() > 200


def test_diabetes_is_the_rows_of_scikit_learn_in_azures_columns() -> None:
    from pyarrow import parquet
    from sklearn.datasets import load_diabetes

    from azureml_local.opendata import DIABETES

    found = parquet.read_table(DIABETES)
    source = load_diabetes(scaled=False)
    assert found.column_names == ["AGE", "SEX", "BMI", "BP", "S1", "S2", "S3", "S4", "S5", "S6", "Y"]
    columns = [column.to_numpy() for column in found.columns]
    assert (np.column_stack(columns) == np.column_stack([source.data, source.target])).all()
