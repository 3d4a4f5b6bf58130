"""Requests that nobody thought of: no fault of the server, no write outside its store.

Two kinds. By the OpenAPI document, with schemathesis: whatever parameters and bodies it lets through, of every
operation. And by `samples`: what the SDK sends, with a part or two replaced by something else.

The tests take a bounded number of examples, always the same. ``make fuzz`` takes many times as many, and new ones.
"""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import httpx
import pytest
import schemathesis
from hypothesis import given
from hypothesis import strategies as st
from security.conftest import Inside, examples
from security.samples import KNOWN, SAMPLES, Sample

from azureml_local.names import DEFAULT_NAME
from azureml_local.server.app import api_routes, plain_routes

OPERATIONS, MUTATIONS = 4, 40  # examples for each operation, and for each sample
# What would make every other request fail (that is what it is for), or takes the names away that the others use.
LEFT_OUT = {("POST", "/local/simulations"), ("DELETE", "/history/v1.0{ws}/experimentids/{experiment_id}")}
WORKSPACE = {
    "subscription_id": DEFAULT_NAME.subscription_id,
    "resource_group": DEFAULT_NAME.resource_group,
    "workspace_name": DEFAULT_NAME.name,
}


@pytest.fixture(scope="module")
def populated(inside: Inside, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Inside]:
    """A workspace that has one of each thing; nobody asks the network for MNIST."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AZUREML_LOCAL_OFFLINE", "1")
        for sample in SAMPLES:
            answer = send(inside, sample)
            assert answer.status_code < 300, f"{sample.method} {sample.path}: {answer.text}"
        root = inside.context.workspace.folder.root
        around = outside(root)
        yield inside
        assert outside(root) == around, "something was written outside the store"


def outside(root: Path) -> set[Path]:
    """All that lies around the store, some folders up: what a path with a few `..` in it would make."""
    return {path for path in root.parents[3].rglob("*") if not path.is_relative_to(root)}


def send(inside: Inside, sample: Sample) -> httpx.Response:
    content = json.dumps(sample.body).encode()
    path = sample.path.replace("{ws}", DEFAULT_NAME.arm_id)
    return inside.client.request(sample.method, path, content=content, headers={"Content-Type": "application/json"})


def check(answer: httpx.Response, what: str) -> None:
    """An answer in Azure's shape, and no fault."""
    assert answer.status_code < 500 or answer.status_code == 501, f"{what}: {answer.status_code} {answer.text[:500]}"
    kind = answer.headers.get("content-type", "")
    if answer.status_code >= 400 and kind.startswith("application/json"):
        body = answer.json()
        if "error_description" in body:  # OAuth 2.0's (RFC 6749, 5.2)
            body = {"error": {"code": body["error"], "message": body["error_description"]}}
        # MLflow's and pipelines' services have shapes of their own.
        error = {key.lower(): value for key, value in body.get("error", body.get("Error", body)).items()}
        if "error_code" in body:
            error = {"code": body["error_code"], "message": body["message"]}
        # A word; HyperDrive's is the status (azureml.train.restclients.hyperdrive.models.ErrorResponse).
        assert isinstance(error["code"], str) or ("/hyperdrive/" in what and error["code"] == answer.status_code), what
        assert error["message"], what


def key_of(populated: Inside, path: str) -> str:
    """The key that an address of this kind has in it."""
    if path.startswith(("/adfs/", "/metadata/")):
        return populated.context.secrets.sign_in_key()
    return populated.context.mirror_key if "/mirror/" in path else populated.context.secrets.view_key


def schema_of(app: Any) -> Any:
    return schemathesis.openapi.from_dict(app.openapi())


def operations() -> list[Any]:
    """Every operation of both applications. Made when the tests are collected, without a server."""
    found = []
    for name, make in (("api", api_routes), ("plain", plain_routes)):
        nobody: Any = None  # is asked: the applications are only looked at
        for result in schema_of(make(nobody)).get_all_operations():
            operation = result.ok()
            short = operation.path.replace(
                "/subscriptions/{subscription_id}/resourceGroups/{resource_group}"
                "/providers/Microsoft.MachineLearningServices/workspaces/{workspace_name}",
                "{ws}",
            )
            if (operation.method.upper(), short) not in LEFT_OUT:
                found.append(pytest.param(name, operation, id=f"{operation.method.upper()} {short}"))
    return found


