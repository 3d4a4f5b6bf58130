"""The certificates that a process trusts: everyone's, and those of one store."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import certifi
from OpenSSL import crypto

PEM = re.compile(rb"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)


@dataclass(frozen=True)
class Trust:
    """The certificates a process trusts: everyone's and our own CA's, as one file and as a hashed folder."""

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
    """Everyone's certificates (the ones this user trusts already, else certifi's) and ours (PEM), in both forms,
    written to a folder.
    """
    source = Path(inherited) if inherited and Path(inherited).is_file() else Path(certifi.where())
    bundle, hashed = folder / "trusted.pem", folder / "trusted"
    text = source.read_bytes().rstrip() + b"\n" + ours
    if bundle.is_file() and bundle.read_bytes() == text and hashed.is_dir():
        return Trust(bundle=bundle, folder=hashed)
    hashed.mkdir(exist_ok=True)
    for old in hashed.iterdir():
        old.unlink()
    used: dict[str, int] = {}
    for pem in PEM.findall(text):
        name = f"{crypto.load_certificate(crypto.FILETYPE_PEM, pem).subject_name_hash():08x}"
        number = used[name] = used.get(name, -1) + 1
        (hashed / f"{name}.{number}").write_bytes(pem + b"\n")
    bundle.write_bytes(text)
    return Trust(bundle=bundle, folder=hashed)
