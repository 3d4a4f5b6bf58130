"""The libraries of others are what their authors published, and the list of them is complete."""

from __future__ import annotations

import hashlib
import re

from azureml_local.server.studio.render import HERE, PAGE_HEADERS
from azureml_local.server.studio.static_files import FILES

VENDOR = HERE / "static" / "vendor"
ROW = re.compile(r"^\| `([^`]+)` \|.*\| `([0-9a-f]{64})` \|$", re.MULTILINE)


def test_each_library_has_the_hash_that_is_written_beside_its_version() -> None:
    listed = dict(ROW.findall((VENDOR / "VENDORED.md").read_text()))
    there = {path.name: path for path in VENDOR.iterdir() if path.suffix in (".js", ".css")}
    assert listed.keys() == there.keys()
    for name, path in there.items():
        assert hashlib.sha256(path.read_bytes()).hexdigest() == listed[name], name


def test_pages_load_nothing_from_other_hosts_and_evaluate_no_text() -> None:
    assert "unsafe" not in PAGE_HEADERS["Content-Security-Policy"]
    served = {HERE / "static" / file for file, _ in FILES.values()}
    files = {path for path in (HERE / "static").rglob("*") if path.suffix in (".js", ".css", ".svg")}
    assert served == files
    for path in (*files, *(HERE / "templates").iterdir()):
        text = path.read_text()
        assert not re.search(r"(?:src|href)=[\"']?(?:https?:)?//", text), path.name
        if path.suffix == ".html":
            assert not re.search(r"<script>|\sstyle=|\son[a-z]+=|\|\s*safe\b", text), path.name
        elif path.suffix == ".js" and path.parent != VENDOR:
            assert not re.search(r"\beval\(|new Function|innerHTML|insertAdjacentHTML|document\.write", text), path.name
