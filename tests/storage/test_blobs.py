"""Blobs: bytes in, the same bytes out, whatever they are called."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from azureml_local.storage import tables
from azureml_local.storage.blobrows import BlobRow, BlockRow
from azureml_local.storage.blobs import BlobError, BlobStore, if_absent
from azureml_local.storage.database import Database


@pytest.fixture
def blobs(tmp_path: Path) -> BlobStore:
    (tmp_path / "blobs").mkdir()
    return BlobStore(Database(tmp_path / "database.sqlite3"), tmp_path / "blobs")


def files_in(folder: Path) -> list[Path]:
    return [path for path in (folder / "blobs").rglob("*") if path.is_file()]


def test_blob_put_is_read_back(blobs: BlobStore) -> None:
    blobs.put_bytes("c", "a/b.txt", b"hello")
    assert blobs.read_bytes("c", "a/b.txt") == b"hello"
    assert blobs.get("c", "a/b.txt").size == 5


def test_blob_replaced_keeps_only_the_new_bytes(blobs: BlobStore, tmp_path: Path) -> None:
    for text in (b"one", b"two", b"three"):
        blobs.put_bytes("c", "same", text)
    assert blobs.read_bytes("c", "same") == b"three"
    assert len(files_in(tmp_path)) == 1


def test_an_existing_blob_is_not_replaced_where_that_is_forbidden(blobs: BlobStore, tmp_path: Path) -> None:
    blobs.put_bytes("c", "once", b"first")
    writer = blobs.writer()
    writer.write(b"second")
    with pytest.raises(BlobError) as refused:
        blobs.put("c", "once", writer.finish(), condition=if_absent)
    assert (refused.value.status, refused.value.code) == (409, "BlobAlreadyExists")
    assert blobs.read_bytes("c", "once") == b"first"
    assert len(files_in(tmp_path)) == 1


def test_blocks_are_joined_in_the_order_of_the_list(blobs: BlobStore, tmp_path: Path) -> None:
    for block, text in (("b2", b"world"), ("b1", b"old "), ("b1", b"hello "), ("b9", b"!")):
        writer = blobs.writer()
        writer.write(text)
        blobs.stage_block("c", "joined", block, writer.finish())
    with pytest.raises(BlobError, match="never uploaded"):
        blobs.commit_blocks("c", "joined", [("Latest", "b1"), ("Latest", "b3")])
    assert not blobs.exists("c", "joined")
    blobs.commit_blocks("c", "joined", [("Latest", "b1"), ("Latest", "b2")])
    assert blobs.read_bytes("c", "joined") == b"hello world"
    assert len(files_in(tmp_path)) == 1


def test_append_returns_the_offset(blobs: BlobStore) -> None:
    blobs.create_append("c", "log")
    assert blobs.append("c", "log", b"one ")[0] == 0
    assert blobs.append("c", "log", b"two")[0] == 4
    assert blobs.read_bytes("c", "log") == b"one two"
    blobs.create_append("c", "log")
    assert blobs.append("c", "log", b"anew")[0] == 0
    assert blobs.read_bytes("c", "log") == b"anew"


def test_a_block_blob_takes_no_appends(blobs: BlobStore) -> None:
    blobs.put_bytes("c", "fixed", b"x")
    with pytest.raises(BlobError, match="no append blob"):
        blobs.append("c", "fixed", b"y")


def test_a_live_blob_is_as_long_as_its_file_until_it_is_sealed(blobs: BlobStore) -> None:
    path = blobs.create_live("c", "log.txt")
    path.write_bytes(b"12345")
    assert blobs.get("c", "log.txt").size == 5
    assert blobs.create_live("c", "log.txt") == path
    path.write_bytes(b"1234567")
    assert blobs.list("c")[0].size == 7
    blobs.seal("c", "log.txt")
    path.write_bytes(b"123456789")
    assert blobs.get("c", "log.txt").size == 7


def test_blob_listing_takes_prefix_case_and_wildcards_literally(blobs: BlobStore) -> None:
    for name in ("a/1", "a/2", "A/3", "a_4", "aX4", "b"):
        blobs.put_bytes("c", name, b"")
    assert [blob.name for blob in blobs.list("c", "a/")] == ["a/1", "a/2"]
    assert [blob.name for blob in blobs.list("c", "a_")] == ["a_4"]
    assert [blob.name for blob in blobs.list("c", "A")] == ["A/3"]
    assert [blob.name for blob in blobs.list("c", after="a/1", limit=2)] == ["a/2", "aX4"]


@pytest.mark.case("path-traversal")
@pytest.mark.parametrize("name", ["", "../x", "a/../../x", "/etc/passwd", "a\0b", "a\\..\\b", "x" * 1025])
def test_blob_names_unsafe_are_refused_and_nothing_is_written_elsewhere(
    blobs: BlobStore, tmp_path: Path, name: str
) -> None:
    with pytest.raises(BlobError) as refused:
        blobs.put_bytes("c", name, b"x")
    assert refused.value.status == 400
    assert {path.name for path in tmp_path.iterdir()} <= {
        "blobs",
        "database.sqlite3",
        "database.sqlite3-wal",
        "database.sqlite3-shm",
    }


def test_blob_read_while_replaced_is_the_old_or_the_new_one(
    blobs: BlobStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blobs.put_bytes("c", "same", b"one")
    get = blobs.get

    def then(act: Callable[[], object]) -> None:
        """Do this once, between the look into the database and the opening of the file."""

        def first(container: str, name: str) -> BlobRow:
            found = get(container, name)
            monkeypatch.setattr(blobs, "get", get)
            act()
            return found

        monkeypatch.setattr(blobs, "get", first)

    then(lambda: blobs.put_bytes("c", "same", b"two!"))
    blob, file = blobs.open("c", "same")
    with file:
        blobs.put_bytes("c", "same", b"three")
        assert (file.read(), blob.size) == (b"two!", 4)
    then(lambda: blobs.delete("c", "same"))
    with pytest.raises(BlobError, match="doesn't exist"):
        blobs.open("c", "same")
    blobs.put_bytes("c", "same", b"four")
    [lost] = files_in(tmp_path)
    lost.unlink()
    with pytest.raises(FileNotFoundError, match=lost.name):
        blobs.open("c", "same")


def test_blob_missing_is_not_found(blobs: BlobStore) -> None:
    with pytest.raises(BlobError) as missing:
        blobs.get("c", "nothing")
    assert (missing.value.status, missing.value.code) == (404, "BlobNotFound")


@pytest.mark.parametrize(("row", "table"), [(BlobRow, tables.Blob), (BlockRow, tables.Block)])
def test_rows_have_all_columns_of_their_tables(row: Any, table: type[tables.Base]) -> None:
    """Whoever adds a column adds it to both: a row is written as a whole."""
    assert row._fields == tuple(table.__table__.columns.keys())


def test_blob_write_failed_leaves_no_file(blobs: BlobStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("..", "/absolute", ""):
        with pytest.raises(BlobError):
            blobs.put_bytes("c", name, b"nowhere")
    with pytest.raises(BlobError):
        blobs.commit_blocks("c", "big", [("Latest", "never uploaded")])
    with tmp_path.joinpath("database.sqlite3").open("rb") as source, pytest.raises(BlobError):
        blobs.put_file("c", "..", source)
    assert files_in(tmp_path) == []


def test_blob_write_is_kept_when_the_old_file_cannot_be_removed(
    blobs: BlobStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blobs.put_bytes("c", "same", b"one")

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError("not today")

    monkeypatch.setattr(Path, "unlink", refuse)
    blobs.put_bytes("c", "same", b"two")
    assert blobs.read_bytes("c", "same") == b"two"


def test_finished_upload_is_not_discarded(blobs: BlobStore) -> None:
    """As when a request is cancelled while its row is being committed."""
    writer = blobs.writer()
    writer.write(b"kept")
    blobs.put("c", "x", writer.finish())
    writer.discard()
    assert blobs.read_bytes("c", "x") == b"kept"
