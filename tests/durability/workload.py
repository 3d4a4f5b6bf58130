"""Clients that write all the time, over the protocol and the storage library that the SDK uses."""

from __future__ import annotations

import random
import ssl
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timezone
from typing import Any
from urllib.parse import urlsplit

import httpx
from azure.core.exceptions import ResourceNotFoundError, ServiceRequestError, ServiceResponseError
from azure.storage.blob import BlobClient, ContainerClient

from azureml_local.client.instance import LocalServer
from azureml_local.names import DEFAULT_NAME
from tests.durability.ledger import ABSENT, Key, Ledger

LOST = (httpx.TransportError, ServiceRequestError, ServiceResponseError)
EXPERIMENT = "killed"
COMPUTE = "survivors"
HISTORY = f"/history/v1.0{DEFAULT_NAME.arm_id}"
ARTIFACTS = f"/artifact/v2.0{DEFAULT_NAME.arm_id}/artifacts"
METRICS = f"/metric/v2.0{DEFAULT_NAME.arm_id}/runs"
CONTENT = f"/content/v2.0{DEFAULT_NAME.arm_id}/snapshots"
DATASETS = f"/dataset/v1.0{DEFAULT_NAME.arm_id}/datasets"
ENVIRONMENTS = f"/environment/v1.0{DEFAULT_NAME.arm_id}/environments"
MODELS = f"/modelmanagement/v1.0{DEFAULT_NAME.arm_id}"
SECRETS = f"/credential/v2.0{DEFAULT_NAME.arm_id}/secrets"
EXECUTION = f"/execution/v1.0{DEFAULT_NAME.arm_id}/experiments/{EXPERIMENT}/snapshotrun"
HERE = {"python": {"userManagedDependencies": True}}


class Client:
    """A signed-in client: the API, and the default datastore through Azure's storage library."""

    def __init__(self, server: LocalServer) -> None:
        endpoints = server.instance.endpoints
        secrets = server.folder.secrets()
        self.bundle = str(server.folder.tls / "trusted.pem")
        answer = httpx.get(
            f"{endpoints.plain}/msi/token", params={"resource": endpoints.api}, headers={"secret": secrets.sign_in}
        )
        self.http = httpx.Client(
            base_url=endpoints.api,
            verify=ssl.create_default_context(cafile=self.bundle),
            headers={"Authorization": f"Bearer {answer.json()['access_token']}"},
            timeout=60,
            trust_env=False,
        )
        self._container = ContainerClient(
            endpoints.api.replace("https://", "https://localstore.blob.core.local@"),
            "azureml-blobstore",
            credential={"account_name": "localstore", "account_key": secrets.account_key},
            retry_total=0,  # a second try would hide whether the first one was acknowledged
            connection_verify=self.bundle,
            max_single_put_size=64 * 1024,
            max_block_size=40 * 1024,
        )

    def ask(self, method: str, path: str, **options: Any) -> Any:
        answer = self.http.request(method, path, **options)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text[:500]}"
        return answer.json() if answer.content else None

    def blob(self, name: str) -> BlobClient:
        return self._container.get_blob_client(name)

    def names(self, prefix: str) -> set[str]:
        return set(self._container.list_blob_names(name_starts_with=prefix))

    def upload(self, uri: str, data: bytes) -> None:
        """To a signed URL, without the user part in which the SDK's uploader finds the account's name."""
        parts = urlsplit(uri)
        answer = self.http.put(f"{parts.path}?{parts.query}", content=data, headers={"x-ms-blob-type": "BlockBlob"})
        assert answer.status_code == 201, answer.text

    def artifact(self, container: str, path: str, data: bytes) -> None:
        body = {"paths": [{"path": path}]}
        answer = self.ask("POST", f"{ARTIFACTS}/batch/metadata/ExperimentRun/{container}", json=body)
        self.upload(answer["artifactContentInformation"][path]["contentUri"], data)


