"""Pipelines, through the real azureml.pipeline: steps in their order, data between them, what a user sees of them."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pytest

from azureml_local.client.instance import LocalServer

WRITE = """
import os, sys
os.makedirs(sys.argv[1])
open(os.path.join(sys.argv[1], "n.txt"), "w").write("42")
print("written")
"""
READ = """
import os, sys
from azureml.core import Run
run = Run.get_context(allow_offline=False)
run.log("n", int(open(os.path.join(sys.argv[1], "n.txt")).read()))
run.parent.log("told", 1)
print("read")
"""
WAIT = """
import time
while True:
    time.sleep(0.1)
"""

Step = Callable[..., Any]
Submit = Callable[..., Any]


@pytest.fixture
def step(compute: Any, here: Any, tmp_path: Path) -> Step:
    """A PythonScriptStep of a script's text."""
    from azureml.core import RunConfiguration
    from azureml.pipeline.steps import PythonScriptStep

    configuration = RunConfiguration()
    configuration.environment = here

    def make(name: str, text: str, **options: Any) -> Any:
        folder = tmp_path / name
        folder.mkdir()
        (folder / "script.py").write_text(textwrap.dedent(text))
        settings = {"allow_reuse": False, "compute_target": compute, "runconfig": configuration, **options}
        return PythonScriptStep("script.py", name=name, source_directory=str(folder), **settings)

    return make


@pytest.fixture
def submit(workspace: Any, experiment: Any) -> Iterator[Submit]:
    """Submit a pipeline of these steps; whatever still runs at the end is cancelled."""
    from azureml.pipeline.core import Pipeline

    runs = []

    def start(steps: list[Any], **options: Any) -> Any:
        runs.append(experiment.submit(Pipeline(workspace, steps=steps), **options))
        return runs[-1]

    yield start
    for run in runs:
        if run.get_status() not in ("Finished", "Failed", "Canceled"):
            run.cancel()


def printed(run: Any, **options: Any) -> str:
    out = io.StringIO()
    with redirect_stdout(out):
        run.wait_for_completion(show_output=True, **options)
    return out.getvalue()


def pipeline_data(workspace: Any, name: str) -> Any:
    from azureml.pipeline.core import PipelineData

    return PipelineData(name, datastore=workspace.get_default_datastore())


@pytest.mark.sdk(
    "Pipeline.submit",
    "PipelineData",
    "PipelineRun.find_step_run",
    "PipelineRun.get_graph",
    "PipelineRun.get_status",
    "PipelineRun.get_steps",
    "PipelineRun.wait_for_completion",
    "PythonScriptStep",
    "StepRun.get_output_data",
    "StepRun.get_outputs",
    "StepRun.get_status",
)
def test_two_steps_pass_a_folder_and_stream_what_they_print(
    workspace: Any, step: Step, submit: Submit, tmp_path: Path
) -> None:
    between = pipeline_data(workspace, "between")
    first = step("first", WRITE, arguments=[between], outputs=[between])
    second = step("second", READ, arguments=[between], inputs=[between])
    run = submit([second, first])
    shown = printed(run)
    assert "\nwritten\n" in shown  # a short step prints
    assert "\nread\n" in shown  # and so does the last one
    assert run.get_status() == "Finished"
    steps = {each.name: each for each in run.get_steps()}
    assert {name: (each.get_status(), each.get_metrics()) for name, each in steps.items()} == {
        "first": ("Finished", {}),
        "second": ("Finished", {"n": 42}),
    }
    assert run.get_metrics() == {"told": 1}  # run.parent is the pipeline
    (found,) = run.find_step_run("first")
    assert found.pipeline_run_id == run.id
    assert list(found.get_outputs()) == ["between"]
    found.get_output_data("between").download(str(tmp_path / "down"))
    assert [path.read_text() for path in (tmp_path / "down").rglob("n.txt")] == ["42"]
    assert {node.name for node in run.get_graph().nodes} >= {"first", "second"}


