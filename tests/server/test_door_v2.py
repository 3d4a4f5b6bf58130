"""What SDK v2 finds at the door: the cloud, its token, the workspace, datastores and their data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from client_environments import Client, python_of

from azureml_local.client.instance import LocalServer
from azureml_local.names import DEFAULT_NAME


@pytest.fixture
def v2(server: LocalServer, workspace: Any, tmp_path: Path) -> Client:
    return Client(python_of("sdk-v2"), server, tmp_path)


CLIENT = f"""\
import json
from azure.ai.ml import MLClient
from azure.identity import DefaultAzureCredential
names = {(DEFAULT_NAME.subscription_id, DEFAULT_NAME.resource_group, DEFAULT_NAME.name)!r}
ml_client = MLClient(DefaultAzureCredential(), *names)
"""


@pytest.mark.slow
def test_workspace_and_datastores_are_found_by_v2(v2: Client) -> None:
    found = v2.run(
        CLIENT
        + """
import os
workspace = ml_client.workspaces.get(names[2])
print(json.dumps({
    "name": workspace.name,
    "tracking": workspace.mlflow_tracking_uri,
    "preset": os.environ["MLFLOW_TRACKING_URI"],
    "listed": [each.name for each in ml_client.workspaces.list()],
    "stores": {each.name: each.container_name for each in ml_client.datastores.list()},
    "default": ml_client.datastores.get_default().name,
}))
"""
    )
    host = v2.server.instance.endpoints.api.removeprefix("https://")
    assert found["name"] == DEFAULT_NAME.name
    assert found["tracking"].startswith(f"azureml://{host}/mlflow/")
    assert found["preset"] == f"azureml://{host}/mlflow/v1.0{DEFAULT_NAME.arm_id}"
    assert DEFAULT_NAME.name in found["listed"]
    assert found["stores"] == {"workspaceblobstore": "azureml-blobstore", "workspaceartifactstore": "azureml"}
    assert found["default"] == "workspaceblobstore"


@pytest.mark.slow
def test_a_token_of_v2_is_for_the_resource_that_it_asked_for(v2: Client) -> None:
    audience = v2.run(
        """
import json, jwt
from azure.identity import DefaultAzureCredential
token = DefaultAzureCredential().get_token("https://ml.azure.example/.default").token
print(json.dumps(jwt.decode(token, options={"verify_signature": False})["aud"]))
"""
    )
    assert audience == "https://ml.azure.example"


@pytest.mark.slow
def test_data_of_the_default_datastore_is_read_by_azureml_uris(v2: Client) -> None:
    found = v2.run(
        CLIENT
        + """
import pandas, mltable
from azureml.fsspec import AzureMachineLearningFileSystem
open("x.csv", "w").write("a,b\\n1,2\\n3,4\\n")
base = (
    f"azureml://subscriptions/{names[0]}/resourcegroups/{names[1]}/workspaces/{names[2]}"
    "/datastores/workspaceblobstore/paths/"
)
system = AzureMachineLearningFileSystem(base)
system.upload(lpath="x.csv", rpath="door-v2", recursive=False, overwrite="MERGE_WITH_OVERWRITE")
frame = pandas.read_csv(base + "door-v2/x.csv")
table = mltable.from_delimited_files([{"file": base + "door-v2/x.csv"}]).to_pandas_dataframe()
print(json.dumps({"ls": system.ls("door-v2"), "frame": frame.values.tolist(), "table": table.values.tolist()}))
"""
    )
    assert [Path(name).name for name in found["ls"]] == ["x.csv"]
    assert found["frame"] == found["table"] == [[1, 2], [3, 4]]
