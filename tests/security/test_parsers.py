"""Whatever a client sends as a tree, path, filter, range or definition is understood, or refused with a reason.

Each parser is given both nonsense and what is nearly right. It may raise what its docstring says, and nothing else.
"""

from __future__ import annotations

import base64
import contextlib
import gzip
import json
import math
import string
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from security.conftest import examples

from azureml_local.runtime.conda import EnvironmentBuildError, read_packages
from azureml_local.server.arm import computes as compute_route
from azureml_local.server.blob import sharedkey
from azureml_local.server.dataplane.runconfiguration import parse_run_configuration as parse
from azureml_local.server.http import odata
from azureml_local.server.http.bodies import MAX_DEPTH, Refusal, check_json
from azureml_local.server.http.ranges import parse_range
from azureml_local.storage.bloberrors import BlobError
from azureml_local.storage.blobnames import check_name
from azureml_local.workspace.artifacts import blob_name
from azureml_local.workspace.computes import ScaleSettings
from azureml_local.workspace.datasets import rust_dataflow
from azureml_local.workspace.errors import WorkspaceError
from azureml_local.workspace.snapshots import _files, safe_path

TEXT = st.text(max_size=60)
SCALAR = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), TEXT)
JSON = st.recursive(
    SCALAR,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=12), inner, max_size=4)),
    max_leaves=12,
)
PIECE = st.one_of(
    st.sampled_from(["..", ".", "", "a", "b c", "%2e%2e", "\\", "..\\..", "C:", "\0", "~", "-rf", "nul", "a" * 300]),
    TEXT,
)
PATH = st.lists(PIECE, max_size=6).map("/".join)
NODE: st.SearchStrategy[Any] = st.recursive(
    st.one_of(SCALAR, st.fixed_dictionaries({"type": st.sampled_from(["File", "file", "Directory", 1, None])})),
    lambda inner: st.fixed_dictionaries(
        {
            "type": st.sampled_from(["Directory", "File", "x"]),
            "children": st.one_of(st.dictionaries(PIECE, inner, max_size=3), JSON),
        }
    ),
    max_leaves=8,
)


@pytest.mark.case("path-traversal")
@examples(300)
@given(PATH)
@example("../x")
@example("/etc/passwd")
@example("a/../../b")
@example("a\\..\\b")
def test_a_snapshots_path_stays_in_its_folder(path: str) -> None:
    with contextlib.suppress(WorkspaceError):
        assert (Path("/x/y") / safe_path(path)).resolve().is_relative_to("/x/y")


@pytest.mark.case("path-traversal")
@examples(300)
@given(NODE)
def test_a_snapshots_tree_gives_paths_in_its_folder_only(tree: Any) -> None:
    with contextlib.suppress(WorkspaceError):
        for path, _ in _files(tree):
            assert (Path("/x/y") / path).resolve().is_relative_to("/x/y")
            assert not PurePosixPath(path).is_absolute()


@pytest.mark.case("slow-and-huge")
def test_a_tree_without_end_is_refused() -> None:
    tree: dict[str, Any] = {"type": "File"}
    for _ in range(50_000):
        tree = {"type": "Directory", "children": {"d": tree}}
    with pytest.raises(WorkspaceError):
        list(_files(tree))
    while tree:  # else Python takes it apart recursively, and that is too deep
        tree = tree.pop("children", {}).pop("d", {})


@pytest.mark.case("path-traversal", "uri-tricks", "sibling-prefix")
@examples(300)
@given(TEXT, TEXT, PATH)
@example("ExperimentRun", "dcid.x", "../dcid.y/secret")
@example("ExperimentRun", "..", "x")
@example("http:", "", "#/../../etc/passwd")
def test_an_artifacts_name_stays_below_its_container(origin: str, container: str, path: str) -> None:
    with contextlib.suppress(BlobError):
        name = blob_name(origin, container, path)
        assert name.startswith(f"{origin}/{container}/")
        assert ".." not in name.split("/")
        assert "\0" not in name
        check_name(name)