def test_pipeline_data_that_is_a_file_is_passed_as_a_file(workspace: Any, step: Step, submit: Submit) -> None:
    between = pipeline_data(workspace, "single")
    first = step("first", "import sys\nopen(sys.argv[1], 'w').write('7')", arguments=[between], outputs=[between])
    reads = "import sys\nfrom azureml.core import Run\nRun.get_context().log('n', int(open(sys.argv[1]).read()))"
    run = submit([step("second", reads, arguments=[between], inputs=[between]), first])
    run.wait_for_completion(show_output=False)
    assert run.find_step_run("second")[0].get_metrics() == {"n": 7}


def test_pipeline_data_that_nobody_writes_is_an_empty_folder(workspace: Any, step: Step, submit: Submit) -> None:
    between = pipeline_data(workspace, "unwritten")
    first = step("first", "", arguments=[between], outputs=[between])
    reads = "import os, sys\nassert os.listdir(sys.argv[1]) == []"
    run = submit([first, step("second", reads, arguments=[between], inputs=[between])])
    run.wait_for_completion(show_output=False)
    assert run.get_status() == "Finished"


@pytest.mark.sdk("StepRun.wait_for_completion")
def test_a_failing_step_raises_with_its_message_and_its_successors_do_not_run(step: Step, submit: Submit) -> None:
    from azureml.exceptions import ActivityFailedException

    bad, after = step("bad", "raise SystemExit(3)"), step("after", "")
    after.run_after(bad)
    run = submit([after])
    with pytest.raises(ActivityFailedException, match="SystemExit: 3"):
        printed(run)
    with pytest.raises(ActivityFailedException, match="The step 'bad' failed"):
        run.wait_for_completion(show_output=False)
    assert run.get_status() == "Failed"
    assert [each.name for each in run.get_steps()] == ["bad"]


def test_other_steps_go_on_after_a_failure_where_that_is_asked_for(step: Step, submit: Submit) -> None:
    bad, after, other, last = step("bad", "raise SystemExit(3)"), step("after", ""), step("other", ""), step("last", "")
    after.run_after(bad)
    last.run_after(other)
    run = submit([after, last], continue_on_step_failure=True)
    run.wait_for_completion(show_output=False, raise_on_error=False)
    assert run.get_status() == "Failed"
    assert sorted(each.name for each in run.get_steps()) == ["bad", "last", "other"]


@pytest.mark.sdk("PipelineRun.cancel")
@pytest.mark.parametrize("by", ["PipelineRun", "Run"])
def test_cancelling_a_pipeline_ends_its_steps(
    experiment: Any,
    compute: Any,
    here: Any,
    submit: Submit,
    wait_for: Callable[..., Any],
    tmp_path: Path,
    by: str,
    step: Step,
) -> None:
    from azureml.core import Run
    from azureml.pipeline.steps import HyperDriveStep

    sweep = sweep_of(WAIT, tmp_path, compute, here)
    tune = HyperDriveStep(name="tune", hyperdrive_config=sweep, estimator_entry_script_arguments=[])
    run = submit([step("waits", WAIT), tune])
    wait_for(lambda: [each.get_status() for each in run.get_steps()] == ["Running", "Running"], 60)
    if by == "PipelineRun":
        run.cancel()
    else:
        Run(experiment, run.id).cancel()
    wait_for(lambda: run.get_status() == "Canceled", 60)
    assert [each.get_status() for each in run.get_steps()] == ["Canceled", "Canceled"]


