"""A right is about the thing, not about the route: each thing that a job may not touch, by every route there is."""

from __future__ import annotations

import ssl
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from azureml_local.client.instance import LocalServer
from azureml_local.names import DEFAULT_NAME

pytestmark = pytest.mark.case("rights")

ARM = DEFAULT_NAME.arm_id
HISTORY, ARTIFACTS = f"/history/v1.0{ARM}", f"/artifact/v2.0{ARM}/artifacts"
BLOCK_BLOB = {"x-ms-blob-type": "BlockBlob"}
EVIL = b"what the job would put there"


@dataclass(frozen=True)
class Scene:
    """A client, a job of the run ``mine``, somebody with neither, and what the job may not touch."""

    client: httpx.Client
    job: httpx.Client
    anyone: httpx.Client
    mine: str
    theirs: str
    experiment: str
    model: str
    asset: str
    model_file: str
    run_file: str

    def content(self, name: str) -> bytes:
        answer = self.client.get(f"{ARTIFACTS}/content/{name}")
        assert answer.status_code == 200, answer.text
        return answer.content


@pytest.fixture(scope="module")
def scene(server: LocalServer, workspace: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    from azureml.core import Experiment, Model

    file = tmp_path_factory.mktemp("model") / "model.pkl"
    file.write_bytes(b"genuine")
    experiment = Experiment(workspace, "rights")
    mine, theirs = (experiment.start_logging(snapshot_directory=None) for _ in range(2))
    theirs.upload_file("outputs/model.pkl", str(file))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(file.parent)  # the SDK takes files below the current folder only
        model = Model.register(workspace, "model.pkl", "rights")
    endpoints = server.instance.endpoints
    trust = ssl.create_default_context(cafile=str(server.folder.tls / "ca.pem"))
    with (
        server._client() as client,
        httpx.Client(base_url=endpoints.api, verify=trust, trust_env=False) as job,
        httpx.Client(base_url=endpoints.api, verify=trust, trust_env=False) as anyone,
    ):
        token = client.get(f"{HISTORY}/runs/{mine.id}/token").json()["token"]
        job.headers["Authorization"] = f"Bearer {token}"
        asset = str(model.url).removeprefix("aml://asset/")
        # The job may look for the place.
        found = job.get(f"/modelmanagement/v1.0{ARM}/assets/{asset}").json()["artifacts"][0]["prefix"]
        assert found.startswith("LocalUpload/")
        yield Scene(
            client=client,
            job=job,
            anyone=anyone,
            mine=mine.id,
            theirs=theirs.id,
            experiment=experiment.id,
            model=model.id,
            asset=asset,
            model_file=found,
            run_file=f"ExperimentRun/dcid.{theirs.id}/outputs/model.pkl",
        )
    mine.complete()
    theirs.complete()


def addresses(scene: Scene, name: str) -> Iterator[str]:
    """Every address of a file of artifacts that the job gets out of the server."""
    origin, container, path = name.split("/", 2)
    asked = [
        ("GET", f"{ARTIFACTS}/write/{name}", None),
        ("GET", f"{ARTIFACTS}/contentinfo/{name}", None),
        ("GET", f"{ARTIFACTS}/prefix/contentinfo/{name}", None),
        ("POST", f"{ARTIFACTS}/batch/metadata/{origin}/{container}", {"paths": [{"path": path}]}),
        ("POST", f"{ARTIFACTS}/batch/metadata/{origin}/{container}", {"paths": [{"path": f"./{path}"}]}),
        ("POST", f"{ARTIFACTS}/batch/metadata/{origin}/{container}?datastoreName=workspaceartifactstore",
         {"paths": [{"path": path}]}),
        ("POST", f"{ARTIFACTS}/batch/metadata/ExperimentRun/dcid.{scene.mine}",
         {"paths": [{"path": f"../../{name}"}]}),
        ("POST", f"{ARTIFACTS}/batch/metadata/ExperimentRun/dcid.{scene.mine}",
         {"paths": [{"path": f"x\n99999999999\nazureml\n{name}"}]}),
        ("POST", f"{ARTIFACTS}/batch/metadata/LocalUpload/..", {"paths": [{"path": name}]}),
        ("POST", f"{ARTIFACTS}/batch/metadata/LocalUpload/x", {"paths": [{"path": f"../../{name}"}]}),
        ("POST", f"{ARTIFACTS}/{origin}/{container}/batch/metadata", {"paths": [{"path": path}]}),
        ("POST", f"{HISTORY}/experiments/rights/runs/{container.removeprefix('dcid.')}/artifacts/batch/metadata",
         {"paths": [{"path": path}]}),
        ("POST", f"{ARM}/datastores/workspaceartifactstore/listSecrets", {}),
        ("POST", f"{ARM}/datastores/workspaceblobstore/listSecrets", {}),
    ]  # fmt: skip
    for method, route, body in asked:
        answer = scene.job.request(method, route, json=body)
        assert answer.status_code < 500, (route, answer.text)
        if answer.status_code == 200:
            yield from found_in(answer.json(), name)


def found_in(answer: Any, name: str) -> Iterator[str]:
    if isinstance(answer, dict):
        for key, value in answer.items():
            if key == "contentUri":
                yield str(httpx.URL(value).copy_with(userinfo=b""))
            elif key == "sasToken":
                yield f"/azureml/{name}?{value}"
            else:
                yield from found_in(value, name)
    elif isinstance(answer, list):
        for value in answer:
            yield from found_in(value, name)


def attempts(client: httpx.Client, address: str) -> None:
    """Everything that the blob service has for somebody who wants a blob to be another one."""
    block = b"<BlockList><Latest>QUFBQQ==</Latest></BlockList>"
    for method, comp, body, headers in (
        ("PUT", "", EVIL, BLOCK_BLOB),
        ("PUT", "", b"", {"x-ms-blob-type": "AppendBlob"}),
        ("PUT", "&comp=appendblock", EVIL, {}),
        ("PUT", "&comp=block&blockid=QUFBQQ==", EVIL, {}),
        ("PUT", "&comp=blocklist", block, {}),
        ("PUT", "&comp=metadata", b"", {"x-ms-meta-evil": "yes"}),
        ("PUT", "&comp=properties", b"", {"x-ms-blob-content-type": "text/html"}),
        ("DELETE", "", b"", {}),
    ):
        for variant in (address, address.replace("sp=rc", "sp=rcw"), address.replace("sp=r&", "sp=rwd&")):
            answer = client.request(method, variant + comp, content=body, headers=headers)
            assert answer.status_code in (400, 403, 404, 409, 411, 412), (method, comp, answer.status_code)


@pytest.mark.parametrize("thing", ["model_file", "run_file"])
def test_a_job_changes_no_file_of_others_by_any_route(scene: Scene, thing: str) -> None:
    name = getattr(scene, thing)
    before = scene.client.get(f"{ARTIFACTS}/contentinfo/{name}").json()
    tried = set(addresses(scene, name))
    assert tried  # reading is allowed
    for address in tried:
        # An address that leads to another blob, a file of the job's own with such a name, is no way to this one.
        attempts(scene.anyone, address)
        attempts(scene.job, address)
    attempts(scene.job, f"/azureml/{name}?x=y")
    assert scene.content(name) == b"genuine"
    after = scene.client.get(f"{ARTIFACTS}/contentinfo/{name}").json()
    assert {**before, "contentUri": ""} == {**after, "contentUri": ""}


def test_a_job_adds_files_for_a_model_and_replaces_none(scene: Scene) -> None:
    route = f"{ARTIFACTS}/batch/metadata/LocalUpload/{uuid.uuid4().hex}"
    given = scene.job.post(route, json={"paths": [{"path": "mine.txt"}]}).json()["artifactContentInformation"]
    address = str(httpx.URL(given["mine.txt"]["contentUri"]).copy_with(userinfo=b""))
    assert scene.anyone.put(address, content=b"mine", headers=BLOCK_BLOB).status_code == 201
    assert scene.anyone.get(address).content == b"mine"
    attempts(scene.anyone, address)
    assert scene.anyone.get(address).content == b"mine"
    # By blocks, as a large file is uploaded.
    given = scene.job.post(route, json={"paths": [{"path": "large.txt"}]}).json()["artifactContentInformation"]
    address = str(httpx.URL(given["large.txt"]["contentUri"]).copy_with(userinfo=b""))
    assert scene.anyone.put(f"{address}&comp=block&blockid=QUFBQQ==", content=b"large").status_code == 201
    block = b"<BlockList><Latest>QUFBQQ==</Latest></BlockList>"
    assert scene.anyone.put(f"{address}&comp=blocklist", content=block).status_code == 201
    assert scene.anyone.get(address).content == b"large"


def test_a_job_plants_no_files_for_a_run_that_is_yet_to_come(scene: Scene) -> None:
    for container in (f"dcid.{uuid.uuid4().hex}", f"dcid.{scene.theirs.upper()}", "dcid.", "x"):
        body = {"paths": [{"path": "outputs/model.pkl"}]}
        answer = scene.job.post(f"{ARTIFACTS}/batch/metadata/ExperimentRun/{container}", json=body)
        assert answer.status_code == 403, container
        assert scene.job.get(f"{ARTIFACTS}/write/ExperimentRun/{container}/x").status_code == 403


@pytest.mark.parametrize("who", ["client", "job"])
def test_the_upload_addresses_of_a_snapshot_end_with_it(scene: Scene, who: str) -> None:
    asker: httpx.Client = getattr(scene, who)
    content, snapshot = f"/content/v2.0{ARM}/snapshots", str(uuid.uuid4())
    (node,) = asker.post(f"{content}/getblob", json={"FileNames": ["train.py"]}).json()["fileNodes"]
    address = str(httpx.URL(node["blobUri"]).copy_with(userinfo=b""))
    for _ in range(2):  # again, as when an answer is lost
        assert scene.anyone.put(address, content=b"print(1)", headers=BLOCK_BLOB).status_code == 201
    tree = {"name": "", "type": "Directory", "hash": "", "children": {
        "train.py": {"name": "train.py", "type": "File", "hash": "x", "children": {}}}}  # fmt: skip
    uploads = {"FileNodes": [{"FullName": "train.py", "BlobUri": node["blobUri"]}]}
    for _ in range(2):
        answer = asker.post(f"{content}/{snapshot}", json={"DirTreeNode": tree, "FileRevisionList": uploads})
        assert answer.status_code == 200, answer.text
    attempts(scene.anyone, address)
    assert scene.anyone.get(address).content == b"print(1)"


def test_a_job_touches_nothing_else_of_others_by_any_route(scene: Scene, compute: Any) -> None:
    history, models = f"{HISTORY}/experiments/rights", f"/modelmanagement/v1.0{ARM}/models"
    by_id, theirs = f"{HISTORY}/experimentids/{scene.experiment}", scene.theirs
    run = {"runId": theirs, "tags": {"evil": "yes"}, "name": "evil", "displayName": "evil", "hidden": True}
    event = {"name": "Microsoft.MachineLearning.Run.Failed", "data": {"RunId": theirs}}
    metric = {"values": [{"name": "evil", "columns": {"evil": "Double"}, "value": [{"data": {"evil": 1.0}}]}]}
    snapshotrun = f"/execution/v1.0{ARM}/experiments/rights/snapshotrun?runId=x"
    configuration = {
        "target": compute.name,
        "command": "true",
        "environment": {"python": {"userManagedDependencies": True}},
    }
    submission = {"SnapshotId": "00000000-0000-0000-0000-000000000000", "Configuration": configuration}
    asked: list[tuple[str, str, Any]] = []
    for base in (f"{history}/runs/{theirs}", f"{by_id}/runs/{theirs}", f"{HISTORY}/runs/{theirs}"):
        asked += [
            ("PATCH", base, run),
            ("POST", f"{base}/events", event),
            ("POST", f"{base}/cancel", {}),
            ("DELETE", f"{base}/tags", ["x"]),
            ("GET", f"{base}/token", None),
        ]
    asked += [
        ("POST", f"/metric/v2.0{ARM}/runs/{theirs}/batch", metric),
        ("POST", snapshotrun, {**submission, "ParentRunId": theirs}),
        ("POST", snapshotrun, submission),
        ("POST", f"/node/v1.0{ARM}/runs/{theirs}/claim", {}),
        ("DELETE", by_id, None),
        ("PATCH", by_id, {"archive": True}),
        ("POST", f"{by_id}/tags:delete", {"tags": ["x"]}),
        ("DELETE", f"{models}/{scene.model}", None),
        ("PUT", f"{models}/{scene.model}", {}),
        ("DELETE", f"/modelmanagement/v1.0{ARM}/assets/{scene.asset}", None),
        ("DELETE", f"{ARM}/computes/{compute.name}", None),
        ("PUT", f"{ARM}/computes/{compute.name}", {}),
        ("PATCH", f"{ARM}/computes/{compute.name}", {}),
        ("POST", f"/datastore/v1.0{ARM}/datastores", {}),
        ("DELETE", f"/datastore/v1.0{ARM}/datastores/workspaceblobstore", None),
        ("PUT", f"/datastore/v1.0{ARM}/default/workspaceblobstore", {}),
        ("PUT", f"/datastore/v1.0{ARM}/datastores/workspaceblobstore", {}),
        ("PUT", f"{ARM}/datastores/mine", {"properties": {"datastoreType": "AzureBlob"}}),
        ("DELETE", f"{ARM}/datastores/workspaceblobstore", None),
        ("GET", "/local/mirrors", None),
        ("POST", "/local/mirrors", {"url": "https://a.example", "folder": "/"}),
        ("PUT", f"/credential/v1.0{ARM}/secrets", {}),
        ("POST", f"/credential/v1.0{ARM}/secrets:deletebatch", {}),
        ("POST", f"{ARM}/listKeys", {}),
        ("DELETE", ARM, None),
        ("PATCH", ARM, {}),
        ("POST", "/local/names", {}),
        ("POST", "/local/sign-in-links", {}),
        ("POST", "/local/simulations", {}),
        ("DELETE", "/local/simulations", None),
    ]  # fmt: skip
    allowed = {f"{method} {path}" for method, path, body in asked if not _refused(scene.job, method, path, body)}
    assert allowed == set()
    # Of several at once, each is answered for itself.
    batch = scene.job.patch(f"{history}/batch/runs", json={"runs": [run]}).json()
    assert list(batch["errors"]) == [theirs], batch
    scene.job.post(f"{history}/batch/events", json={"events": [{"runId": theirs, **event}]})
    details = scene.client.get(f"{HISTORY}/runs/{theirs}").json()
    assert details["status"] == "Running"
    assert (details["tags"], details.get("displayName") == "evil") == ({}, False)
    listed = scene.client.post(f"/metric/v2.0{ARM}/runs/{theirs}/list", json={}).json()
    assert listed["value"] == []


def _refused(job: httpx.Client, method: str, path: str, body: Any) -> bool:
    return job.request(method, path, json=body).status_code == 403
