"""Azure Storage's Shared Key signature, as blob clients of a datastore send it.

Source: "Authorize with Shared Key" of the Storage REST documentation; checked against azure-storage-blob 12
and the SDK's Rust engine.
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Mapping
from urllib.parse import parse_qsl

SIGNED_HEADERS = (
    "content-encoding",
    "content-language",
    "content-length",
    "content-md5",
    "content-type",
    "date",
    "if-modified-since",
    "if-match",
    "if-none-match",
    "if-unmodified-since",
    "range",
)


def signature(method: str, raw_path: str, query: str, headers: Mapping[str, str], account: str, key: str) -> str:
    """The signature that this request must carry.

    ``key`` is the account key, base64; header names are lower case.
    """
    lines = [method.upper()]
    for name in SIGNED_HEADERS:
        value = headers.get(name, "")
        lines.append("" if name == "content-length" and value == "0" else value)
    lines += [f"{name}:{' '.join(headers[name].split())}" for name in sorted(headers) if name.startswith("x-ms-")]
    resource = f"/{account}{raw_path}"
    values: dict[str, list[str]] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        values.setdefault(name.lower(), []).append(value)
    resource += "".join(f"\n{name}:{','.join(sorted(values[name]))}" for name in sorted(values))
    text = "\n".join([*lines, resource])
    return base64.b64encode(hmac.digest(base64.b64decode(key), text.encode(), "sha256")).decode()


def account_of(authorization: str) -> str | None:
    """The account that ``SharedKey {account}:{signature}`` names; None for another scheme."""
    scheme, _, rest = authorization.partition(" ")
    return rest.rpartition(":")[0] if scheme.lower() == "sharedkey" else None


def matches(authorization: str, method: str, raw_path: str, query: str, headers: Mapping[str, str], key: str) -> bool:
    """Whether ``SharedKey {account}:{signature}`` is right for this request, whichever account it names."""
    account = account_of(authorization)
    if account is None:
        return False
    given = authorization.rpartition(":")[2]
    expected = signature(method, raw_path, query, headers, account, key)
    return hmac.compare_digest(given.encode(), expected.encode())