@pytest.mark.sdk("DataReference", "PipelineParameter")
def test_parameters_data_references_and_words_with_variables_reach_the_script(
    workspace: Any, step: Step, submit: Submit, tmp_path: Path
) -> None:
    from azureml.data.data_reference import DataReference
    from azureml.pipeline.core import PipelineParameter

    store = workspace.get_default_datastore()
    (tmp_path / "in.txt").write_text("given")
    store.upload_files([str(tmp_path / "in.txt")], target_path="pipelines", show_progress=False, overwrite=True)
    given = DataReference(datastore=store, data_reference_name="given", path_on_datastore="pipelines")
    count = PipelineParameter("count", default_value=3)
    text = """
    import os, sys
    from azureml.core import Run
    folder, count, word = sys.argv[1:]
    Run.get_context().log_row("seen", text=open(os.path.join(folder, "in.txt")).read(), count=count, word=word,
                              variable=os.environ["AML_PARAMETER_count"],
                              same=os.environ["AZUREML_DATAREFERENCE_given"] == folder)
    """
    reads = step("reads", text, arguments=[given, count, "k=$AML_PARAMETER_count"], inputs=[given])
    run = submit([reads], pipeline_parameters={"count": 5})
    run.wait_for_completion(show_output=False)
    seen = run.find_step_run("reads")[0].get_metrics()["seen"]
    assert seen == {"text": "given", "count": "5", "word": "k=5", "variable": "5", "same": True}


@pytest.mark.sdk("CommandStep", "OutputFileDatasetConfig.as_input")
def test_commands_pass_an_output_dataset_on(compute: Any, here: Any, submit: Submit, tmp_path: Path) -> None:
    from azureml.core import RunConfiguration
    from azureml.data import OutputFileDatasetConfig
    from azureml.pipeline.steps import CommandStep

    configuration = RunConfiguration()
    configuration.environment = here
    folder = tmp_path / "empty"
    folder.mkdir()
    options = {"source_directory": str(folder), "compute_target": compute, "runconfig": configuration}
    made = OutputFileDatasetConfig(name="made")
    first = CommandStep(name="first", command=["cp", "/etc/hostname", made], allow_reuse=False, **options)
    second = CommandStep(
        name="lists",
        command=["test", "-f", made.as_input("given"), "-o", "-f", "$given/hostname"],
        allow_reuse=False,
        **options,
    )
    run = submit([first, second])
    run.wait_for_completion(show_output=False)
    assert run.get_status() == "Finished"
    assert [each.get_status() for each in run.find_step_run("lists")] == ["Finished"]


@pytest.mark.sdk("ParallelRunStep")
def test_parallel_steps_share_out_files_and_the_partitions_of_a_table(
    workspace: Any, compute: Any, here: Any, submit: Submit, tmp_path: Path
) -> None:
    from azureml.core import Dataset
    from azureml.pipeline.core import PipelineParameter
    from azureml.pipeline.steps import ParallelRunConfig, ParallelRunStep

    store = workspace.get_default_datastore()
    for k in "ab":
        (tmp_path / "parts" / k).mkdir(parents=True)
        (tmp_path / "parts" / k / "t.csv").write_text(f"x\n{ord(k)}\n1\n")
    store.upload(str(tmp_path / "parts"), "parallel/parts", show_progress=False, overwrite=True)
    scripts = tmp_path / "scripts"
    scripts.mkdir()
    (scripts / "files.py").write_text(
        "import sys\n\ndef run(batch):\n    return [each[-7] + sys.argv[2] for each in batch]\n"
    )
    (scripts / "table.py").write_text(
        "def run(batch, context):\n"
        "    k = context.partition_key_value['k']\n"
        "    if k == 'b':\n        raise ValueError('no b')\n"
        "    return batch[['k', 'x']]\n"
    )

    def configuration(script: str, **options: Any) -> Any:
        return ParallelRunConfig(
            source_directory=str(scripts),
            entry_script=script,
            output_action="append_row",
            environment=here,
            compute_target=compute,
            **{"node_count": 2, **options},
        )

    size = PipelineParameter("batch_size", default_value="1")
    files = Dataset.File.from_files((store, "parallel/parts/**"), validate=False)
    named, keyed = pipeline_data(workspace, "named"), pipeline_data(workspace, "keyed")
    first = ParallelRunStep(
        name="files",
        inputs=[files.as_named_input("files")],
        output=named,
        arguments=["--word", "!"],
        parallel_run_config=configuration(
            "files.py", mini_batch_size=size, error_threshold=0, append_row_file_name="rows.txt"
        ),
        allow_reuse=False,
    )
    table = Dataset.Tabular.from_delimited_files((store, "parallel/parts/*/t.csv"), partition_format="/{k}/t.csv")
    second = ParallelRunStep(
        name="table",
        inputs=[table.as_named_input("table")],
        output=keyed,
        # One process, which takes the groups in order: a is done when b is lost.
        parallel_run_config=configuration(
            "table.py", partition_keys=["k"], error_threshold=1, run_max_try=1, node_count=1, process_count_per_node=1
        ),
        allow_reuse=False,
    )
    run = submit([first, second], continue_on_step_failure=True)
    run.wait_for_completion(show_output=False, raise_on_error=False)
    (files_run,), (table_run,) = run.find_step_run("files"), run.find_step_run("table")
    files_run.get_output_data("named").download(str(tmp_path / "down"))
    (rows,) = (tmp_path / "down").rglob("rows.txt")
    assert sorted(rows.read_text().split()) == ["a!", "b!"]
    # The group b was lost, two rows where one may be.
    assert table_run.get_status() == "Failed"
    assert "2 of 4 items failed, which is more than error_threshold=1" in str(table_run.get_details()["error"])
    table_run.get_output_data("keyed").download(str(tmp_path / "keyed"))
    (rows,) = (tmp_path / "keyed").rglob("parallel_run_step.txt")
    assert rows.read_text() == "a 97\na 1\n"


