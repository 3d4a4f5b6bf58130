"""Mirrors: which addresses a folder stands for, and that nothing outside of it is ever read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from azureml_local.storage.database import Database
from azureml_local.workspace.errors import Invalid, NotFound
from azureml_local.workspace.mirrors import Mirror, Mirrors, https_form


@pytest.fixture
def mirrors(tmp_path: Path) -> Iterator[Mirrors]:
    database = Database(tmp_path / "workspace.sqlite3")
    yield Mirrors(database)
    database.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "mirror"
    (folder / "sets" / "deep").mkdir(parents=True)
    for name in ("sets/t.csv", "sets/deep/a.csv", "sets/deep/b c.csv", "sets/deep/x.txt"):
        (folder / name).write_text(name)
    (tmp_path / "secret.txt").write_text("secret")
    (folder / "sets" / "leaves.csv").symlink_to(tmp_path / "secret.txt")
    (folder / "sets" / "out").symlink_to(tmp_path)
    return folder


def test_mirror_is_found_by_every_form_of_its_address_and_the_longest_wins(mirrors: Mirrors, folder: Path) -> None:
    mirrors.set("wasbs://sets@data.example/", str(folder))
    mirrors.set("https://data.example/sets/deep", str(folder / "sets"))

    def found(url: str) -> tuple[str, str] | None:
        hit = mirrors.find(url)
        return (hit[0].prefix, hit[1]) if hit else None

    assert found("https://data.example/sets/t.csv") == ("https://data.example/sets", "t.csv")
    assert found("wasb://sets@data.example/deep/a.csv") == ("https://data.example/sets/deep", "a.csv")
    for other in (
        "https://data.example/setsmore/t.csv",
        "https://other.example/sets/t.csv",
        "https://data.example/sets",
    ):
        assert found(other) is None
    assert https_form("https://data.example/x") == "https://data.example/x"


def test_mirrors_are_kept_in_the_store_and_taken_back(mirrors: Mirrors, folder: Path) -> None:
    mirrors.set("https://data.example", str(folder))
    again = Mirrors(mirrors._database)
    assert [(each.prefix, each.folder) for each in again.list()] == [("https://data.example", folder)]
    assert again.get(again.list()[0].id) == again.list()[0]
    again.set("https://data.example/", None)
    assert Mirrors(mirrors._database).list() == []
    with pytest.raises(NotFound):
        again.get("0" * 16)
    with pytest.raises(NotFound, match="No folder stands for"):
        again.set("https://data.example", None)


@pytest.mark.parametrize(
    "url", ["file:///etc", "data.example", "https://", "https://a.example/*.csv", "https://a/?x=1"]
)
def test_mirror_of_what_is_no_address_is_refused(mirrors: Mirrors, folder: Path, url: str) -> None:
    with pytest.raises(Invalid, match="no address"):
        mirrors.set(url, str(folder))


def test_mirror_that_is_no_folder_is_refused(mirrors: Mirrors, folder: Path) -> None:
    for wrong in ("relative", str(folder / "none"), str(folder / "sets" / "t.csv")):
        with pytest.raises(Invalid, match="no folder of this machine"):
            mirrors.set("https://data.example", wrong)


@pytest.mark.case("path-traversal", "links-and-devices")
@pytest.mark.parametrize(
    "rest",
    ["../secret.txt", "sets/../../secret.txt", "%2e%2e/secret.txt", "sets/leaves.csv", "sets/out/secret.txt", "a\0", "",
     "/etc/passwd", "//etc/passwd", "..%2fsecret.txt", "../*", "sets/out/*", "sets/leaves*"],
)  # fmt: skip
def test_mirror_reads_nothing_outside_of_its_folder(folder: Path, rest: str) -> None:
    mirror = Mirror("https://data.example", folder)
    assert mirror.file(rest) is None
    inside = {"sets/t.csv", "sets/deep/a.csv", "sets/deep/b c.csv", "sets/deep/x.txt"}
    assert set(mirror.files(rest)) <= (inside if rest == "" else set())


@pytest.mark.parametrize(
    ("rest", "names"),
    [
        ("sets/t.csv", ["sets/t.csv"]),
        ("sets/deep/b%20c.csv", ["sets/deep/b c.csv"]),
        ("sets/deep", ["sets/deep/a.csv", "sets/deep/b c.csv", "sets/deep/x.txt"]),
        ("sets/*/*.csv", ["sets/deep/a.csv", "sets/deep/b c.csv"]),
        ("sets/**", ["sets/deep/a.csv", "sets/deep/b c.csv", "sets/deep/x.txt", "sets/t.csv"]),
        ("**/*.txt", ["sets/deep/x.txt"]),
        ("none/*.csv", []),
        ("**/**/**/*", []),
        ("a**b", []),
    ],
)
def test_mirror_files_of_a_path_a_folder_and_a_pattern(folder: Path, rest: str, names: list[str]) -> None:
    found = Mirror("https://data.example", folder).files(rest)
    assert sorted(found) == names
    assert [path.read_text() for _, path in sorted(found.items())] == names
