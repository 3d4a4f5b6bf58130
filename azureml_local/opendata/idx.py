"""IDX, the format of MNIST's files (yann.lecun.com/exdb/mnist): a magic number, the dimensions, then the
bytes; gzip around it.
"""

from __future__ import annotations

import gzip
import struct
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

IMAGES, LABELS = 2051, 2049

TRAIN_IMAGES = "train-images-idx3-ubyte.gz"
TRAIN_LABELS = "train-labels-idx1-ubyte.gz"
TEST_IMAGES = "t10k-images-idx3-ubyte.gz"
TEST_LABELS = "t10k-labels-idx1-ubyte.gz"
FILE_NAMES = (TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS)


def write_images(path: Path, images: NDArray[np.uint8]) -> None:
    """Images of the shape (n, rows, columns)."""
    _write(path, struct.pack(">IIII", IMAGES, *images.shape), images)


def write_labels(path: Path, labels: NDArray[np.uint8]) -> None:
    """Labels of the shape (n,)."""
    _write(path, struct.pack(">II", LABELS, len(labels)), labels)


def _write(path: Path, header: bytes, data: NDArray[np.uint8]) -> None:
    # No time in gzip's header: the same data is always the same file.
    path.write_bytes(gzip.compress(header + data.tobytes(), mtime=0))
