"""What users and jobs put into a workspace stays content: it is shown, or handed out, and nothing of it runs."""

from __future__ import annotations

import os
import pickle
import re
import socket
import zipfile
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from security.conftest import Inside

from azureml_local.names import DEFAULT_NAME
from azureml_local.opendata.idx import FILE_NAMES
from azureml_local.runtime.dataflows import Fingerprints, Mirror, mirrored
from azureml_local.runtime.left import left_in
from azureml_local.server import errors
from azureml_local.server.dataplane.runconfiguration import parse_run_configuration as parse
from azureml_local.workspace.errors import WorkspaceError

ROOT = Path(__file__).parents[2]
HISTORY = f"/history/v1.0{DEFAULT_NAME.arm_id}"
SCRIPT = "<script>alert(1)</script>"
IMAGE = "\"><img src=x onerror=alert(1)>'"
TEMPLATE = "{{7*'7'}}{% for x in ().__class__.__base__.__subclasses__() %}{{x}}{% endfor %}${7*7}#{7*7}"


class Tags(HTMLParser):
    """The names of all tags and attributes of a page, as a browser sees them."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.attributes: set[str] = set()
        self.scripts: list[str] = []
        self.images: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        self.attributes |= {name for name, _ in attrs}
        if tag in ("script", "img"):
            (self.scripts if tag == "script" else self.images).append(dict(attrs).get("src") or "inline")


def put_file(inside: Inside, run_id: str, path: str, content: bytes, kind: str) -> None:
    url = f"/artifact/v2.0{DEFAULT_NAME.arm_id}/artifacts/batch/metadata/ExperimentRun/dcid.{run_id}"
    answer = inside.client.request("POST", url, json={"paths": [{"path": path}]}).json()
    write = httpx.URL(answer["artifactContentInformation"][path]["contentUri"])
    headers = {"x-ms-blob-type": "BlockBlob", "x-ms-blob-content-type": kind}
    where = write.raw_path.decode()
    assert inside.anonymous.request("PUT", where, content=content, headers=headers).status_code == 201


@pytest.mark.case("stored-scripts", "templates")
def test_scripts_and_templates_in_what_is_stored_are_text_on_the_pages(inside: Inside) -> None:
    for number, text in enumerate((SCRIPT, IMAGE, TEMPLATE)):
        run_id = f"shown_{number}"
        body = {
            "runId": run_id,
            "target": "local",
            "status": "NotStarted",
            "tags": {"t": text},
            "properties": {"p": text},
        }
        body |= {"displayName": text, "description": text, "runType": text, "scriptName": text}
        assert inside.client.request("POST", f"{HISTORY}/experiments/shown").status_code == 200
        answer = inside.client.request("PATCH", f"{HISTORY}/experiments/shown/runs/{run_id}", json=body)
        assert answer.status_code == 200, answer.text
        metric = {"name": text, "columns": {text: "string"}, "value": [{"data": {text: text}}]}
        metrics = f"/metric/v2.0{DEFAULT_NAME.arm_id}/runs/{run_id}/batch"
        assert inside.client.request("POST", metrics, json={"values": [metric]}).status_code == 200
        error = {"name": "Microsoft.MachineLearning.Run.Error", "data": {"ErrorResponse": {"error": {"message": text}}}}
        assert inside.client.request("POST", f"{HISTORY}/experiments/shown/runs/{run_id}/events", json=error).is_success
        put_file(inside, run_id, f"outputs/{number}<b>.html", SCRIPT.encode(), "text/html")
        put_file(inside, run_id, "user_logs/std_log.txt", text.encode(), "text/html")
        base = f"/studio/{inside.context.secrets.view_key}"
        pages = ("", "/models", "/data", "/compute", "/experiments/shown", f"/compare?run={run_id}&run=shown_0")
        of_run = ("", "/outputs", "/code", "/environment", f"/view/outputs/{number}%3Cb%3E.html")
        for path in (*(pages if number else pages[:-1]), *(f"/runs/{run_id}{part}" for part in of_run)):
            page = inside.plain.request("GET", base + path)
            assert page.status_code == 200, path
            found = Tags()
            found.feed(page.text)
            assert not found.names & {"iframe", "object", "embed", "base"}
            assert not [name for name in found.attributes if name.startswith(("on", "hx-"))]
            assert "style" not in found.attributes
            # The page's own scripts and pictures, which are files; no text in a script element.
            own = f"{base}/static/"
            assert len(found.scripts) == 5
            assert all(source.startswith(own) for source in found.scripts)
            assert "alert(1)" not in page.text.partition("<body")[0].partition("<title>")[0]
            assert all(source.startswith(f"{base}/data/mnist.png") for source in found.images)
            assert "7777777" not in page.text
            policy = page.headers["content-security-policy"]
            assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
            assert "unsafe" not in policy


@pytest.mark.case("stored-scripts")
@pytest.mark.parametrize("kind", ["text/html", "image/svg+xml", "application/xhtml+xml", "text/javascript"])
def test_files_are_downloads_whatever_type_they_say_they_are(inside: Inside, kind: str) -> None:
    run_id = "served"
    inside.client.request("POST", f"{HISTORY}/experiments/shown")
    inside.client.request(
        "PATCH", f"{HISTORY}/experiments/shown/runs/{run_id}", json={"runId": run_id, "target": "local"}
    )
    put_file(inside, run_id, "outputs/page.html", SCRIPT.encode(), kind)
    where = f"/artifact/v2.0{DEFAULT_NAME.arm_id}/artifacts/contentinfo/ExperimentRun/dcid.{run_id}/outputs/page.html"
    signed = httpx.URL(inside.client.request("GET", where).json()["contentUri"]).raw_path.decode()
    page = f"/studio/{inside.context.secrets.view_key}/runs/{run_id}/files/outputs/page.html"
    for answer in (inside.anonymous.request("GET", signed), inside.plain.request("GET", page)):
        assert answer.content == SCRIPT.encode()
        assert answer.headers["content-disposition"].startswith("attachment")
        assert "sandbox" in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"


class Bomb:
    """Its pickle makes a folder when it is opened."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (self.path,)


