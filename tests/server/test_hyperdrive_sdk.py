"""Sweeps, through the real azureml.train.hyperdrive: what is sampled, what is ended early, what is found best."""

from __future__ import annotations

import io
import json
import textwrap
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pytest

from azureml_local.client.instance import LocalServer
from azureml_local.storage.inspection import open_read_only

# It logs as many values as it is told to; the larger x is, the better.
SCRIPT = """
import argparse, sys, time
from azureml.core import Run
parser = argparse.ArgumentParser()
parser.add_argument("--x", type=float, default=0)
parser.add_argument("--kind", default="steady")
parser.add_argument("--steps", type=int, default=1)
args = parser.parse_args()
run = Run.get_context()
for step in range(args.steps):
    run.log("score", args.x * (step + 1))
    run.flush()
    time.sleep(0.3 if args.steps > 1 else 0)
if args.kind == "failing":
    sys.exit(3)
"""

Start = Callable[..., Any]


@pytest.fixture
def sweep(experiment: Any, compute: Any, here: Any, tmp_path: Path) -> Iterator[Start]:
    """Submit a sweep of the script; whatever still runs at the end is cancelled."""
    from azureml.core import ScriptRunConfig
    from azureml.train.hyperdrive import HyperDriveConfig, PrimaryMetricGoal

    runs = []

    def submit(sampling: Any, arguments: list[Any] | None = None, script: str = SCRIPT, **options: Any) -> Any:
        folder = tmp_path / "source"
        folder.mkdir(exist_ok=True)
        (folder / "train.py").write_text(textwrap.dedent(script))
        what = {"script": "train.py", "arguments": arguments} if "command" not in options else {}
        job = ScriptRunConfig(
            str(folder),
            compute_target=options.pop("compute_target", compute),
            environment=here,
            **what,
            **({"command": options.pop("command")} if "command" in options else {}),
        )
        settings = {
            "primary_metric_name": "score",
            "primary_metric_goal": PrimaryMetricGoal.MAXIMIZE,
            "max_total_runs": 4,
            **options,
        }
        runs.append(experiment.submit(HyperDriveConfig(run_config=job, hyperparameter_sampling=sampling, **settings)))
        return runs[-1]

    yield submit
    for run in runs:
        if run.get_status() not in ("Completed", "Failed", "Canceled"):
            run.cancel()


@pytest.mark.sdk_refused("HyperDriveRun.get_diagnostics", "HyperDriveRun.fail")
@pytest.mark.sdk(
    "GridParameterSampling",
    "HyperDriveRun.get_best_run_by_primary_metric",
    "HyperDriveRun.get_children_sorted_by_primary_metric",
    "HyperDriveRun.get_hyperparameters",
    "HyperDriveRun.get_metrics",
    "HyperDriveRun.hyperdrive_config",
)
def test_a_grid_is_run_and_its_best_run_found(
    sweep: Start, experiment: Any, workspace: Any, server: LocalServer
) -> None:
    from azureml.core import Run
    from azureml.train.hyperdrive import GridParameterSampling, HyperDriveRun, choice
    from azureml.train.hyperdrive.exceptions import HyperDriveNotImplementedException

    space = {"--x": choice(1, 2.5), "kind": choice("steady", "failing")}
    parent = sweep(GridParameterSampling(space), ["--steps", 1], max_total_runs=10, max_concurrent_runs=2)
    assert parent.id.startswith("HD_")
    said = io.StringIO()
    with redirect_stdout(said):
        details = parent.wait_for_completion(show_output=True)
    assert "is started with" in said.getvalue()
    assert (details["status"], details["properties"]["runTemplate"]) == ("Completed", "HyperDrive")

    parent = Run.get(workspace, parent.id)  # the SDK reads tags when it makes a run's object, and not again
    assert isinstance(parent, HyperDriveRun)
    hyperparameters = {name: json.loads(text) for name, text in parent.get_hyperparameters().items()}
    assert list(hyperparameters) == [f"{parent.id}_{number}" for number in range(4)]
    assert list(hyperparameters.values()) == [
        {"--x": x, "kind": kind} for x in (1, 2.5) for kind in ("steady", "failing")
    ]
    children = {run.id: run for run in parent.get_children()}
    assert {name: run.get_status() for name, run in children.items()} == {
        name: "Failed" if sample["kind"] == "failing" else "Completed" for name, sample in hyperparameters.items()
    }
    with open_read_only(server.folder.database) as database:
        query = "SELECT name, value FROM run_parameters WHERE run_id = ?"
        assert dict(database.execute(query, (f"{parent.id}_2",))) == {"--x": "2.5", "kind": "steady"}
    best = parent.get_best_run_by_primary_metric(include_failed=False)
    assert best.id == f"{parent.id}_2"
    assert best.get_details()["runDefinition"]["arguments"] == ["--steps", 1, "--x", "2.5", "--kind", "steady"]
    assert details["properties"]["best_child_run_id"] in (f"{parent.id}_2", f"{parent.id}_3")
    ranking = parent.get_children_sorted_by_primary_metric()
    assert [row["best_primary_metric"] for row in ranking] == [2.5, 2.5, 1.0, 1.0]
    assert {name: values["score"] for name, values in parent.get_metrics().items()} == {
        name: sample["--x"] for name, sample in hyperparameters.items()
    }
    again = next(iter(experiment.get_runs(type="hyperdrive")))
    assert isinstance(again, HyperDriveRun)
    assert again.hyperdrive_config._max_total_runs == 10
    assert again.get_best_run_by_primary_metric(include_failed=False).id == best.id
    # What the SDK itself refuses for sweeps.
    with pytest.raises(HyperDriveNotImplementedException):
        again.get_diagnostics()
    with pytest.raises(HyperDriveNotImplementedException):
        again.fail()