class Writer(threading.Thread):
    """One client with things of its own, writing at random until it is told to stop."""

    def __init__(
        self, server: LocalServer, ledger: Ledger, seed: int, jobs: int, evidence: str, *, reads: bool = False
    ) -> None:
        super().__init__(name=f"writer-{seed}", daemon=True)
        self.client = Client(server)
        self.ledger = ledger
        self.random = random.Random(seed)
        self.seed = seed
        self.jobs = jobs
        self.evidence = evidence
        self.stopping = threading.Event()
        self.faults: list[str] = []
        self.runs: list[str] = []
        self.unsure: tuple[Key, list[tuple[str, Any]]] | None = None
        self.count = 0
        self.reads = reads
        self.lists = 0

    def run(self) -> None:
        writes: list[Callable[[], None]] = [
            *[self.metrics] * 8,
            *[self.tag] * 3,
            *[self.artifact] * 4,
            *[self.blob] * 4,
            *[self.append] * 4,
            self.start_run,
            self.end_run,
            self.delete,
            self.dataset,
            self.environment,
            self.model,
            self.secret,
            *[self.job] * 2,
            *([self.list] * 3 if self.reads else []),
        ]
        while not self.stopping.is_set():
            write = self.start_run if not self.runs else self.random.choice(writes)
            try:
                write()
            except LOST as error:
                self.ledger.unanswered[type(error).__name__] += 1
                self.stopping.wait(0.02)
            except Exception as error:
                self.faults.append(f"{write.__name__}: {type(error).__name__}: {error}")
                return

    def stop(self) -> None:
        self.stopping.set()

    # Writes -------------------------------------------------------------------------------------------------

    def start_run(self) -> None:
        run = f"run-{self.seed}-{self._number()}"
        body = {"runId": run, "target": "sdk", "displayName": f"the run {run}"}
        self.ledger.write(("run", run), f"the run {run}", lambda: self._patch(run, body))
        self.runs.append(run)

    def end_run(self) -> None:
        if len(self.runs) > 3:
            run = self.runs.pop(0)
            body = {"name": "Microsoft.MachineLearning.Run.Completed", "data": {}}
            path = f"{HISTORY}/experiments/{EXPERIMENT}/runs/{run}/events"
            self.ledger.write(("status", run), "Completed", lambda: self.client.ask("POST", path, json=body))

    def tag(self) -> None:
        run, name, value = self._run(), f"tag{self.random.randrange(3)}", str(self._number())
        self.ledger.write(("tag", run, name), value, lambda: self._patch(run, {"tags": {name: value}}))

    def metrics(self) -> None:
        # As the SDK does: what was perhaps not received is sent again, with the same ids.
        key, values = self.unsure or (("metric", self._run(), "loss"), self._values())
        cells = [
            {"metricId": name, "createdUtc": created, "data": {"loss": value}} for name, (created, value) in values
        ]
        batch = {"name": key[2], "columns": {"loss": "Double"}, "properties": {"uxMetricType": "azureml.v1.scalar"}}
        body = {"values": [{**batch, "value": cells}]}
        self.unsure = (key, values)
        self.ledger.add(key, values, lambda: self.client.ask("POST", f"{METRICS}/{key[1]}/batch", json=body))
        self.unsure = None

    def artifact(self) -> None:
        run, path, data = self._run(), f"outputs/file{self.random.randrange(4)}.bin", self._bytes(100_000)
        self.ledger.write(("artifact", run, path), data, lambda: self.client.artifact(f"dcid.{run}", path, data))

    def blob(self) -> None:
        """In one piece, or in blocks, according to its size."""
        name, data = f"{self.seed}/blob{self.random.randrange(6)}", self._bytes(200_000)
        self.ledger.write(("blob", name), data, lambda: self.client.blob(name).upload_blob(data, overwrite=True))

    def delete(self) -> None:
        name = f"{self.seed}/blob{self.random.randrange(6)}"

        def delete() -> None:
            with suppress(ResourceNotFoundError):
                self.client.blob(name).delete_blob()

        self.ledger.write(("blob", name), ABSENT, delete)

    def append(self) -> None:
        """To a log: what is there stays there."""
        name = f"{self.seed}/log{self.random.randrange(2)}"
        key: Key = ("log", name)
        blob = self.client.blob(name)
        if self.ledger.possible.get(key, [ABSENT]) != [ABSENT]:
            complaint = self.ledger.check(key, read(blob))
            assert complaint is None, complaint
        if self.ledger.possible.get(key, [ABSENT]) == [ABSENT]:
            self.ledger.write(key, b"", blob.create_append_blob)
        data = self._bytes(3000)
        self.ledger.change(key, lambda before: before + data, lambda: blob.append_block(data))

    def dataset(self) -> None:
        name = f"dataset-{self.seed}-{self._number()}"
        flow = f'{{"blocks": [], "inspectors": [], "meta": {{"RsDataflow": "paths: [] # {name}"}}}}'
        body = {"name": name, "datasetType": "file", "latest": {"dataflow": flow}, "tags": {"made": name}}
        self.ledger.write(("dataset", name), flow, lambda: self.client.ask("POST", DATASETS, json=body))

    def environment(self) -> None:
        name, value = f"environment-{self.seed}", str(self._number())
        body = {**HERE, "environmentVariables": {"VALUE": value}}
        path = f"{ENVIRONMENTS}/{name}"
        self.ledger.write(("environment", name), value, lambda: self.client.ask("PUT", path, json=body))

    def model(self) -> None:
        name, data = f"model-{self.seed}-{self._number()}", self._bytes(10_000)

        def register() -> None:
            self.client.artifact(f"dcid.{name}", "model.bin", data)
            artifact = {"prefix": f"ExperimentRun/dcid.{name}/model.bin"}
            asset = self.client.ask("POST", f"{MODELS}/assets", json={"name": name, "artifacts": [artifact]})
            body = {"name": name, "url": f"aml://asset/{asset['id']}", "mimeType": "application/x-python"}
            self.client.ask("POST", f"{MODELS}/models", json=body)

        self.ledger.write(("model", name), data, register)

    def secret(self) -> None:
        name, value = f"secret-{self.seed}-{self.random.randrange(2)}", str(self._number())
        body = {"name": name, "value": value}
        self.ledger.write(("secret", name), value, lambda: self.client.ask("PUT", SECRETS, json=body))

    def job(self) -> None:
        """A submission: its script says in a file of ours when it begins and how it ends."""
        if self.jobs <= 0:
            return
        self.jobs -= 1
        run, snapshot, code = f"job-{self.seed}-{self._number()}", str(uuid.uuid4()), self.random.choice((0, 0, 3))
        script = (
            f"echo begin {run} >>{self.evidence}; cat data.txt >&2; sleep {self.random.random():.2f}; "
            f"echo {run} >outputs/said.txt; echo end {run} >>{self.evidence}; exit {code}"
        )
        node = self.client.ask("POST", f"{CONTENT}/getblob", json={"FileNames": ["data.txt"]})["fileNodes"][0]
        self.client.upload(node["blobUri"], run.encode())
        file = {"name": "data.txt", "type": "File", "hash": run, "children": {}}
        tree = {"name": "", "type": "Directory", "hash": "", "children": {"data.txt": file}}
        files = [{"FullName": "data.txt", "BlobUri": node["blobUri"]}]
        body = {"DirTreeNode": tree, "FileRevisionList": {"FileNodes": files}}
        self.client.ask("POST", f"{CONTENT}/{snapshot}", json=body)
        configuration = {"target": COMPUTE, "command": script, "environment": HERE}
        submission = {"Configuration": configuration, "SnapshotId": snapshot}
        self.ledger.write(
            ("job", run), code, lambda: self.client.ask("POST", EXECUTION, params={"runId": run}, json=submission)
        )

    # Reads --------------------------------------------------------------------------------------------------

    def list(self) -> None:
        """What a page or a notebook asks for: runs, the files of one, blobs, models."""
        run = self._run()
        query = {"filter": "(ParentRunId eq null)", "orderby": "StartTimeUtc desc", "top": 50}
        self.client.ask("POST", f"{HISTORY}/experiments/{EXPERIMENT}/runs:query", json=query)
        self.client.ask("GET", f"{ARTIFACTS}/ExperimentRun/dcid.{run}")
        assert all(name.startswith(f"{self.seed}/") for name in self.client.names(f"{self.seed}/"))
        self.client.ask("GET", f"{MODELS}/models", params={"count": 20})
        self.lists += 4

    # Values -------------------------------------------------------------------------------------------------

    def _patch(self, run: str, body: dict[str, Any]) -> None:
        self.client.ask("PATCH", f"{HISTORY}/experiments/{EXPERIMENT}/runs/{run}", json=body)

    def _run(self) -> str:
        return self.random.choice(self.runs[-4:])

    def _number(self) -> int:
        self.count += 1
        return self.count

    def _bytes(self, most: int) -> bytes:
        return self.random.randbytes(self.random.randrange(1, most))

    def _values(self) -> list[tuple[str, Any]]:
        made = []
        for _ in range(self.random.randrange(1, 30)):
            number = self._number()
            created = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%f0+00:00")
            made.append((f"{self.seed:04}-{number:08}", (created, number / 7)))
            time.sleep(1e-6)
        return made


def read(blob: BlobClient) -> bytes | None:
    try:
        return bytes(blob.download_blob().readall())
    except ResourceNotFoundError:
        return ABSENT


def prepare(client: Client) -> None:
    """What every writer needs: an experiment and a cluster."""
    client.ask("POST", f"{HISTORY}/experiments/{EXPERIMENT}")
    scale = {"minNodeCount": 0, "maxNodeCount": 2, "nodeIdleTimeBeforeScaleDown": "PT120S"}
    properties = {"computeType": "AmlCompute", "properties": {"vmSize": "STANDARD_D2_V2", "scaleSettings": scale}}
    body = {"location": "local", "properties": properties}
    client.ask("PUT", f"{DEFAULT_NAME.arm_id}/computes/{COMPUTE}", json=body)
