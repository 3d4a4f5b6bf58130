"""MNIST's four files as their authors published them, and how to tell one from a damaged one."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from azureml_local.opendata import idx


@dataclass(frozen=True)
class Original:
    """One of MNIST's four files as its authors published it."""

    size: int
    sha256: str


ORIGINALS = {
    idx.TRAIN_IMAGES: Original(9912422, "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"),
    idx.TRAIN_LABELS: Original(28881, "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"),
    idx.TEST_IMAGES: Original(1648877, "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"),
    idx.TEST_LABELS: Original(4542, "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"),
}


class MnistError(Exception):
    """MNIST's files can't be used; the message says which, why, and what to do."""


def verify_file(path: Path) -> None:
    """Raises MnistError unless this is the original file of its name."""
    original = ORIGINALS.get(path.name)
    if original is None:
        raise MnistError(f"{path} is none of MNIST's four files, which are {', '.join(ORIGINALS)}.")
    if path.exists() and not path.is_file():
        raise MnistError(f"MNIST's file {path} is no regular file. Check AZUREML_LOCAL_MNIST.")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise MnistError(f"MNIST's file {path} can't be read ({error.strerror}). Check AZUREML_LOCAL_MNIST.") from error
    if hashlib.sha256(data).hexdigest() != original.sha256:
        raise MnistError(
            f"MNIST's file {path} is damaged: {len(data)} bytes with another SHA-256 than the original's "
            f"{original.size}. "
            "It isn't used; replace it, or unset AZUREML_LOCAL_MNIST."
        )


def is_original(path: Path) -> bool:
    try:
        verify_file(path)
    except MnistError:
        return False
    return True
