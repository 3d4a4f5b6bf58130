"""What parsers of foreign text take for four times the text: about four times as long, whatever the text.

A regular expression holds Python's interpreter lock: one that grows with the square of its text lets one request of
40 kB freeze the server for everybody.
"""

from __future__ import annotations

import contextlib
import itertools
import re
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest
from starlette.requests import Request

from azureml_local.cluster import faultinjection
from azureml_local.cluster.remote import scheduler
from azureml_local.runtime import conda, conda_names, dataflows, installer
from azureml_local.runtime.environments import _Log
from azureml_local.server.access import permissions
from azureml_local.server.access.auth import BlobUrls, Tokens
from azureml_local.server.access.guard import Guard
from azureml_local.server.arm import computes
from azureml_local.server.blob import listings, sharedkey
from azureml_local.server.blob.conditions import condition_of
from azureml_local.server.dataplane.runconfiguration import _arguments
from azureml_local.server.http import bodies, odata, ranges
from azureml_local.server.http.multipart import BOUNDARY, parts_named
from azureml_local.server.studio import access, data, render
from azureml_local.storage import blobnames, clock
from azureml_local.storage.folder import Secrets
from azureml_local.workspace import comparison, datasets, texts
from azureml_local.workspace.identity import Identity

pytestmark = pytest.mark.case("growth")

LENGTH, TIMES = 2_000, 4
# Faster than this is not measured: what grows with the square takes longer for so many characters.
NOTHING = 0.02
UNITS = (
    *" \n\t\"'\\()[]{}<>,;:=./-_*@#%&|!~a1A?+",
    '\\"',
    "\\\\",
    "''",
    "a ",
    "1 ",
    "a=",
    "a,",
    "1.",
    "a-",
    "::",
    "a::",
    "://",
    "[]",
    '"[',
    "<a>",
    "\x1b[",
    "\x1b[;",
    "?sig=",
    "é",
    "a\n",
    "- a: b\n",
    "path: a\n",
    "\\u0041",
    " and ",
    "a eq b or ",
    "/a",
    "%20",
)
ENDS = ("", "!", "\\")


def _query(text: str) -> object:
    return odata.parse_filter(text[: odata.MAX_LENGTH])


def _conda(text: str) -> object:
    return conda.read_packages({"dependencies": [text]})


def _pip(text: str) -> object:
    return conda.read_packages({"dependencies": [{"pip": [text]}]})


def _request(header: str, text: str) -> Request:
    return Request({"type": "http", "headers": [(header.encode(), text.encode())]})


def _cookie(text: str) -> object:
    return access.cookie_of(_request("cookie", text))


def _permission(path: str) -> object:
    for method, rule in itertools.product(("GET", "POST"), permissions.RULES):
        rule.match(method, "history", path)
        rule.match(method, "environment", path)
    return permissions.ADDRESS.fullmatch(path)


def _body_kinds(path: str) -> object:
    return [kind.path.fullmatch(path) for kind in (bodies.LOCAL_RUN, bodies.SWEEP, bodies.NODE_BYTES)]


def _media_type(text: str) -> object:
    return [kind.fullmatch(text) for kind in (bodies.JSON, bodies.MULTIPART, bodies.OCTETS, bodies.FORM)]


def _guard(text: str) -> object:
    guard = Guard(cast(Any, None), 8843)
    headers = [(b"host", b"localhost:8843"), (b"origin", text.encode())]
    return guard._refusal({"headers": headers}), guard._is_us(text)


def _token(text: str) -> object:
    return TOKENS.check(text)


def _conditions(text: str) -> object:
    names = ("if-match", "if-none-match", "if-modified-since")
    return [condition_of({name: text}, reading=True) for name in names]


def _shared_key(text: str) -> object:
    return sharedkey.signature("GET", text, text, {"x-ms-date": text}, "localstore", "a2V5")


def _environment_log(text: str) -> object:
    return _Log(cast(Any, SimpleNamespace(write=lambda _: None, flush=lambda: None)))(text)


def _simulation(text: str) -> object:
    faultinjection.PATTERN.fullmatch(text)
    return faultinjection.Simulations().start("throttled", requests=text)


def _sources(text: str) -> object:
    return list(data.sources_of(text)), data.DATASTORE.sub("", text)


def _dataflow(text: str) -> object:
    dataflows.single_file(text)
    return dataflows.mirrored(text, dataflows.Mirror("https://localhost/x", lambda: cast(Any, None)))


def _multipart(text: str) -> object:
    BOUNDARY.search(text)
    return list(parts_named("definition.json", text.encode(), text[:1].encode("ascii", "ignore") or b"x"))


def _studio_filters(text: str) -> object:
    return [filter_(text) for filter_ in (render.path_part, render.path, render.number, render.plain_json)]


def _parameters(text: str) -> object:
    return comparison.parameters(comparison.as_list(text))