def execution_log(run: Any) -> str:
    import requests

    url = run.get_details()["logFiles"]["logs/azureml/executionlogs.txt"]
    return requests.get(url, timeout=30).text


def reused(run: Any) -> dict[str, bool]:
    return {each.name: each.properties.get("azureml.isreused") == "true" for each in run.get_steps()}


@pytest.mark.sdk("StepRun.get_details_with_logs", "StepRun.get_stdout_log")
def test_reuse_takes_the_outputs_of_the_last_run_that_did_the_same(
    workspace: Any, step: Step, submit: Submit, tmp_path: Path, server: LocalServer
) -> None:
    import requests
    from azureml.pipeline.core import PipelineParameter

    between = pipeline_data(workspace, "kept")
    count = PipelineParameter("count", default_value=3)
    step("makes", WRITE, arguments=[between, count], outputs=[between], allow_reuse=True)
    second = step("reads", READ, arguments=[between], inputs=[between], allow_reuse=True)
    ran = submit([second])
    ran.wait_for_completion(show_output=False)
    assert "'makes'" in execution_log(ran)
    assert "no run of it has completed" in execution_log(ran)

    again = submit([second])
    again.wait_for_completion(show_output=False)
    steps = {each.name: each for each in again.get_steps()}
    originals = {each.name: each for each in ran.get_steps()}
    assert reused(again) == {"makes": True, "reads": True}
    assert {each.properties["azureml.reusedrunid"] for each in steps.values()} == {each.id for each in ran.get_steps()}
    assert steps["makes"].properties["azureml.reusedpipelinerunid"] == ran.id
    assert f"it reuses {originals['makes'].id} of {ran.id}" in execution_log(again)
    assert "was not run" in steps["makes"].get_details_with_logs()["logFiles"]["user_logs/std_log.txt"]
    steps["makes"].get_output_data("kept").download(str(tmp_path / "down"))
    assert [path.read_text() for path in (tmp_path / "down").rglob("n.txt")] == ["42"]

    studio = server.status()["studio"]
    page = requests.get(f"{studio}/runs/{again.id}", timeout=30).text
    assert page.count('class="box Completed"') == 2
    assert page.count(">Reused</text>") == 2
    assert page.count('class="wire"') == 1
    page = requests.get(f"{studio}/runs/{steps['makes'].id}", timeout=30).text
    assert f"/runs/{originals['makes'].id}" in page.partition("not run: it has the outputs of")[2][:200]

    other = submit([second], pipeline_parameters={"count": 4})
    other.wait_for_completion(show_output=False)
    assert reused(other) == {"makes": False, "reads": False}
    assert f"other than in its last completed run, {originals['makes'].id}: parameters" in execution_log(other)

    forced = submit([second], regenerate_outputs=True)
    forced.wait_for_completion(show_output=False)
    assert reused(forced) == {"makes": False, "reads": False}


