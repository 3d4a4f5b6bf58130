"""Kinds of steps and of computes that are not built: the first sentence that a user reads of them, through the SDK."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Refused = Callable[..., Any]


@pytest.fixture
def submit_one(workspace: Any, experiment: Any) -> Refused:
    def submit(step: Any) -> Any:
        from azureml.pipeline.core import Pipeline

        return experiment.submit(Pipeline(workspace, steps=[step]))

    return submit


@pytest.fixture
def folder(tmp_path: Path) -> str:
    (tmp_path / "script.py").write_text("")
    (tmp_path / "script.R").write_text("")
    return str(tmp_path)


@pytest.mark.sdk_refused("DatabricksStep")
def test_a_step_of_databricks_is_refused_by_its_name(submit_one: Refused) -> None:
    from azureml.pipeline.steps import DatabricksStep

    step = DatabricksStep("notebook", run_name="x", notebook_path="/a", num_workers=1, compute_target="databricks")
    told = r"The step 'notebook' is of the kind DatabricksStep, which is not built in azureml-local\. Run .* pyspark"
    with pytest.raises(Exception, match=told):
        submit_one(step)


@pytest.mark.sdk_refused("KustoStep")
def test_a_step_of_kusto_is_refused_by_its_name(workspace: Any, submit_one: Refused, folder: str) -> None:
    from azureml.pipeline.core import PipelineData
    from azureml.pipeline.steps import KustoStep

    out = PipelineData("out", datastore=workspace.get_default_datastore())
    step = KustoStep("query", compute_target="kusto", database_name="d", query_directory=folder, output=out)
    told = r"The step 'query' is of the kind KustoStep, which is not built in azureml-local\. Do the same in a script"
    with pytest.raises(Exception, match=told):
        submit_one(step)


@pytest.mark.sdk_refused("AutoMLStep", "AutoMLConfig")
def test_automated_machine_learning_is_refused_by_its_name(
    workspace: Any, compute: Any, experiment: Any, submit_one: Refused, tmp_path: Path
) -> None:
    from azureml.core import Dataset
    from azureml.pipeline.steps import AutoMLStep
    from azureml.train.automl import AutoMLConfig

    (tmp_path / "rows.csv").write_text("a,y\n" + "1,0\n2,1\n" * 30)
    store = workspace.get_default_datastore()
    store.upload_files([str(tmp_path / "rows.csv")], target_path="automl", show_progress=False, overwrite=True)
    rows = Dataset.Tabular.from_delimited_files((store, "automl/rows.csv"))
    settings = {"compute_target": compute, "training_data": rows, "label_column_name": "y"}
    told = r"The step 'auto' is of the kind AutoMLStep, which is not built in azureml-local\. A HyperDriveStep tries"
    with pytest.raises(Exception, match=told):
        submit_one(AutoMLStep("auto", automl_config=AutoMLConfig("classification", **settings)))
    told = (
        r"Automated machine learning \(azureml.train.automl\) is not built in azureml-local\. A HyperDrive sweep tries"
    )
    with pytest.raises(Exception, match=told):
        experiment.submit(AutoMLConfig("classification", **settings))


@pytest.mark.sdk_refused("RScriptStep")
def test_a_script_in_r_is_refused_by_its_name(compute: Any, submit_one: Refused, folder: str) -> None:
    from azureml.core import RunConfiguration
    from azureml.core.environment import RSection
    from azureml.pipeline.steps import RScriptStep

    configuration = RunConfiguration()
    configuration.framework = "R"
    configuration.environment.r = RSection()
    configuration.environment.docker.enabled = True
    step = RScriptStep("script.R", name="r", source_directory=folder, compute_target=compute, runconfig=configuration)
    told = r"The step 'r' is of the kind RScriptStep, which is not built in azureml-local: it runs Python\. CommandStep"
    with pytest.raises(Exception, match=told):
        submit_one(step)


@pytest.mark.sdk_refused("AdlaStep", "AzureBatchStep", "DataTransferStep")
@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("DataFactoryCompute", "not DataFactoryCompute, which DataTransferStep runs on"),
        ("AdlaCompute", "not AdlaCompute, which AdlaStep runs on"),
        ("BatchCompute", "not BatchCompute, which AzureBatchStep runs on"),
        ("DatabricksCompute", "not DatabricksCompute, which DatabricksStep runs on"),
        ("HDInsightCompute", "not HDInsightCompute"),
        ("RemoteCompute", r"not RemoteCompute \(a virtual machine\)"),
    ],
)
def test_a_compute_of_other_steps_is_refused_by_its_name(workspace: Any, kind: str, told: str) -> None:
    """Steps on such a compute look for it before they ask for anything else; so this is the first that a user reads."""
    from azureml.core import compute
    from azureml.core.compute import ComputeTarget

    known = getattr(compute, kind)
    settings: dict[str, Any] = {"resource_group": "g", "account_name": "n"}
    if kind == "DatabricksCompute":
        settings = {"resource_group": "g", "workspace_name": "n", "access_token": "t"}
    elif kind in ("HDInsightCompute", "RemoteCompute"):
        settings = {"username": "u", "password": "p", "address": "10.0.0.4"}
    if kind == "DataFactoryCompute":
        act, configuration = ComputeTarget.create, known.provisioning_configuration()
    else:
        act, configuration = ComputeTarget.attach, known.attach_configuration(**settings)
    with pytest.raises(Exception, match=f"A local workspace has AmlCompute only, {told}"):
        act(workspace, "other", configuration)


@pytest.mark.sdk_refused("SynapseSparkStep")
def test_the_workspace_of_synapse_is_refused_by_its_name(workspace: Any) -> None:
    from azureml.core import LinkedService

    with pytest.raises(Exception, match=r"^\(NotImplemented\) Linked services of a workspace \(Synapse\) are not"):
        LinkedService.get(workspace, "synapse")
