"""Modules with versions, and the steps that are made of them or of estimators, through the real azureml.pipeline."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

TIMES = """
import argparse, os
parser = argparse.ArgumentParser()
for name in ("given", "out", "k"):
    parser.add_argument("--" + name)
known = parser.parse_args()
open(known.out, "w").write(str(int(open(known.given).read()) * int(known.k)))
"""
RANK = """
import os, sys
from azureml.core import Run
if os.environ["OMPI_COMM_WORLD_RANK"] == "0":
    Run.get_context(allow_offline=False).log("of", f"{os.environ['OMPI_COMM_WORLD_SIZE']} {sys.argv[1]}")
"""


@pytest.mark.sdk(
    "Module.create",
    "Module.disable",
    "Module.get",
    "Module.module_version_list",
    "Module.publish_python_script",
    "Module.set_default_version",
    "ModuleStep",
)
def test_steps_are_made_of_the_versions_of_a_module(
    workspace: Any, compute: Any, here: Any, experiment: Any, tmp_path: Path
) -> None:
    from azureml.core import RunConfiguration
    from azureml.data.data_reference import DataReference
    from azureml.pipeline.core import Module, Pipeline, PipelineData, PipelineParameter
    from azureml.pipeline.core.graph import InputPortDef, OutputPortDef
    from azureml.pipeline.steps import ModuleStep

    store = workspace.get_default_datastore()
    (tmp_path / "in.txt").write_text("7")
    store.upload_files([str(tmp_path / "in.txt")], target_path="modules", show_progress=False, overwrite=True)
    scripts = tmp_path / "scripts"
    scripts.mkdir()
    (scripts / "times.py").write_text(TIMES)
    module = Module.create(workspace, name="times", description="multiplies")
    with pytest.raises(Exception, match="There is a module 'times' already"):
        Module.create(workspace, name="times", description="multiplies")
    ports: dict[str, Any] = {
        # As in Azure's own notebooks, where all ports have the datastore's name as that of their data.
        "inputs": [InputPortDef(name="given", default_datastore_mode="mount", default_data_reference_name=store.name)],
        "outputs": [OutputPortDef(name="made", default_datastore_name=store.name, default_datastore_mode="mount")],
    }
    for version in ("1", "2"):
        module.publish_python_script(
            "times.py", f"v{version}", params={"k": 3}, version=version, source_directory=str(scripts), **ports
        )
    module.set_default_version("2")
    module = Module.get(workspace, name="times")
    assert (module.default_version, [each.version for each in module.module_version_list()]) == ("2", ["1", "2"])

    configuration = RunConfiguration()
    configuration.environment = here
    given = DataReference(store, data_reference_name="reference", path_on_datastore="modules/in.txt")
    first, second = PipelineData("first", datastore=store), PipelineData("second", datastore=store)
    options = {"module": module, "runconfig": configuration, "compute_target": compute}
    k = PipelineParameter("k", default_value=4)
    one = ModuleStep(
        version="1",
        inputs_map={"given": given},
        outputs_map={"made": first},
        arguments=["--given", given, "--out", first, "--k", k],
        **options,
    )
    two = ModuleStep(
        inputs_map={"given": first},
        outputs_map={"made": second},
        arguments=["--given", first, "--out", second, "--k", 5],
        **options,
    )
    run = experiment.submit(Pipeline(workspace, steps=[one, two]), pipeline_parameters={"k": 2})
    run.wait_for_completion(show_output=False)
    for step in run.get_steps():
        step.get_output_data("made").download(str(tmp_path / "down" / step.id))
    assert sorted(each.read_text() for each in (tmp_path / "down").rglob("made")) == ["14", "70"]
    module.disable()
    assert Module.get(workspace, module_id=module.id).status == "Disabled"


@pytest.mark.sdk("EstimatorStep", "MpiStep")
def test_estimators_and_mpi_steps_are_jobs(
    workspace: Any, compute: Any, here: Any, experiment: Any, tmp_path: Path
) -> None:
    from azureml.pipeline.core import Pipeline
    from azureml.pipeline.steps import EstimatorStep, MpiStep
    from azureml.train.estimator import Estimator

    (tmp_path / "rank.py").write_text(RANK)
    (tmp_path / "script.py").write_text(
        "import sys\nfrom azureml.core import Run\nRun.get_context().log('got', sys.argv[1])\n"
    )
    estimator = Estimator(str(tmp_path), compute_target=compute, entry_script="script.py", environment_definition=here)
    one = EstimatorStep(
        name="estimator",
        estimator=estimator,
        estimator_entry_script_arguments=["word"],
        compute_target=compute,
        allow_reuse=False,
    )
    two = MpiStep(
        name="mpi",
        source_directory=str(tmp_path),
        script_name="rank.py",
        arguments=["word"],
        compute_target=compute,
        node_count=1,
        process_count_per_node=2,
        environment_definition=here,
        allow_reuse=False,
    )
    run = experiment.submit(Pipeline(workspace, steps=[one, two]))
    run.wait_for_completion(show_output=False)
    found = {step.name: step.get_metrics() for step in run.get_steps()}
    assert found == {"estimator": {"got": "word"}, "mpi": {"of": "2 word"}}
