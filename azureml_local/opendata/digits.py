"""The embedded digits: scikit-learn's 1,797 handwritten digits, redrawn as MNIST drew its own.

MNIST put each digit, anti-aliased, into a box of 20 by 20 pixels and that with its centre of mass in the
middle of 28 by 28. The originals are 8 by 8 pixels in 17 greys (UCI, Alpaydin and Kaynak 1998); they are real
handwriting, of 43 people.
"""

from __future__ import annotations

import gzip
import shutil
import tempfile
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from azureml_local.opendata import idx

SIDE, BOX = 28, 20
TEST_SHARE = 297
SEED = 42


def write_digits(folder: Path) -> Path:
    """Write the four files into a folder, whole or not at all; nothing happens when they are there, and intact."""
    if _intact(folder):
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=".digits-", dir=folder.parent))
    try:
        images, labels = draw()
        train, test = _split(labels)
        idx.write_images(temporary / idx.TRAIN_IMAGES, images[train])
        idx.write_labels(temporary / idx.TRAIN_LABELS, labels[train])
        idx.write_images(temporary / idx.TEST_IMAGES, images[test])
        idx.write_labels(temporary / idx.TEST_LABELS, labels[test])
        temporary.chmod(0o755)
        try:
            temporary.rename(folder)
        except OSError:
            if not _intact(folder):  # else another process was quicker
                shutil.rmtree(folder)
                temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder


def _intact(folder: Path) -> bool:
    """Whether all four files are there and unharmed, by the checksum that gzip keeps of its content."""
    try:
        return all(gzip.decompress((folder / name).read_bytes()) for name in idx.FILE_NAMES)
    except (OSError, EOFError, zlib.error):
        return False


def draw() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """All digits: images (1797, 28, 28), labels (1797,)."""
    from sklearn.datasets import load_digits

    source = load_digits()
    images = np.stack([_redraw(image) for image in source.images])
    return images, source.target.astype(np.uint8)


def _redraw(image: NDArray[np.float64]) -> NDArray[np.uint8]:
    from scipy.ndimage import shift, zoom

    # Trim to the ink, and enlarge so that the longer side fills the box.
    rows, columns = np.flatnonzero(image.any(axis=1)), np.flatnonzero(image.any(axis=0))
    ink = image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    drawn = np.clip(zoom(ink, BOX / max(ink.shape), order=3, mode="grid-constant", grid_mode=True), 0, 16)
    canvas = np.zeros((SIDE, SIDE))
    top, left = (SIDE - drawn.shape[0]) // 2, (SIDE - drawn.shape[1]) // 2
    canvas[top : top + drawn.shape[0], left : left + drawn.shape[1]] = drawn
    weights = canvas / canvas.sum()
    centre = [(weights.sum(axis=1 - axis) * np.arange(SIDE)).sum() for axis in (0, 1)]
    canvas = shift(canvas, [(SIDE - 1) / 2 - place for place in centre], order=1)
    pixels: NDArray[np.uint8] = np.clip(np.rint(canvas * 255 / 16), 0, 255).astype(np.uint8)
    return pixels


def _split(labels: NDArray[np.uint8]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """A test set in which each digit has its share; the same one each time."""
    from sklearn.model_selection import train_test_split

    train, test = train_test_split(np.arange(len(labels)), test_size=TEST_SHARE, stratify=labels, random_state=SEED)
    return train, test