@pytest.mark.case("malformed-requests")
@pytest.mark.parametrize(("application", "operation"), operations())
def test_fuzzed_request_valid_by_the_openapi_document_is_answered(
    populated: Inside, application: str, operation: Any
) -> None:
    client = populated.client if application == "api" else populated.plain

    @examples(OPERATIONS)
    @given(operation.as_strategy(), st.data())
    def ask(case: Any, data: st.DataObject) -> None:
        path = operation.path
        for name, value in (case.path_parameters or {}).items():
            if name in WORKSPACE:
                value = WORKSPACE[name]
            elif name == "key":
                value = key_of(populated, operation.path)
            elif name in KNOWN and data.draw(st.booleans()):
                value = KNOWN[name]
            for pattern in ("{" + name + "}", "{" + name + ":path}"):
                path = path.replace(pattern, quote(str(value), safe=""))
        sent = case.as_transport_kwargs(base_url="http://localhost")
        options: dict[str, Any] = {"params": sent.get("params")}
        if sent.get("json") is not None:
            options |= {"content": json.dumps(sent["json"]).encode(), "headers": {"Content-Type": "application/json"}}
        answer = client.request(operation.method.upper(), path, **options)
        check(answer, f"{operation.method} {path} {options}")

    ask()


TEXTS = (
    *("", " ", ".", "..", "../../x", "/etc/passwd", "a/../../b", "%2e%2e", "\0", "a\0b", "a" * 300, "a" * 3000),
    *("null", "NaN", "true", "-1", "P1Y", "PT" + "9" * 400 + "S", "'", "{{7*7}}", "$(id)", "; ls", "<script>"),
    *("\u202e", "\U0001f98a"),
)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([2**63, -(2**63) - 1, 10**40, -1, 0, 1e308, math.nan, math.inf, -math.inf]),
    st.floats(),
    TEXT,
    st.sampled_from(TEXTS),
    st.lists(st.one_of(st.none(), st.integers(), st.text(max_size=5)), max_size=3),
    st.dictionaries(st.text(max_size=5), st.one_of(st.none(), st.integers(), st.text(max_size=5)), max_size=3),
)