@pytest.mark.case("uploads")
@examples(300)
@given(
    st.one_of(st.none(), TEXT, st.builds("bytes={}-{}".format, st.integers(-5, 99), st.integers(-5, 99))),
    st.integers(0, 50),
)
@example("bytes=-0", 10)
@example("bytes=0-18446744073709551616", 10)
@example("bytes=1-0", 10)
@example("bytes=0-1,3-4", 10)
@example("bytes=٣-٤", 10)
def test_a_range_lies_within_the_file(header: str | None, size: int) -> None:
    with contextlib.suppress(ValueError):
        part = parse_range(header, size)
        assert part is None or (part[0] >= 0 and part[1] > 0 and sum(part) <= size)


WORDS = (
    "RunId",
    "ParentRunId",
    "Status",
    "StartTimeUtc",
    "tags/a",
    "tags/a b",
    "properties/",
    "null",
    "'x'",
    "'it''s'",
)
JOINS = (
    "(",
    ")",
    " and ",
    " or ",
    "not ",
    " eq ",
    " ne ",
    " ge ",
    ",",
    "'",
    '"',
    "\0",
    "1e400",
    "2026-01-01T00:00:00Z",
)
FILTER = st.lists(st.sampled_from(WORDS + JOINS), max_size=14).map("".join)


@pytest.mark.case("malformed-requests")
@examples(500)
@given(st.one_of(FILTER, TEXT, JSON))
@example("(" * 5000)
@example("RunId eq 'a' and " * 500 + "RunId eq 'a'")
def test_a_filter_is_understood_or_refused(text: Any) -> None:
    with contextlib.suppress(WorkspaceError):
        odata.parse_filter(text)


@pytest.mark.case("malformed-requests")
@examples(200)
@given(st.one_of(TEXT, JSON, st.text(string.digits + "PTDHMS.", max_size=20)))
@example("PT" + "9" * 400 + "S")
@example("P")
def test_a_duration_is_a_finite_number_of_seconds(text: Any) -> None:
    with contextlib.suppress(WorkspaceError):
        scale = ScaleSettings(0, 1, compute_route._seconds(text, 120.0))
        scale.check()
        assert math.isfinite(scale.idle_seconds)
        assert scale.idle_seconds >= 0


SPECS = (
    "numpy",
    "python",
    "1.2",
    "1.*",
    "*",
    "file:///x",
    "../x",
    "https://u:p@h/x",
    "git+https://h/x",
    "$(id)",
    "`id`",
)
SIGNS = (
    "=",
    "==",
    ">=",
    "<",
    "!=",
    "~=",
    "::",
    "[",
    "]",
    " ",
    ",",
    "|",
    "@",
    ";",
    "#",
    "\n",
    "-e ",
    "-r ",
    "--index-url ",
)
CONDA = st.lists(st.sampled_from(SPECS + SIGNS), max_size=7).map("".join)


@pytest.mark.case("environment-builds", "shell-words")
@examples(500)
@given(
    st.one_of(
        st.lists(
            st.one_of(CONDA, TEXT, st.fixed_dictionaries({"pip": st.lists(st.one_of(CONDA, TEXT))}), JSON), max_size=4
        ),
        JSON,
    )
)
def test_conda_dependencies_become_lines_or_are_refused(dependencies: Any) -> None:
    with contextlib.suppress(EnvironmentBuildError):
        packages = read_packages({"dependencies": dependencies})
        for line in [*packages.requirements, *packages.options]:
            assert "\n" not in line  # one line is one line of the file that uv reads
            assert "\r" not in line
        assert not [line for line in packages.requirements if line.startswith("-")]


