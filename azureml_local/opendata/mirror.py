"""Where MNIST comes from: the user's folder, the cache, a download, or, without any of them, the embedded
digits.
"""

from __future__ import annotations

import hashlib
import os
import ssl
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue

import httpx

from azureml_local.opendata import digits, idx


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

# The only hosts ever asked; each serves the original files.
SOURCES = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
    "https://azureopendatastorage.azurefd.net/mnist/",
)
TIMEOUT = httpx.Timeout(20.0, connect=2.0)
PATIENCE = 2.5  # seconds that finding out that there is no network may take, all hosts together
# The files as they are: a host that packs or unpacks them on the way would change their checksum.
HEADERS = {"User-Agent": "azureml-local", "Accept-Encoding": "identity"}

Progress = Callable[[str, int, int], None]


class MnistError(Exception):
    """MNIST's files can't be used; the message says which, why, and what to do."""


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
    sources: tuple[str, ...] = SOURCES,
    progress: Progress | None = None,
) -> MnistSource:
    """The best data there is, in the order of this module's first line.

    Args:
        cache: the user's folder for downloads and drawn digits.
        environ: ``AZUREML_LOCAL_MNIST`` names a folder with the four files; ``AZUREML_LOCAL_OFFLINE=1``
            forbids a download.
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
    if environ.get("AZUREML_LOCAL_OFFLINE") != "1" and download(kept, sources, progress):
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


def download(folder: Path, sources: tuple[str, ...] = SOURCES, progress: Progress | None = None) -> bool:
    """Fetch the four files from the first source to answer that has them all. False when there is none, as when
    offline.

    Each file is checked before it gets its name: what isn't the original is thrown away.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        trust = httpx.create_ssl_context()
    except OSError:
        # A cache that can't be written is none (the digits say what is wrong if they need it too), and without the
        # certificates that SSL_CERT_FILE names there is nobody to trust.
        return False
    for source in _answering(sources, trust):
        try:
            with httpx.Client(timeout=TIMEOUT, follow_redirects=False, headers=HEADERS, verify=trust) as client:
                for name, original in ORIGINALS.items():
                    if not _is_original(folder / name):
                        _fetch(client, source + name, folder / name, original, progress)
        except (httpx.HTTPError, MnistError, OSError):
            continue
        return True
    return False


def _answering(sources: tuple[str, ...], trust: ssl.SSLContext) -> Iterator[str]:
    """The sources that answer within PATIENCE, the quickest first.

    All are asked at once, and each in a thread of its own: no timeout of httpx covers the look-up of a name, which
    takes its time on a machine without a network.
    """
    answers: SimpleQueue[str | None] = SimpleQueue()

    def ask(source: str) -> None:
        try:
            httpx.head(source + idx.TEST_LABELS, headers=HEADERS, timeout=PATIENCE, verify=trust)
        except Exception:  # no network, no such host, a certificate that isn't trusted, a proxy httpx can't use, ...
            answers.put(None)
        else:
            answers.put(source)

    for source in sources:
        threading.Thread(target=ask, args=(source,), daemon=True).start()
    deadline = time.monotonic() + PATIENCE
    for _ in sources:
        try:
            answer = answers.get(timeout=max(0.0, deadline - time.monotonic()))
        except Empty:
            return
        if answer is not None:
            yield answer


def _fetch(client: httpx.Client, url: str, target: Path, original: Original, progress: Progress | None) -> None:
    digest, received = hashlib.sha256(), 0
    descriptor, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file, client.stream("GET", url) as answer:
            if answer.status_code != 200:
                raise MnistError(f"{url} answered {answer.status_code}.")
            for chunk in answer.iter_raw():
                received += len(chunk)
                if received > original.size:
                    raise MnistError(f"{url} is larger than the original.")
                digest.update(chunk)
                file.write(chunk)
                if progress is not None:
                    progress(target.name, received, original.size)
        if digest.hexdigest() != original.sha256:
            raise MnistError(f"{url} is not the original file.")
        temporary.chmod(0o644)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def _complete(folder: Path) -> bool:
    return all(_is_original(folder / name) for name in ORIGINALS)


def _is_original(path: Path) -> bool:
    try:
        verify_file(path)
    except MnistError:
        return False
    return True
