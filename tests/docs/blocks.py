"""The fenced blocks of the documentation, and how each kind is run.

- ``console``: each line that begins with ``$`` is a command; the lines below it are what it prints, with ``...`` for
  anything, as in doctest.
- a block with ``title="a/path"`` is that file.
- ``python`` without a title is a script with the workspace around it.
- ``text`` and ``mermaid`` are to be looked at.

What can't be run here stands below ``<!-- not run: REASON -->``.
"""

from __future__ import annotations

import doctest
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").rglob("*.md"))]
LOOKED_AT = ("text", "mermaid")
FENCE = re.compile(
    r"^(?:<!-- not run: (?P<reason>.+?) -->\n)?```(?P<language>\w*)(?: title=\"(?P<title>[^\"]+)\")?\n"
    r"(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
SECONDS = 300


@dataclass(frozen=True)
class Block:
    language: str
    text: str
    title: str | None = None
    reason: str | None = None

    def commands(self) -> Iterator[tuple[str, str]]:
        """Each command of a console, and what it should print."""
        for part in re.split(r"^\$ ", self.text, flags=re.MULTILINE)[1:]:
            command, _, printed = part.partition("\n")
            yield command, printed


def blocks(page: Path) -> list[Block]:
    text = page.read_text("utf-8")
    found = [Block(m["language"], m["text"], m["title"], m["reason"]) for m in FENCE.finditer(text)]
    fences = len(re.findall(r"^\s*```", text, re.MULTILINE))
    assert fences == 2 * len(found), f"{page}: a fence of another shape"
    return found


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


class Folder:
    """A folder in which the blocks of a page run one after the other, on the workspace of a state folder."""

    def __init__(self, path: Path, state: Path) -> None:
        self.path = path
        # Not what a session of pytest has set for itself and for a workspace of its own; nor certificates, of which
        # a reader of a .env file keeps the ones that are there (docs/howto/editors.md says so).
        ours = re.compile(r"PYTEST_.*|AZURE.*|MSI_.*|ARM_.*|APPSETTING_.*|PYTHONPATH|.*_CA_BUNDLE|.*_CERT(_FILE)?")
        kept = {name: value for name, value in os.environ.items() if not ours.fullmatch(name)}
        for name in ("AZUREML_LOCAL_MNIST", "AZUREML_LOCAL_CACHE", "AZUREML_LOCAL_OFFLINE"):
            if name in os.environ:
                kept[name] = os.environ[name]
        self.environment = {
            **kept,
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), kept.get("PATH", os.defpath)]),
            # The blocks show what a reader writes; the jobs of these tests take the packages that are here.
            "PYTEST_ADDOPTS": "-p no:cacheprovider -p no:schemathesis --azureml-local-environments host",
            "AZUREML_LOCAL_STATE": str(state),
            "PYTHONWARNINGS": "ignore",
        }

    def run(self, block: Block) -> None:
        if block.title is not None:
            (self.path / block.title).parent.mkdir(parents=True, exist_ok=True)
            (self.path / block.title).write_text(block.text)
        elif block.language == "python":
            (self.path / "block.py").write_text(block.text)
            self.command("azureml-local run -- python block.py")
        elif block.language == "console":
            for command, printed in block.commands():
                self.command(command, printed)
        else:
            assert block.language in LOOKED_AT, f"nobody knows how to run {block.language!r}:\n{block.text}"

    def command(self, command: str, printed: str = "") -> None:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", command],
            cwd=self.path,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=SECONDS,
        )
        assert done.returncode == 0, f"$ {command}\n{done.stdout}"
        flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
        if printed.strip():
            assert doctest.OutputChecker().check_output(printed, done.stdout, flags), f"$ {command}\n{done.stdout}"
