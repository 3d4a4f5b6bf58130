"""Command jobs of SDK v2, and the same runs through SDK v1."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from azureml_local.runtime.installer import interpreters

pytestmark = pytest.mark.slow

V2 = Callable[[str], Any]

SCRIPT = """
(here / "f").mkdir()
(here / "f" / "a.csv").write_text("x,y")
(here / "src").mkdir()
(here / "src" / "main.py").write_text('''
import json, os, pathlib, sys
data, file, out, made = sys.argv[1:5]
pathlib.Path(out, "o.txt").write_text("out")
pathlib.Path(made).write_text("made")
pathlib.Path("outputs", "model.txt").write_text("weights")
print(json.dumps({
    "data": os.listdir(data), "file": open(file).read(), "rest": sys.argv[5:], "given": os.environ["GIVEN"],
    "told": [os.environ["AZURE_ML_INPUT_data"] == data, os.environ["AZURE_ML_OUTPUT_out"] == out],
}))
''')
"""


def test_command_job_reads_inputs_writes_outputs_and_is_downloaded(
    v2: V2, workspace: Any, compute: Any, registered_here: str, tmp_path: Path
) -> None:
    found = v2(
        SCRIPT
        + """
ml_client.data.create_or_update(Data(name="v2-input", path=str(here / "f"), type="uri_folder", version="1"))
job = command(
    code=str(here / "src"),
    command="python main.py ${{inputs.data}} ${{inputs.file}} ${{outputs.out}} ${{outputs.made}} "
            "--rate ${{inputs.rate}} $[[--left-out ${{inputs.optional}}]]",
    inputs={"data": Input(type="uri_folder", path="azureml:v2-input:1"), "rate": 0.5,
            "file": Input(type="uri_file", path=str(here / "f" / "a.csv"), mode="download")},
    outputs={"out": Output(type="uri_folder"),
             "made": Output(type="uri_file", name="v2-made",
                            path="azureml://datastores/workspaceblobstore/paths/custom/${{name}}/made.txt")},
    environment="here@latest", compute="tests", environment_variables={"GIVEN": "yes"},
    experiment_name="v2-jobs", display_name="shown", description="words", tags={"k": "v"},
)
made = ml_client.jobs.create_or_update(job)
status = ended(made.name)
ml_client.jobs.download(made.name, download_path=here / "all", all=True)
ml_client.jobs.download(made.name, download_path=here / "one", output_name="out")
got = ml_client.jobs.get(made.name)
artifacts = f"azureml://jobs/{made.name}/outputs/artifacts/paths/outputs/model.txt"
of_job = ml_client.models.create_or_update(Model(name="v2-of-job", path=artifacts, type="custom_model"))
of_output = ml_client.models.create_or_update(Model(name="v2-of-job", path=f"azureml://jobs/{made.name}/outputs/out"))
print(json.dumps({
    "name": made.name, "status": status,
    "log": (here / "all" / "artifacts" / "user_logs" / "std_log.txt").read_text(),
    "outputs": [path for path in files_below(here / "all") if path.startswith(("named-outputs", "artifacts/outputs"))],
    "one": files_below(here / "one"), "registered": [each.version for each in ml_client.data.list("v2-made")],
    "shown": [got.display_name, got.experiment_name, got.description, got.tags, got.command],
    "jobs_model": [of_job.version, of_job.job_name], "outputs_model": of_output.path,
}))
"""
    )
    import json

    from azureml.core import Model, Run

    assert found["status"] == "Completed", found["log"]
    told = json.loads(found["log"].splitlines()[-1])
    assert told["data"] == ["a.csv"]
    assert told["file"] == "x,y"
    assert told["rest"] == ["--rate", "0.5"]
    assert told["given"] == "yes"
    assert told["told"] == [True, True]
    assert found["outputs"] == [
        "artifacts/outputs/model.txt",
        "named-outputs/made/made.txt",
        "named-outputs/out/o.txt",
    ]
    assert found["one"] == ["named-outputs/out/o.txt"]
    assert len(found["registered"]) == 1
    assert found["shown"][:4] == ["shown", "v2-jobs", "words", {"k": "v"}]
    assert "${{inputs.data}}" in found["shown"][4]
    assert found["jobs_model"] == ["1", found["name"]]
    assert found["outputs_model"].endswith(f"/azureml/{found['name']}/out")

    run = Run.get(workspace, found["name"])
    assert (run.experiment.name, run.status, run.display_name) == ("v2-jobs", "Completed", "shown")
    assert "outputs/model.txt" in run.get_file_names()
    model = Model(workspace, "v2-of-job", version=1)
    assert Path(model.download(str(tmp_path / "v1"))).read_text() == "weights"


def test_short_job_that_is_streamed_at_once_shows_its_log(v2: V2, compute: Any, registered_here: str) -> None:
    found = v2(
        """
        import contextlib, io
        ml_client.workspaces.get(names[2])  # imports mlflow, which takes longer than any grace on a busy machine
        made = ml_client.jobs.create_or_update(command(command="echo said", environment="here@latest", compute="tests"))
        with contextlib.redirect_stdout(io.StringIO()) as shown:
            ml_client.jobs.stream(made.name)
        print(json.dumps(shown.getvalue()))
        """
    )
    assert "Streaming user_logs/std_log.txt" in found
    assert "\nsaid\n" in found


def test_job_is_cancelled_archived_restored_and_changed(v2: V2, compute: Any, registered_here: str) -> None:
    found = v2(
        """
        made = ml_client.jobs.create_or_update(command(command="sleep 600", environment="here@latest", compute="tests"))
        ml_client.jobs.begin_cancel(made.name).result()
        status = ended(made.name)
        def listed():
            return made.name in [each.name for each in ml_client.jobs.list()]
        seen = [listed()]
        ml_client.jobs.archive(made.name)
        seen.append(listed())
        ml_client.jobs.restore(made.name)
        seen.append(listed())
        job = ml_client.jobs.get(made.name)
        job.tags["new"], job.description, job.display_name = "tag", "changed", "another"
        ml_client.jobs.create_or_update(job)
        got = ml_client.jobs.get(made.name)
        ml_client.jobs.show_services(made.name)
        print(json.dumps([status, seen, got.tags, got.description, got.display_name]))
        """
    )
    assert found == ["Canceled", [True, False, True], {"new": "tag"}, "changed", "another"]


def test_job_without_a_compute_runs_and_ends_at_its_timeout(v2: V2, registered_here: str) -> None:
    found = v2(
        """
        job = command(command="echo said; sleep 600", environment="here@latest")
        job.set_limits(timeout=1)
        made = ml_client.jobs.create_or_update(job)
        status = ended(made.name)
        print(json.dumps([status, made.compute, error_of(lambda: ml_client.jobs.stream(made.name))]))
        """
    )
    assert found[:2] == ["Failed", None]
    assert found[2].startswith("JobException")


def test_what_is_not_there_is_refused_before_there_is_a_job(v2: V2, compute: Any, registered_here: str) -> None:
    found = v2(
        """
        from azure.ai.ml import dsl
        from azure.ai.ml.sweep import Choice
        make = ml_client.jobs.create_or_update
        ml_client.data.create_or_update(Data(name="v2-web", version="1", path="https://example.org/x", type="uri_file"))
        def job(text="echo", environment="here@latest", **more):
            return command(**{"command": text, "environment": environment, "compute": "tests", **more})
        swept = command(command="echo ${{inputs.c}}", inputs={"c": 1}, environment="here@latest", compute="tests")
        sweep = swept(c=Choice([1, 2])).sweep(primary_metric="x", goal="maximize", sampling_algorithm="random")
        sweep.set_limits(max_total_trials=2)
        @dsl.pipeline(default_compute="tests")
        def pipeline():
            job()()
        curated = "azureml://registries/azureml/environments/sklearn-none/labels/latest"
        folder = Input(type="uri_folder", path="azureml:v2-web:1")
        before = len(list(ml_client.jobs.list()))
        errors = [error_of(lambda: make(each)) for each in (
            job(compute="nowhere"), job(environment="here:99"), job(environment=curated), job(instance_count=2),
            job("cat ${{inputs.d}}", inputs={"d": folder}), sweep, pipeline(),
        )]
        errors += [
            error_of(lambda: ml_client.components.get("x", version="1")),
            error_of(lambda: ml_client.online_endpoints.get("x")), error_of(lambda: list(ml_client.schedules.list())),
        ]
        print(json.dumps([errors, len(list(ml_client.jobs.list())) - before]))
        """
    )
    said = (
        *("There is no compute target 'nowhere'", "There is no version '99'", "isn't in azureml-local's list"),
        *("instance_count=2", "Set Input(type='uri_file'", "Sweep jobs", "Components, and the pipeline jobs"),
        *("Components", "Online endpoints of SDK v2", "Schedules of SDK v2"),
    )
    errors, more = found
    assert [words for words, error in zip(said, errors, strict=True) if words not in error] == [], errors
    assert more == 0


def test_runs_of_v1_are_jobs_of_v2(v2: V2, submit: Callable[..., Any], experiment: Any) -> None:
    submitted = submit("print(1)", ["--rate", 0.5])
    submitted.wait_for_completion()
    interactive = experiment.start_logging()
    interactive.complete()
    found = v2(
        f"""
        got = [ml_client.jobs.get(name) for name in {[submitted.id, interactive.id]!r}]
        listed = [each.name for each in ml_client.jobs.list() if each is not None]
        print(json.dumps([[each.status, each.experiment_name, each.command] for each in got]
                         + [all(each.name in listed for each in got)]))
        """
    )
    assert found[0] == ["Completed", experiment.name, "python script.py --rate 0.5"]
    assert found[1][:2] == ["Completed", experiment.name]
    assert found[2] is True


@pytest.mark.slow
def test_curated_environment_of_the_registry_is_built_and_imports(v2: V2, compute: Any) -> None:
    if not any(str(one.version).startswith("3.10.") for one in interpreters()):
        pytest.skip("there is no Python 3.10 on this machine")
    found = v2(
        """
        text = "python -c 'import sklearn, mlflow, pandas, azureml.mlflow; print(sklearn.__version__)'"
        curated = "azureml://registries/azureml/environments/sklearn-1.5/labels/latest"
        job = ml_client.jobs.create_or_update(command(command=text, environment=curated, compute="tests"))
        ml_client.jobs.stream(job.name)
        error = error_of(lambda: ml_client.jobs.create_or_update(command(
            command=text, environment="azureml://registries/elsewhere/environments/x/versions/1", compute="tests")))
        cuda = error_of(lambda: ml_client.jobs.create_or_update(command(
            command=text, environment="AzureML-acpt-pytorch-2.2-cuda12.1@latest", compute="tests")))
        newest = ml_client.environments.get("AzureML-sklearn-1.5", label="latest")
        print(json.dumps([ml_client.jobs.get(job.name).status, error, cuda, newest.conda_file["dependencies"][0]]))
        """
    )
    assert (found[0], found[3]) == ("Completed", "python=3.10")
    assert "The registry 'elsewhere' is not here" in found[1]
    assert "needs CUDA" in found[2]