@pytest.mark.case("yaml", "malformed-requests")
@examples(300)
@given(st.one_of(TEXT, JSON.map(json.dumps), JSON.map(lambda inner: json.dumps({"meta": {"RsDataflow": inner}}))))
@example('{"meta":{"RsDataflow":"!!python/object/apply:os.system [id]"}}')
@example("[" * 100_000)
def test_a_datasets_definition_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(WorkspaceError):
        rust_dataflow(text)


@pytest.mark.case("shell-words", "malformed-requests")
@examples(300)
@given(
    st.one_of(
        JSON,
        st.fixed_dictionaries(
            {"target": st.just("c")},
            optional={
                "script": st.one_of(TEXT, JSON),
                "command": st.one_of(TEXT, JSON),
                "arguments": JSON,
                "environment": JSON,
                "environmentVariables": JSON,
                "data": JSON,
                "outputData": JSON,
                "maxRunDurationSeconds": JSON,
                "nodeCount": JSON,
                "communicator": JSON,
                "mpi": JSON,
                "docker": JSON,
            },
        ),
    )
)
def test_a_run_configuration_is_a_job_or_is_refused(configuration: Any) -> None:
    if isinstance(configuration, dict):  # the route says so of anything else
        with contextlib.suppress(WorkspaceError):
            spec = parse(configuration)
            assert all(isinstance(word, str) for word in spec.arguments)
            assert spec.command is None or isinstance(spec.command, str)
            # Folders of the job have these names.
            for name in [each.name for each in (*spec.inputs, *spec.outputs)]:
                assert (Path("/x/y") / name).resolve().parent == Path("/x/y")
            assert all(isinstance(v, str) and "=" not in k for k, v in spec.variables.items())


@pytest.mark.case("tokens")
@examples(200)
@given(TEXT, TEXT, st.dictionaries(st.sampled_from(["x-ms-date", "date", "range", "content-length"]), TEXT))
def test_no_made_up_signature_fits(authorization: str, query: str, headers: dict[str, str]) -> None:
    key = base64.b64encode(b"k" * 64).decode()
    for given_one in (authorization, f"SharedKey localstore:{authorization}", "SharedKey localstore:"):
        assert not sharedkey.matches(given_one, "GET", "/azureml-blobstore/x", query, headers, key)


@pytest.mark.case("slow-and-huge", "malformed-requests")
@examples(500)
@given(
    st.one_of(
        st.binary(max_size=60),
        JSON.map(lambda v: json.dumps(v).encode()),
        st.text('[]{}",:\\ud8dc0', max_size=80).map(str.encode),
    )
)
def test_json_that_passes_can_be_read_and_written_again(body: bytes) -> None:
    try:
        check_json(body)
        value = json.loads(body)
    except (Refusal, json.JSONDecodeError):
        return
    json.dumps(value, ensure_ascii=False).encode("utf-8")


@pytest.mark.case("slow-and-huge")
@pytest.mark.parametrize("depth", [MAX_DEPTH - 1, MAX_DEPTH, MAX_DEPTH + 1, 2000])
def test_nesting_is_counted_outside_strings(depth: int) -> None:
    body = b'{"a":' * depth + b'"[[[[{{{{\\"[["' + b"}" * depth
    if depth > MAX_DEPTH:
        with pytest.raises(Refusal, match="deeper than"):
            check_json(body)
    else:
        check_json(body)
        check_json(json.dumps("[" * depth + "]" * depth * 2).encode())


@pytest.mark.case("malformed-requests")
@examples(100)
@given(st.binary(max_size=60), st.integers(0, 3))
def test_a_damaged_idx_file_is_refused_in_a_sentence(tmp_path_factory: Any, data: bytes, magic: int) -> None:
    from utils import load_data

    path = tmp_path_factory.getbasetemp() / "damaged-idx.gz"
    head = [b"", b"\0\0\x08\x03", b"\0\0\x08\x01", b"\0\0\x08\x03\xff\xff\xff\xff"][magic]
    path.write_bytes(gzip.compress(head + data, 1))
    with contextlib.suppress(ValueError):
        load_data(str(path), label=magic == 2)