@pytest.mark.case("unpickling")
def test_a_model_that_runs_code_when_it_is_opened_is_never_opened(inside: Inside, tmp_path: Path) -> None:
    sign = tmp_path / "opened"
    run_id = "pickled"
    inside.client.request("POST", f"{HISTORY}/experiments/shown")
    inside.client.request(
        "PATCH", f"{HISTORY}/experiments/shown/runs/{run_id}", json={"runId": run_id, "target": "local"}
    )
    put_file(inside, run_id, "outputs/model.pkl", pickle.dumps(Bomb(str(sign))), "application/octet-stream")
    management = f"/modelmanagement/v1.0{DEFAULT_NAME.arm_id}"
    asset = {"name": "bomb", "artifacts": [{"prefix": f"ExperimentRun/dcid.{run_id}/outputs/model.pkl"}]}
    made = inside.client.request("POST", f"{management}/assets", json=asset).json()
    model = {"name": "bomb", "url": f"aml://asset/{made['id']}", "mimeType": "application/json", "runId": run_id}
    assert inside.client.request("POST", f"{management}/models", json=model).is_success
    for path in (f"{management}/models", f"{management}/assets/{made['id']}"):
        assert inside.client.request("GET", path).status_code == 200
    assert inside.plain.request("GET", f"/studio/{inside.context.secrets.view_key}/runs/{run_id}").status_code == 200
    assert not sign.exists()
    pickle.loads(pickle.dumps(Bomb(str(sign))))
    assert sign.exists()  # that it would have shown


