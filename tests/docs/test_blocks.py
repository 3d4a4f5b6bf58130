"""Every block of the documentation runs; what can't is said to be so, and its commands exist."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
import typer

from azureml_local.cli.app import app
from tests.docs.blocks import LOOKED_AT, PAGES, ROOT, Block, Folder, blocks, name_of

RUN = [page for page in PAGES if any(not b.reason and b.language not in LOOKED_AT for b in blocks(page))]
TARGETS = set(re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE))


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One workspace for all pages: some of them stop it, and the next page starts it again."""
    folder = tmp_path_factory.mktemp("workspace")
    yield folder / "state"
    Folder(folder, folder / "state").command("azureml-local down")


@pytest.fixture
def folder(tmp_path: Path, state: Path) -> Folder:
    """With the workspace up, and the notebook of whoever reads *Test my Azure ML code*."""
    made = Folder(tmp_path, state)
    cell = nbformat.v4.new_code_cell(
        "from azureml.core import Workspace\n\nprint(Workspace.from_config().location)",
        execution_count=1,
        outputs=[nbformat.v4.new_output("stream", name="stdout", text="local\n")],
    )
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), made.path / "scores.ipynb")
    made.command("azureml-local up --port 0 --environments host")
    return made


@pytest.mark.slow
@pytest.mark.parametrize("page", RUN, ids=name_of)
def test_the_blocks_of_a_page_run_one_after_the_other(page: Path, folder: Folder) -> None:
    for block in blocks(page):
        if block.reason is None:
            folder.run(block)


def spoken_of() -> Iterator[tuple[str, str]]:
    """Every command in a block or between backticks: the page, and the words."""
    for page in PAGES:
        for block in blocks(page):
            if block.language == "console":
                yield from ((name_of(page), command) for command, _ in block.commands())
        for inline in re.findall(r"`((?:azureml-local|make|pytest) [^`\n]+)`", page.read_text("utf-8")):
            yield name_of(page), inline


def words_of(command: str) -> list[str]:
    words = shlex.split(command, comments=True)
    if words[1:3] == ["-m", "azureml_local"]:
        words = ["azureml-local", *words[3:]]
    return words


def test_commands_and_options_that_the_pages_speak_of_exist() -> None:
    unknown = []
    seen = 0
    for page, command in spoken_of():
        words = words_of(command)
        if words[0] == "azureml-local":
            unknown += [f"{page}: {command}: {problem}" for problem in problems(words[1:])]
        elif words[0] == "make":
            unknown += [f"{page}: {command}" for word in words[1:2] if word not in TARGETS]
        elif words[0].startswith("scripts/"):
            unknown += [f"{page}: {command}"] * (not (ROOT / words[0]).is_file())
        seen += 1
    assert unknown == []
    assert seen > 60


def problems(words: list[str]) -> list[str]:
    """What is no command or option of azureml-local; what follows ``--`` is somebody else's."""
    command = typer.main.get_command(app)
    context = typer.Context(command)
    found = []
    for word in words[: words.index("--")] if "--" in words else words:
        if word.startswith("-"):
            options = {
                name
                for parameter in command.get_params(context)
                for name in [*parameter.opts, *parameter.secondary_opts]
            }
            found += [] if word.partition("=")[0] in options else [f"no option {word}"]
        elif hasattr(command, "get_command"):
            inner = command.get_command(context, word)
            if inner is None:
                return [f"no command {word}"]
            command = inner
    return found


def test_check_of_commands_reports_unknown_ones() -> None:
    assert problems(["simulate", "quota-exceeded", "--compute", "big"]) == []
    assert problems(["run", "--ephemeral", "--", "ls", "--no-such-option"]) == []
    assert problems(["up", "--colour"]) == ["no option --colour"]
    assert problems(["fly"]) == ["no command fly"]


def test_documentation_block_with_a_failing_command_fails_the_test(tmp_path: Path) -> None:
    folder = Folder(tmp_path, tmp_path / "state")
    folder.run(Block("console", "$ echo one two\none ...\n"))
    with pytest.raises(AssertionError):
        folder.run(Block("console", "$ echo one\ntwo\n"))
    with pytest.raises(AssertionError):
        folder.run(Block("console", "$ exit 3\n"))
