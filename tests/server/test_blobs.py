"""The blob service, through Azure's own storage client: with the SDK's account key for the default datastore."""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest
from azure.core import MatchConditions
from azure.core.exceptions import (
    AzureError,
    HttpResponseError,
    ResourceExistsError,
    ResourceModifiedError,
    ResourceNotFoundError,
)
from azure.storage.blob import BlobBlock, BlobServiceClient, BlobType, ContainerClient, ContentSettings

from azureml_local.client.instance import LocalServer
from azureml_local.workspace.containers import ACCOUNT
from azureml_local.workspace.datastores import CONTAINER


@pytest.fixture(scope="module")
def account(server: LocalServer) -> BlobServiceClient:
    host = server.instance.endpoints.api.removeprefix("https://")
    return BlobServiceClient(
        f"https://{ACCOUNT}.blob.core.local@{host}",
        credential={"account_name": ACCOUNT, "account_key": server.folder.secrets().account_key},
        connection_verify=str(server.folder.tls / "ca.pem"),
        retry_total=0,
    )


@pytest.fixture
def container(account: BlobServiceClient) -> ContainerClient:
    return account.get_container_client(CONTAINER)


@pytest.fixture
def refused() -> Callable[..., HttpResponseError]:
    """Do something that must be refused with this status and code."""

    def check(status: int, code: str, act: Callable[[], Any]) -> HttpResponseError:
        with pytest.raises(HttpResponseError) as caught:
            act()
        assert (caught.value.status_code, caught.value.error_code) == (status, code), caught.value
        return caught.value

    return check


Refused = Callable[..., HttpResponseError]


def test_a_blob_with_its_properties_and_metadata(container: ContainerClient, refused: Refused) -> None:
    blob = container.get_blob_client("properties/ä b+c%.txt")
    settings = ContentSettings("text/plain", content_language="de", cache_control="max-age=1")
    blob.upload_blob(b"hello", metadata={"made": "by hand"}, content_settings=settings)
    found = blob.get_blob_properties()
    assert (found.size, found.metadata, found.blob_type) == (5, {"made": "by hand"}, BlobType.BLOCKBLOB)
    assert (found.content_settings.content_type, found.content_settings.content_language) == ("text/plain", "de")
    assert found.content_settings.content_md5 == hashlib.md5(b"hello").digest()

    blob.set_blob_metadata({"made": "again"})
    blob.set_http_headers(ContentSettings("text/html", content_encoding="identity"))
    changed = blob.get_blob_properties()
    assert (changed.metadata, changed.content_settings.content_type) == ({"made": "again"}, "text/html")
    assert changed.content_settings.content_language is None
    assert changed.etag != found.etag
    assert changed.creation_time == found.creation_time
    assert blob.download_blob().readall() == b"hello"
    [listed] = container.list_blobs("properties/", include=["metadata"])
    assert (listed.name, listed.metadata, listed.size) == (blob.blob_name, {"made": "again"}, 5)

    refused(400, "InvalidMetadata", lambda: blob.set_blob_metadata({"1st": "x"}))
    refused(400, "MetadataTooLarge", lambda: blob.set_blob_metadata({"big": "x" * 9000}))
    blob.delete_blob()
    refused(404, "BlobNotFound", blob.delete_blob)
    refused(404, "BlobNotFound", blob.get_blob_properties)
    refused(404, "BlobNotFound", lambda: blob.set_blob_metadata({}))


def test_blob_conditional_headers_are_honoured(container: ContainerClient, refused: Refused) -> None:
    blob = container.get_blob_client("conditions")
    with pytest.raises(ResourceModifiedError):
        blob.upload_blob(b"0", overwrite=True, etag='"0x1"', match_condition=MatchConditions.IfNotModified)
    blob.upload_blob(b"1", overwrite=True)
    with pytest.raises(ResourceExistsError) as there:
        blob.upload_blob(b"2")
    assert (there.value.status_code, there.value.error_code) == (409, "BlobAlreadyExists")
    before = blob.get_blob_properties()
    same = {"etag": before.etag, "match_condition": MatchConditions.IfNotModified}
    other = {"etag": before.etag, "match_condition": MatchConditions.IfModified}
    with pytest.raises(ResourceModifiedError):
        blob.upload_blob(b"3", overwrite=True, **other)
    unchanged = refused(304, "ConditionNotMet", lambda: blob.get_blob_properties(**other))
    assert unchanged.response is not None
    refused(304, "ConditionNotMet", lambda: blob.get_blob_properties(if_modified_since=before.last_modified))
    blob.get_blob_properties(if_unmodified_since=before.last_modified)
    blob.upload_blob(b"4", overwrite=True, **same)
    for act in (
        lambda: blob.upload_blob(b"5", overwrite=True, **same),
        lambda: blob.delete_blob(**same),
        lambda: blob.set_blob_metadata({}, **same),
        lambda: blob.download_blob(**same),
    ):
        refused(412, "ConditionNotMet", act)
    assert blob.download_blob().readall() == b"4"


