"""Parts of logs: whole characters, whole lines, and a search that is quick in a long one."""

from __future__ import annotations

from pathlib import Path

import pytest

from azureml_local.server.studio import logs


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "log"
    path.write_bytes("".join(f"line {n} äöü🦊\n" for n in range(10_000)).encode())
    return path


def test_a_log_read_in_parts_is_the_log_whatever_the_cuts(log: Path) -> None:
    size = log.stat().st_size
    for step in (1, 7, 4096):
        text, start = "", 0
        end = len(log.read_bytes()[:3000].decode("utf-8", "ignore").encode()) if step == 1 else size
        while start < end:
            part = logs.part(log, size, start, min(start + max(step, 4), end), from_a_line=False)
            assert part.end > start
            text, start = text + part.text, part.end
        assert text == log.read_bytes()[:end].decode()


def test_the_end_of_a_log_begins_with_a_line(log: Path) -> None:
    size = log.stat().st_size
    tail = logs.tail(log, size)
    assert tail.text.startswith("line ")
    assert log.read_bytes()[tail.start : tail.end].decode() == tail.text
    assert (tail.end, tail.size) == (size, size)
    log.write_bytes(b"x" * 100_000)  # no line at all
    assert len(logs.tail(log, 100_000).text) == logs.TAIL
    log.write_bytes(b"")
    assert logs.tail(log, 0).text == ""
    assert logs.search(log, 0, "x") == ([], False)


def test_a_byte_that_is_no_text_is_shown_as_one(log: Path) -> None:
    log.write_bytes(b"a\xff\xfeb\n\xf0\x9f")
    part = logs.tail(log, 8)
    assert part.text == "a\ufffd\ufffdb\n"
    assert part.end == 5  # the character that began isn't there yet


def test_search_takes_any_case_and_no_pattern(log: Path) -> None:
    size = log.stat().st_size
    found, more = logs.search(log, size, "LINE 9999 ")
    assert [each["text"] for each in found] == ["line 9999 äöü🦊"]
    assert not more
    at = found[0]["at"]
    assert isinstance(at, int)
    assert log.read_bytes()[at:].decode().startswith("line 9999")
    assert logs.search(log, size, ".*") == ([], False)
    many, more = logs.search(log, size, "line")
    assert (len(many), more) == (logs.MOST_FOUND, True)
    log.write_bytes(b"y" * 1_000_000)
    ((one,), _) = logs.search(log, 1_000_000, "y")
    assert len(str(one["text"])) == logs.LINE