TOKENS = Tokens(Secrets.fresh(), cast(Identity, SimpleNamespace(workspace_id="w", principal_id="p", tenant_id="t")))
JSON_PREFIX = "[" * 101
# Each parser, and what it may be given first.
PARSERS: dict[str, tuple[Callable[[str], object], tuple[str, ...]]] = {
    "json": (lambda text: bodies.check_json(text.encode()), ("", JSON_PREFIX, JSON_PREFIX + '"')),
    "odata": (_query, ("", "RunId eq ", "RunId eq '", 'RunId eq "', "tags/", "(")),
    "order": (lambda text: odata.parse_order(text, ("RunId",)), ("", "RunId ")),
    "conda": (_conda, ("", "numpy ", "numpy 1", "numpy=1", "a::", "numpy >")),
    "pip": (_pip, ("", "numpy ", "numpy==1", "--index-url ", "--index-url https://", "git+https://", "numpy[", "a @ ")),
    "conda names": (
        lambda text: (conda_names.brought_along(text), conda_names.no_counterpart(text)),
        ("", "lib", "gcc-"),
    ),
    "words of uv": (lambda text: installer.telling_words([text, text], 1), ("", "error: ", "x")),
    "environment log": (_environment_log, ("", "https://", "\x1b[", "?sig=")),
    "paths of a job": (_permission, ("", "/", "/runs/", "/experiments/", "/environments/", "/subscriptions/")),
    "paths of bodies": (_body_kinds, ("", "/execution/", "/hyperdrive/", "/hyperdrive/runs")),
    "media types": (_media_type, ("", "application/")),
    "host and origin": (_guard, ("", "http://", "https://localhost")),
    "tokens": (_token, ("", "Bearer ", "Bearer a.", "Bearer W1tb.W1tb.")),
    "cookies": (_cookie, ("", "azureml-local=", 'azureml-local="', "a=b; ")),
    "forms": (lambda text: access.form_token_of(text.encode()), ("", "token=", "a=b&")),
    "ranges": (lambda text: ranges.parse_range(text, 100), ("", "bytes=", "bytes=1-")),
    "conditions": (_conditions, ("", '"', "Mon, ", "Mon, 01 Jan 2026 00:00:00 ")),
    "shared key": (_shared_key, ("", "a=")),
    "signed blob": (lambda text: BlobUrls("https://x", Secrets.fresh()).check("c", text, "r", {"se": text}), ("",)),
    "block list": (lambda text: listings.read_block_list(text.encode()), ("", "<BlockList>", "<BlockList><Latest>")),
    "multipart": (_multipart, ("", 'boundary="', "--x\r\n")),
    "durations": (lambda text: computes._seconds(text, 1.0), ("", "P", "PT", "PT1.")),
    "times": (clock.normal, ("", "2026-01-01T00:00:00.")),
    "blob names": (blobnames.check_name, ("", "a/")),
    "texts": (lambda text: texts.texts("tags", {text: text}), ("",)),
    "dataset": (datasets.rust_dataflow, ("", '{"meta": {"RsDataflow": "')),
    "sources of a dataset": (
        _sources,
        ("", "paths:", "path: ", "- file: '", "- pattern: a", "path: azureml://subscriptions/"),
    ),
    "addresses of schedulers": (scheduler.ADDRESS.fullmatch, ("", "tcp://")),
    "simulations": (_simulation, ("", "GET *", "*")),
    "studio's filters": (_studio_filters, ("",)),
    "parameters": (_parameters, ("", "--a ", "--")),
    "arguments": (_arguments, ("", '"', "'")),
}
# PyYAML takes a second for a few thousand characters of some texts, so these are few.
SLOW: dict[str, tuple[Callable[[str], object], tuple[str, ...]]] = {
    "yaml": (_dataflow, ("", "paths:\n", "paths: ", "- ")),
}


def seconds(parser: Callable[[str], object], text: str) -> float:
    """What it takes of this thread's CPU, refused or not."""
    began = time.thread_time()
    with contextlib.suppress(Exception):  # which refusal it is, other tests ask
        parser(text)
    return time.thread_time() - began


def text_of(first: str, unit: str, last: str, length: int) -> str:
    return first + unit * (length // len(unit)) + last


def grows_too_fast(parser: Callable[[str], object], first: str, unit: str, last: str, length: int) -> bool:
    long = text_of(first, unit, last, length * TIMES)
    if seconds(parser, long) < NOTHING:
        return False
    # The least of several is the machine's own pace, others' work on it apart.
    for attempt in range(3):
        one = min(seconds(parser, text_of(first, unit, last, length)) for _ in range(3 + attempt))
        four = min(seconds(parser, long) for _ in range(2 + attempt))
        if four < TIMES * 2 * one:
            return False
    return True


def test_a_pattern_that_grows_with_the_square_is_found() -> None:
    blanks = re.compile(r"\s+(?=[<>=])")
    assert grows_too_fast(lambda text: blanks.sub("", text), "", " ", "x", LENGTH)


def test_a_data_flow_of_aliases_is_not_read() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 9)]
    for text in ("\n".join([*lines, "paths: [{file: *a8}]"]), "a: &a {x: 1}\npaths: [{<<: *a}]"):
        with pytest.raises(ValueError, match="not YAML"):
            dataflows.read_flow(text)


@pytest.mark.parametrize("name", PARSERS)
def test_four_times_the_text_takes_about_four_times_as_long(name: str) -> None:
    parser, firsts = PARSERS[name]
    found = [
        (first, unit, last)
        for first, unit, last in itertools.product(firsts, UNITS, ENDS)
        if grows_too_fast(parser, first, unit, last, LENGTH)
    ]
    assert not found


@pytest.mark.parametrize("name", SLOW)
def test_four_times_the_yaml_takes_about_four_times_as_long(name: str) -> None:
    parser, firsts = SLOW[name]
    found = [
        (first, unit)
        for first, unit in itertools.product(firsts, UNITS)
        if grows_too_fast(parser, first, unit, "", 500)
    ]
    assert not found