@pytest.mark.slow
@pytest.mark.sdk("BanditPolicy", "RandomParameterSampling", "RunDetails.get_widget_data")
def test_policy_cancels_the_worse_of_sixteen_runs(sweep: Start, workspace: Any, here: Any) -> None:
    from azureml.core import Run
    from azureml.core.compute import AmlCompute, ComputeTarget
    from azureml.train.hyperdrive import BanditPolicy, RandomParameterSampling, uniform
    from azureml.widgets import RunDetails

    shape = AmlCompute.provisioning_configuration(vm_size="STANDARD_D2_V2", max_nodes=4)
    parent = sweep(
        RandomParameterSampling({"x": uniform(0, 1)}, properties={"seed": 3}),
        ["--steps", 8],
        policy=BanditPolicy(slack_factor=0.2, evaluation_interval=1, delay_evaluation=2),
        max_total_runs=16,
        max_concurrent_runs=4,
        compute_target=ComputeTarget.create(workspace, "sweeping", shape),
    )
    parent.wait_for_completion()
    parent = Run.get(workspace, parent.id)
    children = list(parent.get_children())
    statuses = [run.get_status() for run in children]
    assert len(children) == 16
    assert set(statuses) == {"Completed", "Canceled"}
    logged = {run.id: run.get_metrics()["score"] for run in children}
    best = max(logged, key=lambda name: max(logged[name]))
    assert parent.get_best_run_by_primary_metric().id == best
    cancelled = [run.id for run, status in zip(children, statuses, strict=True) if status == "Canceled"]
    parent.download_file("azureml-logs/hyperdrive.txt", log := "hyperdrive.txt")
    text = Path(log).read_text()
    Path(log).unlink()
    assert all(f"Run {name.rpartition('_')[2]} is cancelled by the policy at interval" in text for name in cancelled)
    data = RunDetails(parent).get_widget_data({})
    assert len(data["child_runs"]) == 16
    assert {"run_id", "status", "best_metric"} <= data["child_runs"][0].keys()


@pytest.mark.sdk("HyperDriveRun.cancel", "Run.cancel")
@pytest.mark.parametrize("through", ["hyperdrive", "history"])
def test_cancelling_a_sweep_ends_its_runs(
    sweep: Start, experiment: Any, wait_for: Callable[..., Any], through: str
) -> None:
    from azureml.core import Run
    from azureml.train.hyperdrive import RandomParameterSampling, choice

    parent = sweep(RandomParameterSampling({"x": choice(*range(9))}), ["--steps", 500], max_total_runs=9)
    wait_for(lambda: [run for run in parent.get_children() if run.get_status() == "Running"])
    (parent if through == "hyperdrive" else Run(experiment, parent.id)).cancel()
    wait_for(lambda: parent.get_status() == "Canceled")
    assert {run.get_status() for run in parent.get_children()} == {"Canceled"}
    assert parent.cancel() is not None  # again, when it is over: nothing


def test_a_sweep_whose_runs_all_fail_has_failed(sweep: Start) -> None:
    from azureml._common.exceptions import AzureMLException
    from azureml.train.hyperdrive import GridParameterSampling, choice

    parent = sweep(GridParameterSampling({"x": choice("a b", "$HOME")}), command="exit 4; echo", max_concurrent_runs=1)
    with pytest.raises(AzureMLException, match="All 2 runs of the sweep failed"):
        parent.wait_for_completion()
    commands = [run.get_details()["runDefinition"]["command"] for run in parent.get_children()]
    assert sorted(commands) == ["exit 4; echo --x '$HOME'", "exit 4; echo --x 'a b'"]


@pytest.mark.sdk("BayesianParameterSampling", "HyperDriveConfig")
def test_bayesian_sampling_resumes_from_another_sweep(sweep: Start, workspace: Any) -> None:
    from azureml.core import Run
    from azureml.train.hyperdrive import BayesianParameterSampling, choice, quniform

    space = {"x": quniform(0, 100, 5), "kind": choice("steady")}
    first = sweep(BayesianParameterSampling(space), max_total_runs=2, max_concurrent_runs=2)
    first.wait_for_completion()
    second = sweep(
        BayesianParameterSampling(space),
        max_total_runs=1,
        max_concurrent_runs=1,
        resume_from=Run.get(workspace, first.id),
    )
    second.wait_for_completion()
    best = Run.get(workspace, second.id).get_best_run_by_primary_metric()
    everything = [*first.get_children(), *second.get_children()]
    assert best.get_metrics()["score"] == max(run.get_metrics()["score"] for run in everything)
    assert best.get_metrics()["score"] % 5 == 0


@pytest.mark.sdk_refused("HyperDriveConfig")
def test_sweep_configuration_invalid_is_refused_before_a_run_is_created(sweep: Start, experiment: Any) -> None:
    from azureml.exceptions import TrainingException
    from azureml.train.hyperdrive import RandomParameterSampling, lognormal, normal

    for space, reason in (
        ({"x": lognormal(1000, 1)}, "makes no sense as lognormal"),
        ({"--x": normal(0, 1), "x": normal(0, 1)}, "the same argument"),
    ):
        with pytest.raises(TrainingException, match=reason):
            sweep(RandomParameterSampling(space))
    with pytest.raises(TrainingException, match="'rule' is not built"):
        sweep(RandomParameterSampling({"x": normal(0, 1)}, properties={"rule": "sobol"}))
    assert list(experiment.get_runs()) == []