@pytest.mark.case("uploads")
def test_blob_blocks_are_staged_listed_and_committed(container: ContainerClient, refused: Refused) -> None:
    blob = container.get_blob_client("blocks")
    for name, data in (("a", b"old"), ("b", b"world"), ("a", b"hello "), ("c", b"unused")):
        blob.stage_block(name, data)
    refused(400, "InvalidBlockList", lambda: blob.commit_block_list([BlobBlock("a"), BlobBlock("x")]))
    assert not blob.exists()
    refused(400, "InvalidBlobOrBlock", lambda: blob.stage_block("longer than the others", b"x"))
    order = [BlobBlock("a"), BlobBlock("b")]
    blob.commit_block_list(order, metadata={"k": "v"})
    assert blob.download_blob().readall() == b"hello world"
    # The answer was lost and the client sends the list again: the blocks are the blob's own by now.
    blob.commit_block_list(order, metadata={"k": "v"})
    assert blob.download_blob().readall() == b"hello world"
    blob.stage_block("d", b"!")
    committed, waiting = blob.get_block_list("all")
    assert [(block.id, block.size) for block in committed] == [("a", 6), ("b", 5)]
    assert [(block.id, block.size) for block in waiting] == [("d", 1)]
    blob.commit_block_list([*reversed(order), BlobBlock("d")])
    assert blob.download_blob().readall() == b"worldhello !"
    container.get_blob_client("appended").create_append_blob()
    refused(409, "InvalidBlobType", lambda: container.get_blob_client("appended").stage_block("a", b"x"))


def test_blob_large_file_is_uploaded_in_blocks_and_downloaded_in_ranges(
    container: ContainerClient, refused: Refused
) -> None:
    data = os.urandom(1 << 20) * 70
    blob = container.get_blob_client("large")
    blob.upload_blob(data, overwrite=True, max_concurrency=4)
    assert hashlib.sha256(blob.download_blob(max_concurrency=4).readall()).digest() == hashlib.sha256(data).digest()
    assert blob.download_blob(offset=len(data) - 3, length=100).readall() == data[-3:]
    assert blob.download_blob(offset=5, length=7, validate_content=True).readall() == data[5:12]
    refused(416, "InvalidRange", lambda: blob.download_blob(offset=len(data), length=1))
    blob.delete_blob()
    blob.upload_blob(b"")
    assert blob.download_blob().readall() == b""


def test_append_blob_grows_by_each_append(container: ContainerClient, refused: Refused) -> None:
    blob = container.get_blob_client("log")
    blob.create_append_blob()
    assert blob.append_block(b"one ")["blob_append_offset"] == "0"
    done = blob.append_block(os.urandom(2 << 20), appendpos_condition=4)
    assert (done["blob_append_offset"], done["blob_committed_block_count"]) == ("4", 2)
    refused(412, "AppendPositionConditionNotMet", lambda: blob.append_block(b"x", appendpos_condition=4))
    refused(412, "MaxBlobSizeConditionNotMet", lambda: blob.append_block(b"x", maxsize_condition=9))
    assert blob.get_blob_properties().size == 4 + (2 << 20)
    plain = container.upload_blob("no log", b"x", overwrite=True)
    refused(409, "InvalidBlobType", lambda: plain.append_block(b"y"))
    refused(404, "BlobNotFound", lambda: container.get_blob_client("no such log").append_block(b"y"))


