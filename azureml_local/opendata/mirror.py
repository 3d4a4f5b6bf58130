"""Where MNIST comes from: the user's folder, the cache, a download, or, without any of them, the embedded
digits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from azureml_local.opendata.original import ORIGINALS, is_original, verify_file


@dataclass(frozen=True)
class MnistSource:
    """Which data this is.

    ``kind``: folder, cache, download or embedded. ``description``: one sentence for people.
    """

    kind: str
    description: str
    folder: Path
    real: bool


def find_mnist(
    cache: Path,
    environ: Mapping[str, str],
    *,
    sources: tuple[str, ...] | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> MnistSource:
    """The best data there is, in the order of this module's first line.

    Args:
        cache: the user's folder for downloads and drawn digits.
        environ: ``AZUREML_LOCAL_MNIST`` names a folder with the four files; ``AZUREML_LOCAL_OFFLINE=1``
            forbids a download.
        sources: where to download from; the known public hosts where there are none.
        progress: called with a file's name, the bytes so far, and the bytes in all.

    Raises:
        MnistError: the folder that was named lacks a file, or has a damaged one. It is never passed over in
            silence.
    """
    named = environ.get("AZUREML_LOCAL_MNIST")
    if named:
        folder = Path(named).expanduser()
        for name in ORIGINALS:
            verify_file(folder / name)
        return MnistSource(
            "folder",
            f"the original MNIST, 60,000 training and 10,000 test images, from {folder}.",
            folder,
            True,
        )
    kept = cache / "original"
    if _complete(kept):
        return MnistSource(
            "cache", "the original MNIST, 60,000 training and 10,000 test images, from the cache.", kept, True
        )
    # A client for the web and an array library, each a tenth of the server's start, which mostly needs neither.
    from azureml_local.opendata import digits
    from azureml_local.opendata.download import SOURCES, download

    if environ.get("AZUREML_LOCAL_OFFLINE") != "1" and download(kept, sources or SOURCES, progress):
        return MnistSource(
            "download", "the original MNIST, 60,000 training and 10,000 test images, downloaded.", kept, True
        )
    drawn = digits.write_digits(cache / "embedded-digits-1")
    description = (
        "the embedded digits: scikit-learn's 1,797 handwritten digits redrawn in MNIST's style, 1,500 to "
        "train and 297 to test with. "
        "For the original, set AZUREML_LOCAL_MNIST to a folder with its four files."
    )
    return MnistSource("embedded", description, drawn, False)


def _complete(folder: Path) -> bool:
    return all(is_original(folder / name) for name in ORIGINALS)
