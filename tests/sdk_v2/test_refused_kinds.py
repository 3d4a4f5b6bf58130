"""Kinds that SDK v2 has and a local workspace doesn't: the first line that a user reads of each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

V2 = Callable[[str], Any]

# What the line begins with, behind the client's own "HttpResponseError: (NotImplemented) ".
TOLD = {
    "automl": "Automated machine learning (AutoML jobs) is not built in azureml-local. Submit a command job.",
    "spark": "Spark jobs are not built in azureml-local. Submit a command job.",
    "batch endpoint": "Batch endpoints of SDK v2 are not built in azureml-local. Score the files in a command job",
    "registry": "Registries are not built in azureml-local",
    "feature sets": "Feature stores are not built in azureml-local. Keep the features as a data asset",
    "indexes": "Indexes (of prompt flow) are not built in azureml-local",
    "serverless": "Serverless endpoints and subscriptions to models of a marketplace are not built in azureml-local",
    "outbound rules": "Managed networks and their outbound rules are not built in azureml-local",
    "connections": "Connections of a workspace are not built in azureml-local. Keep passwords",
    "instance": "A local workspace has AmlCompute only, not ComputeInstance.",
    "kubernetes": "A local workspace has AmlCompute only, not KubernetesCompute.",
    "usages": "Usages and quotas are not built in azureml-local",
    "delete": "A script can't delete a local workspace",
}


def test_refused_kinds_are_named_in_the_first_line(v2: V2, compute: Any) -> None:
    said = v2(
        """
        from azure.ai.ml import automl, spark
        from azure.ai.ml.entities import BatchEndpoint, ComputeInstance, KubernetesCompute
        (here / "t").mkdir()
        (here / "t" / "MLTable").write_text("type: mltable\\npaths:\\n  - file: ./a.csv\\n")
        (here / "t" / "a.csv").write_text("a,y\\n1,2\\n")
        (here / "s").mkdir()
        (here / "s" / "a.py").write_text("")
        table = Input(type="mltable", path=str(here / "t"))
        learned = automl.classification(
            compute="tests", experiment_name="x", training_data=table, target_column_name="y", primary_metric="accuracy"
        )
        sparked = spark(
            experiment_name="x", code=str(here / "s"), entry={"file": "a.py"}, inputs={}, args="",
            driver_cores=1, driver_memory="2g", executor_cores=2, executor_memory="2g", executor_instances=2,
            resources={"instance_type": "Standard_E8S_V3", "runtime_version": "3.3.0"},
        )
        cluster = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Kubernetes/connectedClusters/c"
        begin = ml_client.compute.begin_create_or_update
        batch = BatchEndpoint(name="batch")
        print(json.dumps({
            "automl": error_of(lambda: ml_client.jobs.create_or_update(learned)),
            "spark": error_of(lambda: ml_client.jobs.create_or_update(sparked)),
            "batch endpoint": error_of(lambda: ml_client.batch_endpoints.begin_create_or_update(batch)),
            "registry": error_of(lambda: ml_client.registries.get("r")),
            "feature sets": error_of(lambda: list(ml_client.feature_sets.list())),
            "indexes": error_of(lambda: list(ml_client.indexes.list())),
            "serverless": error_of(lambda: list(ml_client.serverless_endpoints.list())),
            "outbound rules": error_of(lambda: list(ml_client.workspace_outbound_rules.list(names[2]))),
            "connections": error_of(lambda: list(ml_client.connections.list())),
            "instance": error_of(lambda: begin(ComputeInstance(name="ci-1-abc", size="STANDARD_D2_V2"))),
            "kubernetes": error_of(lambda: begin(KubernetesCompute(name="k8s", resource_id=cluster))),
            "usages": error_of(lambda: list(ml_client.compute.list_usage())),
            "delete": error_of(lambda: ml_client.workspaces.begin_delete(names[2], delete_dependent_resources=False)),
            "feature stores": list(ml_client.feature_stores.list()),
            "sizes": [size.name for size in ml_client.compute.list_sizes()],
        }))
        """
    )
    assert "STANDARD_D2_V2" in [size.upper() for size in said.pop("sizes")]
    assert said.pop("feature stores") == []
    begins = {name: f"HttpResponseError: (NotImplemented) {told}" for name, told in TOLD.items()}
    assert {name: line[: len(begins[name])] for name, line in said.items()} == begins