def test_blob_listing_has_pages_and_prefixes(container: ContainerClient, refused: Refused) -> None:
    names = sorted([f"list/{folder}/{number}" for folder in "abc" for number in range(5)] + ["list/a", "list/z<&>"])
    for name in names:
        container.upload_blob(name, b"x", overwrite=True)
    pages = [[blob.name for blob in page] for page in container.list_blobs("list/", results_per_page=4).by_page()]
    assert [len(page) for page in pages] == [4, 4, 4, 4, 1]
    assert [name for page in pages for name in page] == names
    walked = container.walk_blobs("list/", results_per_page=2).by_page()
    assert [sorted(item.name for item in page) for page in walked] == [
        ["list/a", "list/a/"],
        ["list/b/", "list/c/"],
        ["list/z<&>"],
    ]
    assert list(container.list_blobs("nothing/")) == []
    refused(400, "OutOfRangeQueryParameterValue", lambda: list(container.list_blobs("list/", results_per_page=0)))


@pytest.mark.case("uploads")
@pytest.mark.parametrize("large", [False, True])
def test_blob_body_with_wrong_md5_is_refused(container: ContainerClient, refused: Refused, large: bool) -> None:
    body = os.urandom(2 << 20) if large else b"body"
    blob = container.get_blob_client("damaged")
    wrong = {"Content-MD5": base64.b64encode(bytes(16)).decode()}
    refused(400, "Md5Mismatch", lambda: blob.upload_blob(body, headers=wrong, overwrite=True))
    refused(400, "Md5Mismatch", lambda: blob.stage_block("a", body, headers=wrong))
    refused(400, "InvalidMd5", lambda: blob.upload_blob(body, headers={"Content-MD5": "short"}, overwrite=True))
    assert not blob.exists()
    blob.upload_blob(body, validate_content=True)
    blob.delete_blob()


@pytest.mark.case("uploads", "lost-connections")
def test_blob_upload_interrupted_leaves_nothing(server: LocalServer, container: ContainerClient) -> None:
    """A client that dies in the middle of an upload."""
    blob = container.get_blob_client("half")

    def half() -> Any:
        yield b"x" * (3 << 20)
        raise ConnectionAbortedError

    with pytest.raises((AzureError, ConnectionAbortedError)):
        blob._client.block_blob.upload(content_length=5 << 20, body=half())
    assert not blob.exists()


def test_blob_operation_not_implemented_is_answered_with_501(
    account: BlobServiceClient, container: ContainerClient, refused: Refused
) -> None:
    blob = container.get_blob_client("not-built")
    blob.upload_blob(b"x", overwrite=True)
    for act in (
        lambda: blob.start_copy_from_url(blob.url),
        lambda: blob.acquire_lease(),
        lambda: blob.create_snapshot(),
        lambda: blob.set_blob_tags({"a": "b"}),
        lambda: blob.set_standard_blob_tier("Cool"),
        lambda: blob.create_page_blob(512),
        lambda: account.create_container("another"),
        lambda: container.delete_container(),
        lambda: account.get_service_properties(),
        lambda: container.get_container_access_policy(),
    ):
        refused(501, "NotImplemented", act)
    with pytest.raises(ResourceExistsError, match="exists already"):
        container.create_container()
    with pytest.raises(ResourceNotFoundError, match="no container"):
        account.get_blob_client("another", "x").download_blob()
    assert [item.name for item in account.list_containers()] == [CONTAINER]
    assert container.exists()
    assert blob.download_blob().readall() == b"x"


def test_blob_access_with_a_wrong_key_is_refused(
    server: LocalServer, account: BlobServiceClient, refused: Refused
) -> None:
    stranger = BlobServiceClient(
        account.url,
        credential={"account_name": ACCOUNT, "account_key": base64.b64encode(b"wrong").decode()},
        connection_verify=str(server.folder.tls / "ca.pem"),
        retry_total=0,
    )
    blob = stranger.get_blob_client(CONTAINER, "x")
    for act in (
        lambda: blob.upload_blob(b"x", overwrite=True),
        lambda: blob.download_blob(),
        lambda: blob.delete_blob(),
        lambda: list(stranger.get_container_client(CONTAINER).list_blobs()),
        lambda: stranger.get_container_client(quote("../x")).get_container_properties(),
    ):
        refused(403, "AuthenticationFailed", act)