@pytest.mark.case("malformed-requests")
@pytest.mark.parametrize(
    "field",
    [
        b'"kvTags": ["a"]',
        b'"description": 1',
        b'"datasets": [{"name": "x"}]',
        b'"datasets": {}',
        b'"unpack": "no"',
        b'"resourceRequirements": {"cpu": NaN}',
    ],
)
def test_model_field_of_another_type_is_refused(inside: Inside, field: bytes) -> None:
    management = f"/modelmanagement/v1.0{DEFAULT_NAME.arm_id}"
    body = b'{"name": "odd", "url": "aml://asset/x", %s}' % field
    headers = {"Content-Type": "application/json"}
    refused = inside.client.request("POST", f"{management}/models", content=body, headers=headers)
    assert (refused.status_code, refused.json()["code"]) == (400, "BadArgument")
    assert inside.client.request("GET", f"{management}/models?name=odd").json()["value"] == []


@pytest.mark.case("malformed-requests")
def test_run_made_with_a_status_is_refused(inside: Inside) -> None:
    inside.client.request("POST", f"{HISTORY}/experiments/shown")
    place = f"{HISTORY}/experiments/shown/runs/finished-already"
    refused = inside.client.request("PATCH", place, json={"target": "local", "status": "Completed"})
    assert refused.status_code == 400
    assert "set by its events" in refused.json()["error"]["message"]
    assert inside.client.request("GET", place).status_code == 404


@pytest.mark.case("links-and-devices")
def test_job_outputs_other_than_plain_files_are_ignored(tmp_path: Path) -> None:
    outputs = tmp_path / "outputs"
    (outputs / "deep").mkdir(parents=True)
    (outputs / "deep" / "kept.txt").write_text("kept")
    (outputs / "link").symlink_to("/etc/passwd")
    (outputs / "folder").symlink_to("/etc")
    (outputs / "loop").symlink_to(outputs)
    os.mkfifo(outputs / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        before = Path.cwd()
        os.chdir(outputs)  # a socket's path must be short
        try:
            listener.bind("socket")
        finally:
            os.chdir(before)
        found = left_in(tmp_path, "outputs")
        assert found.files == {"outputs/deep/kept.txt": outputs / "deep" / "kept.txt"}
        assert found.odd == {
            "outputs/link": "a link",
            "outputs/folder": "a link",
            "outputs/loop": "a link",
            "outputs/pipe": "no regular file",
            "outputs/socket": "no regular file",
        }
    (tmp_path / "logs").symlink_to("/etc")
    assert left_in(tmp_path, "logs").files == {}
    assert left_in(tmp_path / "logs", "").odd == {"": "logs is a link"}


@pytest.mark.case("path-traversal", "yaml")
def test_mnist_shortcut_copies_into_the_jobs_folder_only(inside: Inside, tmp_path: Path) -> None:
    for name in FILE_NAMES:
        (tmp_path / name).write_bytes(b"x")
    mirror = Mirror("https://here/opendata/mnist", lambda: tmp_path)
    right, wrong = "https://here/opendata/mnist/original/", "https://here/opendata/mnist/../../../../../../tmp/"
    assert mirrored(f"paths:\n- file: {right}{FILE_NAMES[0]}\n", mirror) is not None
    assert mirrored(f"paths:\n- file: {wrong}{FILE_NAMES[0]}\n", mirror) is None
    bomb = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"{chr(98 + i)}: &{chr(98 + i)} [{','.join(['*' + chr(97 + i)] * 9)}]\n" for i in range(12)
    )
    for text in (bomb, "[" * 5000, "x" * 1_000_000, "!!python/object/apply:os.mkdir [opened]", "\0", "paths: 1"):
        assert mirrored(text, mirror) is None
        assert Fingerprints(inside.context.workspace, mirror).of(text) is None
    assert not Path("opened").exists()


@pytest.mark.case("path-traversal", "shell-words")
@pytest.mark.parametrize("name", ["../x", "/x", "a/b", "", ".", "..", "a=b", "a b", "a\nb", "a\0b", "x" * 300])
def test_inputs_and_outputs_have_names_that_a_folder_and_a_variable_can_have(name: str) -> None:
    dataset = {"dataLocation": {"dataset": {"id": "x"}}, "mechanism": "download"}
    for part in (
        {"data": {name: dataset}},
        {"data": {"x": {**dataset, "environmentVariableName": name or "="}}},
        {"outputData": {name: {}}},
    ):
        with pytest.raises(WorkspaceError):
            parse({"target": "c", "script": "x.py", **part})


