"""utils.load_data: what it reads, and what it says of everything else."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from azureml_local.opendata import idx
from utils import load_data

IMAGES = np.arange(3 * 4 * 5, dtype=np.uint8).reshape(3, 4, 5)
LABELS = np.array([7, 1, 9], dtype=np.uint8)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    idx.write_images(tmp_path / "images.gz", IMAGES)
    return tmp_path / "images.gz"


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    idx.write_labels(tmp_path / "labels.gz", LABELS)
    return tmp_path / "labels.gz"


def test_images_are_loaded_as_rows_of_pixels(images: Path) -> None:
    loaded = load_data(images)
    assert loaded.dtype == np.uint8
    np.testing.assert_array_equal(loaded, IMAGES.reshape(3, 20))
    loaded[0, 0] = 255  # the array is its reader's own


def test_labels_are_loaded_as_a_column(labels: Path) -> None:
    np.testing.assert_array_equal(load_data(str(labels), label=True), LABELS.reshape(3, 1))


def header(*numbers: int) -> bytes:
    return struct.pack(f">{len(numbers)}I", *numbers)


@pytest.mark.parametrize(
    ("content", "label", "words"),
    [
        (b"", False, "not a gzip file"),
        (b"plain text", False, "not a gzip file"),
        (gzip.compress(b""), False, "no IDX file"),
        (gzip.compress(header(2051, 1)), False, "header of an images file has 16 bytes"),
        (gzip.compress(header(1234, 1, 2, 2) + b"1234"), False, "magic number is 1234, not 2051"),
        (gzip.compress(header(2049, 2) + b"12"), False, "pass label=True"),
        (gzip.compress(header(2051, 1, 2, 2) + b"1234"), True, "pass label=False"),
        (gzip.compress(header(2051, 2, 2, 2) + b"1234"), False, "truncated"),
        (gzip.compress(header(2051, 1, 2, 2) + b"12345"), False, "too long"),
        (gzip.compress(header(2049, 3) + b"12"), True, "truncated"),
        (gzip.compress(header(2051, 0xFFFFFFFF, 64, 64) + b"1234"), False, "truncated"),
        (gzip.compress(header(2051, 1, 2, 2) + b"1234")[:-6], False, "damaged or incomplete"),
        (gzip.compress(header(2049, 2) + b"12")[:-8] + b"\0" * 8, True, "damaged or incomplete"),
    ],
    ids=[
        "empty",
        "text",
        "nothing zipped",
        "half a header",
        "other magic number",
        "labels as images",
        "images as labels",
        "too few images",
        "too many pixels",
        "too few labels",
        # A header that claims 16 TiB must not be believed.
        "far too few images",
        "end of the archive missing",
        "checksum wrong",
    ],
)
def test_idx_file_invalid_is_named_and_described(tmp_path: Path, content: bytes, label: bool, words: str) -> None:
    path = tmp_path / "broken-ubyte.gz"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"broken-ubyte\.gz") as refused:
        load_data(path, label)
    assert words in str(refused.value)


def test_idx_file_missing_is_reported(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        load_data(tmp_path / "nothing.gz")
