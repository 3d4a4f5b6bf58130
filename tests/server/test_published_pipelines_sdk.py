"""Published pipelines, their endpoints, drafts and schedules, through the real azureml.pipeline."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import requests

SCRIPT = "import sys\nfrom azureml.core import Run\nRun.get_context().log('got', sys.argv[1])\n"


@pytest.fixture(scope="module")
def pipeline(workspace: Any, compute: Any, here: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A pipeline of one step, which logs its parameter ``word``."""
    from azureml.core import RunConfiguration
    from azureml.pipeline.core import Pipeline, PipelineParameter
    from azureml.pipeline.steps import PythonScriptStep

    folder = tmp_path_factory.mktemp("published")
    (folder / "script.py").write_text(SCRIPT)
    configuration = RunConfiguration()
    configuration.environment = here
    step = PythonScriptStep(
        "script.py",
        name="says",
        source_directory=str(folder),
        arguments=[PipelineParameter("word", default_value="first")],
        compute_target=compute,
        runconfig=configuration,
        allow_reuse=False,
    )
    return Pipeline(workspace, steps=[step])


def said(run: Any) -> str:
    run.wait_for_completion(show_output=False)
    (step,) = run.find_step_run("says")
    return str(step.get_metrics()["got"])


@pytest.mark.sdk(
    "Pipeline.publish",
    "PipelineRun.publish_pipeline",
    "PublishedPipeline.disable",
    "PublishedPipeline.enable",
    "PublishedPipeline.get",
    "PublishedPipeline.get_graph",
    "PublishedPipeline.list",
    "PublishedPipeline.submit",
)
def test_published_pipeline_runs_from_the_sdk_and_from_its_address(
    workspace: Any, experiment: Any, pipeline: Any
) -> None:
    from azureml.core.authentication import InteractiveLoginAuthentication
    from azureml.pipeline.core import PipelineRun, PublishedPipeline

    published = pipeline.publish(name="says", description="says a word", version="1.0")
    assert (published.name, published.version, published.total_run_steps) == ("says", "1.0", 1)
    assert published.id in [each.id for each in PublishedPipeline.list(workspace)]
    assert [node.name for node in published.get_graph().module_nodes] == ["says"]

    body = {"ExperimentName": "unknown-till-now", "ParameterAssignments": {"word": "by address"}, "RunSource": "CI"}
    header = InteractiveLoginAuthentication().get_authentication_header()
    answer = requests.post(published.endpoint, headers=header, json=body, timeout=30)
    by_address = PipelineRun(workspace.experiments["unknown-till-now"], answer.json()["Id"])
    by_sdk = published.submit(workspace, experiment.name)
    assert said(by_address) == "by address"
    assert said(by_sdk) == "first"
    assert by_sdk.properties["azureml.pipelineid"] == published.id
    assert by_address.properties["azureml.runsource"] == "azureml.PipelineRun"

    wrong = requests.post(
        published.endpoint, headers=header, json={**body, "ParameterAssignments": {"wrd": "x"}}, timeout=30
    )
    assert wrong.status_code == 400
    assert "has no parameter 'wrd'; of this kind it has 'word'" in wrong.json()["Error"]["Message"]
    nobody = requests.post(published.endpoint, json=body, timeout=30)
    assert nobody.status_code == 401

    again = by_sdk.publish_pipeline(name="again", description="", version="2")
    assert again.id in [each.id for each in PublishedPipeline.list(workspace)]
    published.disable()
    assert published.id not in [each.id for each in PublishedPipeline.list(workspace)]
    with pytest.raises(Exception, match="is disabled: enable"):
        PublishedPipeline.get(workspace, published.id).submit(workspace, experiment.name)
    published.enable()
    assert PublishedPipeline.get(workspace, published.id).status == "Active"


