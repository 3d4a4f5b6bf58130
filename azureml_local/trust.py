"""Trusted certificates of a process: the public CAs, and the CA of one store."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

import certifi
from OpenSSL import crypto

PEM = re.compile(rb"-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----")


@dataclass(frozen=True)
class Trust:
    """The trusted certificates (public CAs and our own), as one file and as a hashed folder."""

    bundle: Path
    folder: Path

    def variables(self) -> dict[str, str]:
        # requests takes the folder: OpenSSL looks a certificate up there by name, where it would parse all
        # 140 of the file anew for each of the SDK's connections (82 ms against 20). The Rust engine and
        # urllib take the file.
        return {
            "REQUESTS_CA_BUNDLE": str(self.folder),
            "SSL_CERT_FILE": str(self.bundle),
            "CURL_CA_BUNDLE": str(self.bundle),
            "PIP_CERT": str(self.bundle),
        }


def trusting(folder: Path, ours: bytes, inherited: str | None) -> Trust:
    """Write the public CAs (this user's bundle, else certifi's) and our certificates (PEM) to a folder, in both
    forms
    """
    source = Path(inherited) if inherited and Path(inherited).is_file() else Path(certifi.where())
    bundle, hashed = folder / "trusted.pem", folder / "trusted"
    text = source.read_bytes().rstrip() + b"\n" + ours
    if bundle.is_file() and bundle.read_bytes() == text and hashed.is_dir():
        return Trust(bundle=bundle, folder=hashed)
    hashed.mkdir(exist_ok=True)
    used: dict[str, int] = {}
    wanted: dict[str, bytes] = {}
    for pem in PEM.findall(text):
        name = f"{crypto.load_certificate(crypto.FILETYPE_PEM, pem).subject_name_hash():08x}"
        number = used[name] = used.get(name, -1) + 1
        wanted[f"{name}.{number}"] = pem + b"\n"
    # Other processes may be reading: each file is replaced atomically, and none that is still needed is removed.
    for name, content in wanted.items():
        replace(hashed / name, content)
    for old in hashed.iterdir():
        if old.name not in wanted:
            old.unlink()
    replace(bundle, text)
    return Trust(bundle=bundle, folder=hashed)


def replace(path: Path, content: bytes) -> None:
    """Atomically write a file."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_bytes(content)
    temporary.replace(path)
