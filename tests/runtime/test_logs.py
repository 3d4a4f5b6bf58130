"""A job's log, whatever it printed."""

from __future__ import annotations

from pathlib import Path

import pytest

from azureml_local.runtime import logs


def test_each_byte_that_is_not_utf8_becomes_a_question_mark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "CHUNK", 3)  # characters lie across pieces
    path = tmp_path / "log"
    for data, text, strays in (
        (b"", "", 0),
        ("grüße €😀\n".encode(), "grüße €😀\n", 0),
        (b"caf\xe9 \xff\n", "caf? ?\n", 2),
        ("😀".encode()[:3] + b"a", "???a", 3),
        (b"end \xf0\x9f\x98", "end ???", 3),
    ):
        path.write_bytes(data)
        assert logs.make_readable(path) == strays
        assert path.read_text("utf-8") == text