@pytest.mark.sdk(
    "PipelineEndpoint.add",
    "PipelineEndpoint.add_default",
    "PipelineEndpoint.archive",
    "PipelineEndpoint.get",
    "PipelineEndpoint.list",
    "PipelineEndpoint.list_pipelines",
    "PipelineEndpoint.list_versions",
    "PipelineEndpoint.publish",
    "PipelineEndpoint.set_default_version",
    "PipelineEndpoint.submit",
)
def test_endpoint_runs_its_default_version_or_the_one_that_is_named(
    workspace: Any, experiment: Any, pipeline: Any
) -> None:
    from azureml.pipeline.core import PipelineEndpoint

    one, two = pipeline.publish(name="one"), pipeline.publish(name="two")
    endpoint = PipelineEndpoint.publish(workspace, name="says", pipeline=one, description="d")
    with pytest.raises(Exception, match="already"):
        PipelineEndpoint.publish(workspace, name="says", pipeline=one, description="d")
    endpoint.add_default(two)
    endpoint = PipelineEndpoint.get(workspace, name="says")
    assert (endpoint.default_version, [each.version for each in endpoint.list_versions()]) == ("1", ["0", "1"])
    newest = endpoint.submit(experiment.name)
    oldest = endpoint.submit(experiment.name, pipeline_version="0", pipeline_parameters={"word": "old"})
    assert newest.properties["azureml.pipelineid"] == two.id
    assert oldest.properties["azureml.pipelineid"] == one.id
    assert said(oldest) == "old"
    assert said(newest) == "first"
    endpoint.set_default_version("0")
    assert PipelineEndpoint.get(workspace, id=endpoint.id).default_version == "0"
    assert {each.id for each in endpoint.list_pipelines()} == {one.id, two.id}
    endpoint.archive()
    assert endpoint.id not in [each.id for each in PipelineEndpoint.list(workspace)]


@pytest.mark.sdk(
    "PipelineDraft.create",
    "PipelineDraft.delete",
    "PipelineDraft.get",
    "PipelineDraft.get_graph",
    "PipelineDraft.list",
    "PipelineDraft.publish",
    "PipelineDraft.submit_run",
    "PipelineDraft.update",
)
def test_draft_is_changed_and_then_run_or_published(workspace: Any, experiment: Any, pipeline: Any) -> None:
    from azureml.pipeline.core import PipelineDraft

    draft = PipelineDraft.create(
        workspace, pipeline, name="draft", experiment_name=experiment.name, tags={"a": "b"}, properties={"p": "q"}
    )
    assert [each.id for each in PipelineDraft.list(workspace, tags={"a": "b"})] == [draft.id]
    draft.update(pipeline_parameters={"word": "drafted"}, description="changed")
    draft = PipelineDraft.get(workspace, draft.id)
    assert draft.description == "changed"
    assert [node.name for node in draft.get_graph().module_nodes] == ["says"]
    assert said(draft.submit_run()) == "drafted"
    assert draft.publish().name == "draft"
    with pytest.raises(Exception, match="has no parameter 'wrd'"):
        draft.update(pipeline_parameters={"wrd": "x"})
    draft.delete()
    with pytest.raises(Exception, match="There is no pipeline draft"):
        PipelineDraft.get(workspace, draft.id)


@pytest.mark.sdk(
    "Schedule.create",
    "Schedule.disable",
    "Schedule.enable",
    "Schedule.get",
    "Schedule.get_last_pipeline_run",
    "Schedule.get_pipeline_runs",
    "Schedule.list",
    "Schedule.update",
    "ScheduleRecurrence",
)
def test_schedule_without_a_start_fires_at_once_and_one_with_a_start_waits(
    workspace: Any, experiment: Any, pipeline: Any, wait_for: Callable[..., Any]
) -> None:
    from azureml.pipeline.core import Schedule, ScheduleRecurrence, TimeZone

    published = pipeline.publish(name="scheduled")
    later = ScheduleRecurrence(
        frequency="Week",
        interval=2,
        week_days=["Monday", "Friday"],
        time_of_day="18:30",
        start_time="2099-01-01T00:00:00",
        time_zone=TimeZone.PacificStandardTime,
    )
    waits = Schedule.create(workspace, "waits", published.id, experiment.name, recurrence=later)
    at_once = Schedule.create(
        workspace,
        "at-once",
        published.id,
        experiment.name,
        recurrence=ScheduleRecurrence(frequency="Hour", interval=1),
        pipeline_parameters={"word": "on time"},
        wait_for_provisioning=True,
    )
    run = wait_for(at_once.get_last_pipeline_run, 30)
    assert said(run) == "on time"
    assert run.properties["azureml.scheduleid"] == at_once.id
    assert run.properties["runType"] == "Schedule"
    assert [each.id for each in at_once.get_pipeline_runs()] == [run.id]
    assert waits.get_last_pipeline_run() is None
    known = Schedule.get(workspace, waits.id).recurrence
    assert (known.week_days, known.hours, known.minutes) == (["Monday", "Friday"], [18], [30])
    assert known.time_zone is TimeZone.PacificStandardTime
    at_once.disable(wait_for_provisioning=True)
    assert {each.id for each in Schedule.list(workspace)} == {waits.id}
    waits.update(name="other", description="said")
    assert Schedule.get(workspace, waits.id).name == "other"
    at_once.enable(wait_for_provisioning=True)
    assert [each.id for each in at_once.get_pipeline_runs()] == [run.id]
    for each in (waits, at_once):
        each.disable()