def places(body: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where a body has a value: paths of keys and indices."""
    inner: Any = body.items() if isinstance(body, dict) else enumerate(body) if isinstance(body, list) else ()
    return [at, *(place for key, value in inner for place in places(value, (*at, key)))]


def put(body: Any, place: tuple[Any, ...], value: Any) -> Any:
    if not place:
        return value
    at = body
    for key in place[:-1]:
        at = at[key]
    at[place[-1]] = value
    return body


@st.composite
def mutated(draw: st.DrawFn, body: Any) -> Any:
    """A body with one or two of its values replaced, left out, or wrapped."""
    changed = copy.deepcopy(body)
    for _ in range(draw(st.integers(1, 2))):
        place = draw(st.sampled_from(places(changed)))
        how = draw(st.sampled_from(["replace", "replace", "replace", "remove", "rename", "wrap"]))
        at = changed
        for key in place[:-1]:
            at = at[key]
        if how == "remove" and place:
            at.pop(place[-1])
        elif how == "rename" and place and isinstance(at, dict):
            at[draw(st.text(st.characters(exclude_categories=["Cs"]), max_size=20))] = at.pop(place[-1])
        elif how == "wrap":
            value = at[place[-1]] if place else changed
            changed = put(changed, place, draw(st.sampled_from([[value], {"value": value}, [value] * 3])))
        else:
            changed = put(changed, place, draw(ODD))
    return changed


@pytest.mark.case("malformed-requests")
@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: f"{sample.method} {sample.path[:70]}")
def test_fuzzed_request_nearly_valid_is_answered(populated: Inside, sample: Sample) -> None:
    @examples(MUTATIONS)
    @given(mutated(sample.body))
    def ask(body: Any) -> None:
        check(send(populated, sample._replace(body=body)), f"{sample.method} {sample.path} {body!r}")

    ask()


WRITTEN = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=30)
HEADERS = (
    *("x-ms-blob-type", "x-ms-range", "Range", "Content-MD5", "If-Match", "If-None-Match", "If-Modified-Since"),
    *("If-Unmodified-Since", "x-ms-blob-content-type", "x-ms-blob-content-md5", "x-ms-meta-a", "x-ms-copy-source"),
    *("x-ms-blob-condition-appendpos", "x-ms-blob-condition-maxsize", "x-ms-range-get-content-md5", "x-ms-version"),
)
VALUES = (
    *(
        "BlockBlob",
        "AppendBlob",
        "PageBlob",
        "bytes=0-",
        "bytes=-1",
        "bytes=5-2",
        "bytes=0-99999999999999999999",
        "*",
        '"0x0"',
    ),
    *(
        "1",
        "-1",
        "9" * 40,
        "true",
        "AAAA",
        "Tue, 24 Nov 2026 00:00:00 GMT",
        "Tue, 99 Foo 2026 00:00:00 GMT",
        "2021-08-06",
    ),
)
QUERY = (
    *(
        "block",
        "blocklist",
        "appendblock",
        "metadata",
        "properties",
        "list",
        "tags",
        "lease",
        "snapshot",
        "copy",
        "tier",
    ),
    *("container", "QQ==", "QUJD", "all", "committed", "0", "1", "-1", "9" * 30, "/", "LocalUpload/", "\0", "x"),
)
XML = st.lists(
    st.sampled_from(
        (
            "<BlockList>",
            "</BlockList>",
            "<Latest>",
            "</Latest>",
            "QQ==",
            "QUJD",
            "<Committed>",
            "</Committed>",
            "<",
            "&x;",
            '<?xml version="1.0"?>',
            '<!DOCTYPE x [<!ENTITY x "y">]>',
            "\x00",
            "<a/>",
            "x" * 50,
        )
    ),
    max_size=10,
).map(lambda pieces: "".join(pieces).encode())


@pytest.mark.case("uploads", "malformed-requests")
def test_fuzzed_blob_request_is_answered(populated: Inside) -> None:
    """With a signature that allows it all; clients that have one write what they like."""

    @examples(15 * MUTATIONS)
    @given(
        st.sampled_from(["GET", "HEAD", "PUT", "DELETE", "POST", "PATCH"]),
        st.sampled_from(["LocalUpload/fuzz/a", "LocalUpload/fuzz/b", ""]),
        st.dictionaries(
            st.sampled_from(
                [
                    "comp",
                    "restype",
                    "blockid",
                    "blocklisttype",
                    "prefix",
                    "delimiter",
                    "maxresults",
                    "marker",
                    "include",
                ]
            ),
            st.one_of(st.sampled_from(QUERY), TEXT),
            max_size=4,
        ),
        st.dictionaries(st.sampled_from(HEADERS), st.one_of(st.sampled_from(VALUES), WRITTEN), max_size=4),
        st.one_of(st.binary(max_size=40), XML),
    )
    def ask(method: str, name: str, query: dict[str, str], headers: dict[str, str], body: bytes) -> None:
        signed = populated.context.urls._query("rwdl", "azureml", name)
        path = f"/azureml/{name}".rstrip("/") + f"?{signed}&{urlencode(query)}"
        answer = populated.anonymous.request(method, path, headers=headers, content=body)
        what = f"{method} {name} {query} {headers} {body!r}"
        assert answer.status_code < 500 or answer.status_code == 501, (
            f"{what}: {answer.status_code} {answer.text[:500]}"
        )
        if answer.status_code >= 400 and method != "HEAD":
            assert answer.headers.get("x-ms-error-code") or answer.status_code in (412, 416), what

    ask()


@pytest.mark.case("malformed-requests")
def test_fuzzed_store_can_still_be_read(populated: Inside) -> None:
    """Whatever the requests before left in the store: lists, pages and single things come without a fault."""
    for path in (
        "/history/v1.0{ws}/experiments/fuzzed/runs/{run_id}",
        "/history/v1.0{ws}/experiments/fuzzed/runs/{run_id}/details",
        "/history/v1.0{ws}/experiments/fuzzed/runs/{run_id}/children",
        "/rp/workspaces{ws}/computes",
        "/environment/v1.0{ws}/environments/",
        "/dataset/v1.0{ws}/datasets",
        "/modelmanagement/v1.0{ws}/models",
        "/credential/v2.0{ws}/secrets",
        "/local/status",
    ):
        answer = send(populated, Sample("GET", path.replace("{run_id}", KNOWN["run_id"]), {}))
        assert answer.status_code == 200, f"{path}: {answer.text}"
    for sample in SAMPLES:
        if sample.path.endswith((":query", "/list", "/full")):
            assert send(populated, sample).status_code == 200, sample
    for path in ("", f"/runs/{KNOWN['run_id']}", "/experiments/fuzzed"):
        answer = populated.plain.request("GET", f"/studio/{populated.context.secrets.view_key}{path}")
        assert answer.status_code == 200, path
