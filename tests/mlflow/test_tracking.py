"""MLflow's tracking and registry through its real client with azureml-mlflow."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from client_environments import Client, python_of

from azureml_local.client.instance import LocalServer

WHOLE = """\
import json, math, os
import mlflow
from mlflow import MlflowClient
name = "mlflow-" + mlflow.__version__.replace(".", "-")
mlflow.set_experiment(name)
with mlflow.start_run(run_name="first", tags={"who": "test"}) as active:
    mlflow.log_param("alpha", 0.03)
    mlflow.log_metric("mse", 1.5)
    mlflow.log_metric("mse", 1.25, step=1)
    mlflow.log_metrics({"nan": math.nan, "inf": math.inf})
    mlflow.set_tag("gone", "soon")
    mlflow.delete_tag("gone")
    mlflow.log_text("hello", "folder/note.txt")
    mlflow.log_text("weights", "model/weights.txt")
    with mlflow.start_run(nested=True, run_name="below") as child:
        mlflow.log_metric("mse", 7.0)
client = MlflowClient()
run = client.get_run(active.info.run_id)
version = mlflow.register_model(f"runs:/{run.info.run_id}/model", name)
def refused(action):
    try:
        action()
    except mlflow.exceptions.MlflowException as error:
        return error.error_code
search = lambda text, **more: [found.info.run_name for found in mlflow.search_runs(
    experiment_names=[name], filter_string=text, output_format="list", **more)]
print(json.dumps({
    "experiment": name,
    "run": run.info.run_id,
    "status": run.info.status,
    "params": run.data.params,
    "metrics": {key: str(value) for key, value in run.data.metrics.items()},
    "tags": {key: value for key, value in run.data.tags.items() if not key.startswith("mlflow.")},
    "history": [(one.step, one.value) for one in client.get_metric_history(run.info.run_id, "mse")],
    "files": sorted(file.path for file in client.list_artifacts(run.info.run_id)),
    "text": mlflow.artifacts.load_text(f"runs:/{run.info.run_id}/folder/note.txt"),
    "low": search("metrics.mse < 2 and params.alpha = '0.03'"),
    "tagged": search("tags.who LIKE 't%'"),
    "ordered": search("", order_by=["metrics.mse DESC"]),
    "child": client.get_run(child.info.run_id).data.tags["mlflow.parentRunId"] == run.info.run_id,
    "changed": refused(lambda: client.log_param(run.info.run_id, "alpha", 1)),
    "unknown": refused(lambda: client.get_run("nobody")),
    "filter": refused(lambda: search("metrics.mse ~ 3")),
    "version": version.version,
    "models": sorted(os.listdir(mlflow.artifacts.download_artifacts(f"models:/{name}/{version.version}"))),
    "listed": [each.version for each in client.search_model_versions(f"name = '{name}'")],
}))
"""


@pytest.mark.slow
@pytest.mark.parametrize("release", ["mlflow-2.22"])
def test_what_mlflow_logs_is_read_back_by_it_and_by_the_sdk(
    server: LocalServer, workspace: Any, tmp_path: Path, release: str
) -> None:
    from azureml.core import Run

    found = Client(python_of(release), server, tmp_path).run(WHOLE)
    assert found["status"] == "FINISHED"
    assert found["params"] == {"alpha": "0.03"}
    assert found["metrics"] == {"mse": "1.25", "nan": "nan", "inf": "inf"}
    assert found["tags"] == {"who": "test"}
    assert found["history"] == [[0, 1.5], [1, 1.25]]
    assert set(found["files"]) >= {"folder", "model"}
    assert found["text"] == "hello"
    assert found["low"] == found["tagged"] == ["first"]
    assert found["ordered"] == ["below", "first"]
    assert found["child"] is True
    assert found["changed"] == "INVALID_PARAMETER_VALUE"
    assert found["unknown"] == "RESOURCE_DOES_NOT_EXIST"
    assert found["filter"] == "INVALID_PARAMETER_VALUE"
    assert found["models"] == ["weights.txt"]
    assert [str(version) for version in found["listed"]] == [str(found["version"])]
    run = Run(workspace.experiments[found["experiment"]], found["run"])
    assert run.get_status() == "Completed"
    metrics = run.get_metrics()
    assert metrics["mse"] == [1.5, 1.25]
    assert math.isnan(metrics["nan"])
    assert "folder/note.txt" in run.get_file_names()
    assert run.get_tags()["who"] == "test"
    assert workspace.models[found["experiment"]].version == int(found["version"])
