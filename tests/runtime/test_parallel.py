"""The driver of a ParallelRunStep, as a program: batches, workers, tries, limits, and what is written."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from azureml_local.runtime import parallel
from azureml_local.workspace.jobs import Parallel

FILES = Parallel(
    inputs=("files",),
    tables=False,
    mini_batch_size=2,
    partition_keys=(),
    processes=2,
    max_try=2,
    timeout=30,
    error_threshold=-1,
    allowed_failed_count=None,
    allowed_failed_percent=None,
    output="out",
    append_to="rows.txt",
)

Drive = Callable[..., tuple[int, str, list[str]]]


@pytest.fixture
def drive(tmp_path: Path) -> Drive:
    """Run an entry script's text over five files named a to e. Returns code, what was printed, and the sorted rows."""
    places = {name: tmp_path / name for name in ("files", "working", "out")}
    for place in places.values():
        place.mkdir()
    for name in "abcde":
        (places["files"] / name).write_text(name)

    def run(entry: str, *arguments: str, **settings: Any) -> tuple[int, str, list[str]]:
        (places["working"] / "entry.py").write_text(textwrap.dedent(entry))
        spec = dataclasses.replace(FILES, **settings)
        names = {name: str(place) for name, place in places.items()}
        plan = parallel.write_plan(spec, places["working"], tmp_path, "entry.py", arguments, names)
        words = [sys.executable, parallel.DRIVER, str(plan)]
        done = subprocess.run(words, cwd=places["working"], capture_output=True, text=True, timeout=60, check=False)
        rows = places["out"] / "rows.txt"
        return (
            done.returncode,
            done.stdout + done.stderr,
            sorted(rows.read_text().splitlines()) if rows.exists() else [],
        )

    return run


def test_each_item_is_given_out_once_and_init_runs_once_in_each_process(drive: Drive) -> None:
    code, said, rows = drive(
        """
        import os, sys
        from pathlib import Path
        from azureml_user.parallel_run import EntryScript
        began = []

        def init():
            began.append(os.getpid())
            EntryScript().logger.info("at %s", EntryScript().output_dir)

        def run(batch):
            assert began == [os.getpid()] and len(batch) <= 2
            return [Path(each).read_text() + sys.argv[1] for each in batch]
        """,
        "!",
    )
    assert (code, rows) == (0, ["a!", "b!", "c!", "d!", "e!"])
    assert "5 items in 3 mini batches, for 2 processes." in said
    assert "3 of 3 mini batches done, 0 failed; 5 of 5 items processed, 0 failed." in said


def test_a_failing_batch_is_tried_again_and_its_items_are_lost_after_that(drive: Drive) -> None:
    entry = """
    def run(batch):
        if any(each.endswith("a") for each in batch):
            raise ValueError("no a")
        return [each[-1] for each in batch]
    """
    code, said, rows = drive(entry)
    assert (code, rows) == (0, ["c", "d", "e"])
    assert said.count("ValueError: no a (") == 0
    assert "Mini batch 0 failed (try 2 of 2): ValueError: no a" in said
    code, said, _ = drive(entry, error_threshold=1)
    assert code != 0
    assert "2 of 5 items failed, which is more than error_threshold=1." in said
    assert drive(entry, error_threshold=2)[0] == 0
    code, said, _ = drive(entry, allowed_failed_count=0)
    assert "1 mini batches failed, which is more than allowed_failed_count=0." in said
    code, said, _ = drive(entry, allowed_failed_percent=30.0)
    assert "33.3 % of the mini batches failed" in said


def test_a_call_that_takes_too_long_is_ended_and_a_process_that_dies_is_replaced(drive: Drive) -> None:
    code, said, rows = drive(
        """
        import os, time

        def run(batch, context):
            if context.mini_batch_id == 0:
                time.sleep(60)
            if context.mini_batch_id == 1:
                os._exit(7)
            return [context.dataset_name]
        """,
        timeout=3,
    )
    assert (code, rows) == (0, ["files"])
    assert "Mini batch 0 failed (try 2 of 2): run() took longer than run_invocation_timeout (3 s)" in said
    assert "Mini batch 1 failed (try 2 of 2): its process ended with the code 7" in said


def test_fewer_items_than_were_given_count_as_lost(drive: Drive) -> None:
    code, said, rows = drive("def run(batch):\n    return batch[:1]", error_threshold=1, output=None, append_to=None)
    assert (code != 0, rows) == (True, [])
    assert "2 of 5 items failed" in said


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        (
            "def init():\n    raise RuntimeError('no model')\n\ndef run(batch):\n    pass",
            "RuntimeError: no model",
        ),
        ("def other(batch):\n    return batch", "SystemExit: The entry script has no function run(mini_batch)"),
        ("def run(batch):", "IndentationError"),
    ],
)
def test_an_entry_script_that_cannot_begin_fails_the_job_with_its_reason(drive: Drive, entry: str, told: str) -> None:
    code, said, _ = drive(entry)
    assert code != 0
    assert f"The entry script can't be begun: {told}" in said