TRIAL = """
import argparse, os
from azureml.core import Run
parser = argparse.ArgumentParser()
parser.add_argument("--given")
parser.add_argument("--x", type=float)
known = parser.parse_args()
os.makedirs("outputs", exist_ok=True)
open("outputs/model.txt", "w").write(f"{known.x:g} {open(os.path.join(known.given, 'n.txt')).read()}")
Run.get_context(allow_offline=False).log("score", known.x)
"""


def sweep_of(text: str, folder: Path, compute: Any, here: Any) -> Any:
    """A HyperDriveConfig of two runs."""
    from azureml.core import ScriptRunConfig
    from azureml.train.hyperdrive import GridParameterSampling, HyperDriveConfig, PrimaryMetricGoal, choice

    (folder / "trial").mkdir()
    (folder / "trial" / "trial.py").write_text(text)
    script = ScriptRunConfig(str(folder / "trial"), script="trial.py", compute_target=compute, environment=here)
    return HyperDriveConfig(
        run_config=script,
        hyperparameter_sampling=GridParameterSampling({"--x": choice(0.5, 0.25)}),
        primary_metric_name="score",
        primary_metric_goal=PrimaryMetricGoal.MAXIMIZE,
        max_total_runs=2,
    )


@pytest.mark.sdk("HyperDriveStep", "HyperDriveStepRun")
def test_a_sweep_as_a_step_passes_on_its_metrics_and_its_best_model(
    workspace: Any, compute: Any, here: Any, step: Step, submit: Submit, tmp_path: Path
) -> None:
    import json

    from azureml.pipeline.core import PipelineData, TrainingOutput
    from azureml.pipeline.steps import HyperDriveStep, HyperDriveStepRun

    store = workspace.get_default_datastore()
    sweep = sweep_of(TRIAL, tmp_path, compute, here)
    between, metrics = pipeline_data(workspace, "between"), pipeline_data(workspace, "metrics")
    model = PipelineData(
        "model", datastore=store, training_output=TrainingOutput("Model", model_file="outputs/model.txt")
    )
    first = step("first", WRITE, arguments=[between], outputs=[between])
    tune = HyperDriveStep(
        name="tune",
        hyperdrive_config=sweep,
        estimator_entry_script_arguments=["--given", between],
        inputs=[between],
        outputs=[model],
        metrics_output=metrics,
        allow_reuse=True,
    )
    text = """
    import json, sys
    from azureml.core import Run
    metrics, model = (open(each).read() for each in sys.argv[1:])
    Run.get_context().log_row("seen", runs=len(json.loads(metrics)), model=model)
    """
    last = step("last", text, arguments=[metrics, model], inputs=[metrics, model])
    run = submit([first, tune, last])
    run.wait_for_completion(show_output=False)
    assert run.get_status() == "Finished"
    assert run.find_step_run("last")[0].get_metrics()["seen"] == {"runs": 2, "model": "0.5 42"}
    (tuned,) = run.find_step_run("tune")
    found = HyperDriveStepRun(tuned)
    best = found.get_best_run_by_primary_metric()
    assert best.get_metrics() == {"score": 0.5}
    assert tuned.get_status() == "Finished"
    tuned.get_output_data("metrics").download(str(tmp_path / "down"))
    (file,) = (path for path in (tmp_path / "down").rglob("*") if path.is_file())
    assert json.loads(file.read_text())[best.id] == {"score": [0.5]}
