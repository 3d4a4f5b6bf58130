"""Fetching MNIST's files from the public hosts that have them."""

from __future__ import annotations

import hashlib
import os
import ssl
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import Empty, SimpleQueue

import httpx

from azureml_local.opendata import idx
from azureml_local.opendata.original import ORIGINALS, MnistError, Original, is_original

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
                    if not is_original(folder / name):
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
