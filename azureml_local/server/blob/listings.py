"""The blob service's XML: lists of blobs and of blocks."""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import quote
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from azureml_local.storage.blobrows import BlobRow
from azureml_local.storage.blobs import BlobError
from azureml_local.storage.blocks import COMMITTED, LATEST, UNCOMMITTED
from azureml_local.storage.clock import http_date

HEAD = '<?xml version="1.0" encoding="utf-8"?>'
# What XML 1.0 has no way to write.
UNWRITABLE = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
DOCTYPE = re.compile(rb"<!(?:DOCTYPE|ENTITY)", re.IGNORECASE)
MAX_BLOCKS = 50_000


def blob_list(
    container: str,
    entries: Sequence[BlobRow | str],
    *,
    prefix: str,
    delimiter: str,
    limit: int,
    marker: str,
    next_marker: str,
    metadata: bool,
) -> str:
    """EnumerationResults of List Blobs; a text among the entries is a folder."""
    items = [f"<BlobPrefix>{_name(e)}</BlobPrefix>" if isinstance(e, str) else _blob(e, metadata) for e in entries]
    return (
        f'{HEAD}<EnumerationResults ContainerName="{container}"><Prefix>{_text(prefix)}</Prefix>'
        f"<Marker>{_text(marker)}</Marker><MaxResults>{limit}</MaxResults><Delimiter>{_text(delimiter)}</Delimiter>"
        f"<Blobs>{''.join(items)}</Blobs><NextMarker>{next_marker}</NextMarker></EnumerationResults>"
    )


def container_list(containers: Sequence[str], modified: str) -> str:
    """EnumerationResults of List Containers."""
    properties = f'<Properties><Last-Modified>{http_date(modified)}</Last-Modified><Etag>"0x0"</Etag></Properties>'
    items = "".join(f"<Container><Name>{name}</Name>{properties}</Container>" for name in containers)
    return f"{HEAD}<EnumerationResults><Containers>{items}</Containers><NextMarker /></EnumerationResults>"


def block_list(committed: Sequence[tuple[str, int]] | None, uncommitted: Sequence[tuple[str, int]] | None) -> str:
    """BlockList of Get Block List; what was not asked for is None."""
    parts = []
    for tag, blocks in (("CommittedBlocks", committed), ("UncommittedBlocks", uncommitted)):
        if blocks is not None:
            items = "".join(f"<Block><Name>{_text(name)}</Name><Size>{size}</Size></Block>" for name, size in blocks)
            parts.append(f"<{tag}>{items}</{tag}>")
    return f"{HEAD}<BlockList>{''.join(parts)}</BlockList>"


def read_block_list(body: bytes) -> list[tuple[str, str]]:
    """The (state, id) of each block in a body of Put Block List. Raises BlobError 400."""
    try:
        # Entities would let a few bytes become gigabytes, and in UTF-16 they would not be seen here.
        if DOCTYPE.search(body) or b"\0" in body:
            raise ValueError("a document type")
        root = ElementTree.fromstring(body)
        found = [(item.tag, (item.text or "").strip()) for item in root]
    except (ElementTree.ParseError, ValueError):
        raise BlobError(400, "InvalidXmlDocument", "The body is no XML of a block list.") from None
    if root.tag != "BlockList" or any(tag not in (COMMITTED, UNCOMMITTED, LATEST) for tag, _ in found):
        raise BlobError(400, "InvalidXmlDocument", "The body is no block list (BlockList of Latest, Committed, ...).")
    if len(found) > MAX_BLOCKS:
        raise BlobError(400, "BlockListTooLong", f"A block list has at most {MAX_BLOCKS} blocks.")
    return found


def _blob(blob: BlobRow, metadata: bool) -> str:
    extra = blob.extra or {}
    md5 = f"<Content-MD5>{_base64(blob.md5)}</Content-MD5>" if blob.md5 else ""
    kept = "".join(f"<{k}>{_text(v)}</{k}>" for k, v in extra.get("headers", {}).items())
    pairs = "".join(f"<{k}>{_text(v)}</{k}>" for k, v in extra.get("metadata", {}).items()) if metadata else ""
    return (
        f"<Blob>{_name(blob.name)}<Properties>"
        f"<Creation-Time>{http_date(blob.created)}</Creation-Time>"
        f"<Last-Modified>{http_date(blob.modified)}</Last-Modified>"
        f"<Etag>{escape(blob.etag)}</Etag><Content-Length>{blob.size}</Content-Length>"
        f"<Content-Type>{_text(blob.content_type)}</Content-Type>{kept}{md5}<BlobType>{blob.kind}</BlobType>"
        f"</Properties>{f'<Metadata>{pairs}</Metadata>' if metadata else ''}</Blob>"
    )


def _name(name: str) -> str:
    if UNWRITABLE.search(name):
        return f'<Name Encoded="true">{quote(name)}</Name>'
    return f"<Name>{escape(name)}</Name>"


def _text(text: str) -> str:
    return escape(UNWRITABLE.sub("?", text))


def _base64(digest: str) -> str:
    import base64

    return base64.b64encode(bytes.fromhex(digest)).decode()
