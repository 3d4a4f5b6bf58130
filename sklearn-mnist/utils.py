"""Read MNIST's files: gzip-compressed IDX, a short header and then one byte a pixel or label."""

import gzip
import struct
import zlib
from pathlib import Path

import numpy as np

IMAGES, LABELS = 2051, 2049  # the magic numbers: unsigned bytes in three dimensions, and in one


def load_data(filename, label=False):
    """The images or labels of one file, as unsigned bytes.

    Args:
        filename: path of a ``.gz`` file in IDX format.
        label: True for a file of labels, False for one of images.

    Returns:
        A writable uint8 array: images in the shape (n, rows * columns), labels (n, 1).

    Raises:
        ValueError: the file isn't what it should be; the message names it and says what was found.
        FileNotFoundError: there is no such file.
    """
    data = _decompress(filename)
    if len(data) < 8:
        raise ValueError(f"{filename}: {len(data)} bytes are no IDX file; its header alone has 8 or 16.")
    magic, count = struct.unpack_from(">II", data)
    if magic != (LABELS if label else IMAGES):
        raise ValueError(f"{filename}: {_what_it_is(magic, label)}")
    header, columns = (8, 1) if label else (16, 0)
    if not label:
        if len(data) < header:
            raise ValueError(f"{filename}: the header of an images file has 16 bytes, this one ends after {len(data)}.")
        rows, width = struct.unpack_from(">II", data, 8)
        columns = rows * width
    expected = header + count * columns
    if len(data) != expected:
        problem = "truncated" if len(data) < expected else "too long"
        raise ValueError(
            f"{filename}: the file is {problem}. Its header speaks of {count} items of {columns} bytes, "
            f"{expected} bytes in all; there are {len(data)}."
        )
    # A bytearray, so that the array can be written to without a copy.
    return np.frombuffer(data, np.uint8, offset=header).reshape(count, columns)


def _decompress(filename):
    compressed = Path(filename).read_bytes()
    if compressed[:2] != b"\x1f\x8b":
        raise ValueError(f"{filename}: not a gzip file (it begins with {compressed[:4]!r}).")
    try:
        return bytearray(gzip.decompress(compressed))
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(f"{filename}: the gzip data is damaged or incomplete ({error}).") from error


def _what_it_is(magic, label):
    if magic == LABELS:
        return "a file of labels was read as images; pass label=True."
    if magic == IMAGES:
        return "a file of images was read as labels; pass label=False."
    kind = "labels" if label else "images"
    return f"the magic number is {magic}, not {LABELS if label else IMAGES}: this is no IDX file of {kind}."
