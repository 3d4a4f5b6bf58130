"""Every kind of attack in cases.md has a test that says so, and no test speaks of one that isn't there."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from security.attacks import ATTACKS

HERE = Path(__file__).parent
CASES = set(re.findall(r"^\| ([a-z-]+) \|", (HERE / "cases.md").read_text(), re.MULTILINE)) - {"case", "---"}


def marked() -> Iterator[tuple[str, Path]]:
    """The names in the marks of all tests."""
    for path in sorted(HERE.parent.rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.case":
                for argument in node.args:
                    yield ast.literal_eval(argument), path


def test_every_case_has_a_test() -> None:
    assert len(CASES) >= 33  # the table is read
    assert CASES - {name for name, _ in marked()} - {attack.case for attack in ATTACKS} == set()


def test_every_test_names_a_case_that_there_is() -> None:
    assert {attack.case for attack in ATTACKS} <= CASES
    assert {(name, path.name) for name, path in marked() if name not in CASES} == set()