@pytest.mark.case("archives")
def test_a_snapshot_is_packed_with_paths_that_stay_where_they_are_unpacked(inside: Inside, tmp_path: Path) -> None:
    snapshots, blobs = inside.context.workspace.snapshots, inside.context.workspace.blobs
    blobs.put_bytes("snapshots", "files/x", b"text")
    for name in ("..", "../x", "/x", "a/b", "a\\b", "a\0b", ""):
        tree = {"type": "Directory", "children": {name: {"type": "File", "hash": "h"}}}
        with pytest.raises(WorkspaceError):
            snapshots.create("hostile", None, tree, {name: "files/x"})
    inner = {"type": "Directory", "children": {"b.txt": {"type": "File", "hash": "h"}}}
    snapshots.create("fine", None, {"type": "Directory", "children": {"a": inner}}, {"a/b.txt": "files/x"})
    archive = tmp_path / "fine.zip"
    archive.write_bytes(blobs.read_bytes("snapshots", snapshots.zipped("fine")))
    with zipfile.ZipFile(archive) as opened:
        assert [name for name in opened.namelist() if not name.endswith("/")] == ["a/b.txt"]


@pytest.mark.case("archives", "path-traversal")
def test_a_snapshots_id_belongs_to_its_files_for_ever(inside: Inside) -> None:
    snapshots, blobs = inside.context.workspace.snapshots, inside.context.workspace.blobs
    blobs.put_bytes("snapshots", "files/y", b"text")
    tree = {"type": "Directory", "children": {"a.py": {"type": "File", "hash": "h1"}}}
    other = {"type": "Directory", "children": {"a.py": {"type": "File", "hash": "h2"}}}
    for _ in range(2):  # sent again, as when the answer was lost
        snapshots.create("mine", None, tree, {"a.py": "files/y"})
    with pytest.raises(WorkspaceError, match="already"):
        snapshots.create("mine", None, other, {"a.py": "files/y"})
    assert snapshots.get("mine").files["a.py"]["hash"] == "h1"


@pytest.mark.case("tracebacks", "secrets-unseen")
def test_server_fault_is_answered_with_one_sentence_and_logs_no_key(
    inside: Inside, caplog: pytest.LogCaptureFixture
) -> None:
    import asyncio

    app = FastAPI()
    errors.install(app)

    @app.get("/studio/{key}/runs/{run}")
    def faulty(key: str, run: str) -> None:
        raise RuntimeError("a fault for the test")

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return await client.get("/studio/the-key/runs/x")

    answer = asyncio.run(ask())
    assert answer.status_code == 500
    assert set(answer.json()) == {"error"}
    assert "Traceback" not in answer.text
    assert "a fault for the test" not in answer.text
    assert "a fault for the test" in caplog.text  # where it is looked for
    assert "the-key" not in caplog.text
    assert "Traceback" in caplog.text


@pytest.mark.case("secrets-unseen")
def test_errors_of_the_database_name_no_values(inside: Inside) -> None:
    from sqlalchemy import text
    from sqlalchemy.exc import DBAPIError

    with inside.context.workspace.database.read() as session, pytest.raises(DBAPIError) as raised:
        session.execute(text("SELECT * FROM nowhere WHERE value = :value"), {"value": "a-secret"})
    assert "a-secret" not in str(raised.value)


@pytest.mark.case("container")
def test_the_container_runs_as_a_user_without_rights_and_holds_nothing_of_this_machine() -> None:
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    (user,) = [number for number, line in enumerate(lines) if line.startswith("USER ")]
    assert lines[user].split()[1] not in ("root", "0")
    # The code and the packages come after that; what has root's rights is the system's own packages.
    assert all(
        number > user for number, line in enumerate(lines) if line.startswith(("COPY", "ADD", "ENTRYPOINT", "CMD"))
    )
    assert not re.search(r"docker\.sock|--privileged|VOLUME|EXPOSE", "\n".join(lines))
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert {".git", "config.json", ".azureml-local"} <= set(ignored)
