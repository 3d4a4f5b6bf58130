"""Names that hold what parts one field, line or word from the next."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from azureml_local.client.instance import LocalServer
from azureml_local.names import DEFAULT_NAME
from azureml_local.server.access.auth import BlobUrls
from azureml_local.storage.blobnames import check_name
from azureml_local.storage.blobs import BlobError
from azureml_local.storage.folder import Secrets
from azureml_local.workspace.artifacts import blob_name, new_blob_name

from .conftest import examples

ARTIFACTS = f"/artifact/v2.0{DEFAULT_NAME.arm_id}/artifacts"
FIELD = st.text(st.sampled_from('rw9/\n",[]\\\0\u0085é'), max_size=6)
FIELDS = st.tuples(FIELD, FIELD, FIELD, FIELD)


@pytest.mark.case("unambiguous-bytes")
@examples(500)
@given(FIELDS, FIELDS)
def test_signature_differs_when_any_field_differs(one: tuple[str, ...], other: tuple[str, ...]) -> None:
    assume(one != other)
    urls = BlobUrls("https://localhost", Secrets.fresh())
    assert urls._signature(*one) != urls._signature(*other)


@pytest.mark.case("unambiguous-bytes")
def test_signature_of_newlines_in_a_name_opens_no_other_blob() -> None:
    urls = BlobUrls("https://localhost", Secrets.fresh())
    name, later = "ExperimentRun/dcid.other/model.pkl", "99999999999"
    signed = httpx.URL(urls.write("azureml", f"ExperimentRun/dcid.own/wd\n{later}\nazureml\n{name}")).params
    moved = f"{signed['sp']}\n{signed['se']}\nazureml\nExperimentRun/dcid.own/wd"
    with pytest.raises(BlobError, match="doesn't allow this"):
        urls.check("azureml", name, "w", {"sp": moved, "se": later, "sig": signed["sig"]})


@pytest.mark.case("unambiguous-bytes")
@pytest.mark.parametrize("character", ["\n", "\r", "\t", "\x00", "\x1b", "\x7f", "\x85", "\x9f"])
def test_control_characters_in_a_blob_name_are_refused(server: LocalServer, character: str) -> None:
    with pytest.raises(BlobError):
        check_name(f"a{character}b")
    with server._client() as api:
        paths = {"paths": [{"path": f"outputs/a{character}b"}]}
        answer = api.post(f"{ARTIFACTS}/batch/metadata/LocalUpload/names", json=paths)
    assert answer.status_code == 400, answer.text


@pytest.mark.case("unambiguous-bytes")
def test_control_characters_in_names_are_refused_through_the_sdk(
    workspace: Any, experiment: Any, tmp_path: Path
) -> None:
    from azureml.core import Dataset

    file = tmp_path / "x.txt"
    file.write_text("x")
    dataset = Dataset.File.from_files("https://localhost/x.txt", validate=False)
    run = experiment.start_logging(snapshot_directory=None)

    def rename(name: str) -> None:
        run.display_name = name

    for asked in (
        lambda: run.upload_file("outputs/a\nb", str(file)),
        lambda: dataset.register(workspace, "a\x1b[31mb"),
        lambda: run.tag("a\nb", "value"),
        lambda: run.add_properties({"a\nb": "value"}),
        lambda: rename("a\x1b]0;owned\x07"),
    ):
        _refused(asked)
    run.tag("note", "two\nlines")  # a value is no name
    assert run.get_tags() == {"note": "two\nlines"}
    run.log("a\nb", 1.0)  # which the SDK says in its log
    run.log("loss", 1.0)
    run.complete()
    assert not [name for name in run.get_file_names() if "\n" in name]
    assert run.get_metrics() == {"loss": 1.0}


def _refused(action: Callable[[], object]) -> None:
    with pytest.raises(Exception, match=r"control characters"):
        action()


@pytest.mark.case("unambiguous-bytes")
def test_artifact_with_control_characters_of_an_older_store_can_be_asked_for() -> None:
    assert blob_name("ExperimentRun", "dcid.x", "outputs/a\x1bb") == "ExperimentRun/dcid.x/outputs/a\x1bb"
    with pytest.raises(BlobError, match="control characters"):
        new_blob_name("ExperimentRun", "dcid.x", "outputs/a\x1bb")
