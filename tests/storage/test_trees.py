"""Folders that a job has written to: what is in them neither keeps a reader waiting nor stays when they are removed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from azureml_local.storage.trees import open_regular, remove_tree


def test_tree_deeper_than_a_path_is_long_is_removed(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    before = os.open(".", os.O_RDONLY)
    try:
        os.chdir(tree)
        for _ in range(1500):
            Path("deeper").mkdir()
            os.chdir("deeper")
        Path("file").write_text("at the bottom")
    finally:
        os.fchdir(before)
        os.close(before)
    remove_tree(tree)
    assert not tree.exists()


def test_tree_without_rights_is_removed_and_nothing_that_it_links_to(tmp_path: Path) -> None:
    other, tree = tmp_path / "other", tmp_path / "tree"
    (tree / "inner").mkdir(parents=True)
    other.mkdir(mode=0o500)
    (tree / "inner" / "link").symlink_to(other)
    (tree / "inner").chmod(0)
    tree.chmod(0o500)
    remove_tree(tree)
    assert not tree.exists()
    assert other.stat().st_mode & 0o777 == 0o500


def test_open_regular_refuses_whatever_is_no_file_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "file").write_text("text")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    for name in ("pipe", "link", "missing", "."):
        with pytest.raises(OSError, match=name if name != "." else "regular"):
            open_regular(tmp_path / name)
    with open_regular(tmp_path / "file") as file:
        assert file.read() == b"text"
