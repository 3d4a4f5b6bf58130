"""Data of pipelines through the real azureml.pipeline: what steps make as tables, outputs of the whole, data paths."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROWS = """
import os, sys
os.makedirs(sys.argv[1])
open(os.path.join(sys.argv[1], "n.csv"), "w").write("x\\n1\\n2\\n")
"""
LISTS = "import os, sys\nassert os.listdir(sys.argv[1]) == ['{}'], os.listdir(sys.argv[1])"

Step = Callable[..., Any]


@pytest.fixture
def step(compute: Any, here: Any, tmp_path: Path) -> Step:
    """A PythonScriptStep of a script's text, which is never reused."""
    from azureml.core import RunConfiguration
    from azureml.pipeline.steps import PythonScriptStep

    configuration = RunConfiguration()
    configuration.environment = here

    def make(name: str, text: str, **options: Any) -> Any:
        folder = tmp_path / name
        folder.mkdir()
        (folder / "script.py").write_text(text)
        settings = {"allow_reuse": False, "compute_target": compute, "runconfig": configuration, **options}
        return PythonScriptStep("script.py", name=name, source_directory=str(folder), **settings)

    return make


@pytest.fixture
def other(workspace: Any) -> Iterator[Any]:
    """A second datastore."""
    from azureml.core import Datastore

    made = Datastore.register_azure_blob_container(workspace, "for_steps", "steps", "anaccount", account_key="a2V5")
    yield made
    made.unregister()


@pytest.mark.sdk("PipelineData.as_dataset")
def test_data_of_a_step_is_read_as_files_and_as_a_table_by_the_users_names(
    workspace: Any, experiment: Any, compute: Any, here: Any, step: Step, tmp_path: Path
) -> None:
    from azureml.pipeline.core import Pipeline, PipelineData
    from azureml.pipeline.steps import ParallelRunConfig, ParallelRunStep

    made = PipelineData("made", datastore=workspace.get_default_datastore()).as_dataset()
    table = made.parse_delimited_files()
    step("writes", ROWS, arguments=[made], outputs=[made])
    reads = step(
        "reads",
        "import os\n"
        "from azureml.core import Run\n"
        "run = Run.get_context()\n"
        "rows, files = (run.input_datasets[name] for name in ('rows', 'files'))\n"
        "total = int(rows.to_pandas_dataframe()['x'].astype(int).sum())\n"
        "run.log_row('seen', total=total, files=' '.join(os.listdir(files)))\n",
        inputs=[table.as_named_input("rows"), made.as_named_input("files").as_mount()],
    )
    (tmp_path / "entry.py").write_text("def run(batch):\n    return [int(x) * 2 for x in batch['x']]\n")
    doubled = PipelineData("doubled", datastore=workspace.get_default_datastore())
    doubles = ParallelRunStep(
        name="doubles",
        inputs=[table.as_named_input("shared")],
        output=doubled,
        parallel_run_config=ParallelRunConfig(
            source_directory=str(tmp_path),
            entry_script="entry.py",
            error_threshold=0,
            output_action="append_row",
            environment=here,
            compute_target=compute,
            node_count=1,
        ),
        allow_reuse=False,
    )
    run = experiment.submit(Pipeline(workspace, steps=[reads, doubles]))
    run.wait_for_completion(show_output=False)
    assert run.find_step_run("reads")[0].get_metrics()["seen"] == {"total": 3, "files": "n.csv"}
    run.find_step_run("doubles")[0].get_output_data("doubled").download(str(tmp_path / "down"))
    (rows,) = (tmp_path / "down").rglob("parallel_run_step.txt")
    assert rows.read_text() == "2\n4\n"


@pytest.mark.sdk(
    "PipelineData.as_download",
    "PipelineData.as_mount",
    "PipelineRun.get_pipeline_output",
    "PipelineRun.get_tags",
    "Pipeline.validate",
    "StepRun.get_job_log",
    "StepRun.get_output",
    "StepRun.get_stderr_log",
    "StepSequence",
)
def test_pipeline_below_a_run_has_tags_outputs_and_steps_in_sequence(
    workspace: Any, experiment: Any, step: Step, other: Any, tmp_path: Path
) -> None:
    from azureml.core import Experiment
    from azureml.data.datapath import DataPath, DataPathComputeBinding
    from azureml.pipeline.core import Pipeline, PipelineData, PipelineParameter, StepSequence

    store = workspace.get_default_datastore()
    (tmp_path / "given.txt").write_text("")
    store.upload_files([str(tmp_path / "given.txt")], target_path="given", show_progress=False, overwrite=True)
    path = PipelineParameter("path", default_value=DataPath(store, "nothing"))
    bound = (path, DataPathComputeBinding(mode="mount"))
    made = PipelineData("made", datastore=other, pipeline_output_name="final")
    writes = step("writes", ROWS, arguments=[made], outputs=[made])
    mounts = step("mounts", LISTS.format("n.csv"), arguments=[made], inputs=[made.as_mount()])
    downloads = step("downloads", LISTS.format("n.csv"), arguments=[made], inputs=[made.as_download()])
    last = step("last", LISTS.format("given.txt"), arguments=[bound], inputs=[bound])
    pipeline = Pipeline(workspace, steps=StepSequence(steps=[writes, [mounts, downloads], last]))
    assert pipeline.validate() == []
    parameters = {"path": DataPath(store, "given")}
    parent = experiment.start_logging(snapshot_directory=None)
    below = pipeline.submit(experiment.name, pipeline_parameters=parameters, parent_run_id=parent.id)
    assert [child.id for child in parent.get_children()] == [below.id]
    tagged = Experiment(workspace, experiment.name).submit(pipeline, pipeline_parameters=parameters, tags={"a": "b"})
    below.wait_for_completion(show_output=False)
    parent.complete()
    order = [each.name for each in sorted(below.get_steps(), key=lambda each: each.get_details()["startTimeUtc"])]
    assert (order[0], sorted(order[1:3]), order[3]) == ("writes", ["downloads", "mounts"], "last")
    below.get_pipeline_output("final").download(str(tmp_path / "down"))
    assert [found.name for found in (tmp_path / "down").rglob("*.csv")] == ["n.csv"]
    (wrote,) = below.find_step_run("writes")
    reference = wrote.get_output("made").get_port_data_reference()
    assert (reference.datastore.name, reference.path_on_datastore) == ("for_steps", f"azureml/{wrote.id}/made")
    assert "The run is Completed." in wrote.get_job_log()
    assert wrote.get_stderr_log() == ""
    tagged.wait_for_completion(show_output=False)
    assert tagged.get_tags()["a"] == "b"
