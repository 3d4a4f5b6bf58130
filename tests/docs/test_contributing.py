"""CONTRIBUTING.md's worked example: each file that it names exists, and holds what it says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "CONTRIBUTING.md").read_text()
STEPS = re.findall(
    r"^(\d)\. (.+?)(?=^\d\. |^## |\Z)", TEXT.partition("## Add an operation in seven steps")[2], re.M | re.S
)
NAMED = re.compile(r"`((?:azureml_local|tests|docs)/[\w./]+\.(?:py|md))`")
# What the example says stands in the file that was named last before it.
HELD = re.compile(r"`((?:class|def) \w+|@pytest\.mark\.sdk\([^`]+\)|/credential[^`]+)`")


def example() -> list[tuple[str, str]]:
    """(file, what stands in it) of each "here ..." of the seven steps."""
    found = []
    for _, step in STEPS[:7]:
        path = ""
        for word in re.finditer(r"`[^`]+`", step):
            if named := NAMED.fullmatch(word[0]):
                path = named[1]
            elif (held := HELD.fullmatch(word[0])) and path:
                found.append((path, held[1]))
    return found


def test_contributing_has_seven_steps_with_an_example_in_five_of_them() -> None:
    assert [number for number, _ in STEPS[:7]] == list("1234567")
    assert len(example()) == 5


@pytest.mark.parametrize("path", sorted(set(NAMED.findall(TEXT))))
def test_contributing_names_files_that_exist(path: str) -> None:
    assert (ROOT / path).is_file()


@pytest.mark.parametrize(("path", "held"), example())
def test_contributing_example_stands_where_it_says(path: str, held: str) -> None:
    text = (ROOT / path).read_text()
    operation = re.search(r'"(\w+\.\w+)"', held)
    assert (operation[0] if operation else held) in text


def test_contributing_example_works_by_the_coverage_table() -> None:
    row = next(
        line for line in (ROOT / "docs/coverage.md").read_text().splitlines() if "`Keyvault.list_secrets`" in line
    )
    assert "| works" in row


def test_contributing_draws_every_folder_of_the_package() -> None:
    picture = TEXT.partition("```text")[2].partition("```")[0]
    folders = {path.name for path in (ROOT / "azureml_local").iterdir() if path.is_dir() and path.name[0] not in "._"}
    folders |= {
        path.name for path in (ROOT / "azureml_local/server").iterdir() if path.is_dir() and path.name[0] not in "._"
    }
    assert {name for name in folders - {"opendata"} if f"{name}/" not in picture} == set()
    assert "`opendata/`" in TEXT
