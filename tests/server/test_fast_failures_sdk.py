"""Jobs that fail at once, of every kind: `wait_for_completion` raises, and no client sees *Finalizing*."""

from __future__ import annotations

import io
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pytest

KINDS = ("script", "command", "command in no time", "local script", "local command")
TERMINAL = ("Completed", "Failed", "Canceled")


@pytest.fixture
def failing(experiment: Any, compute: Any, here: Any, tmp_path: Path) -> Callable[[str], Any]:
    """Submit a job of a kind that ends with status 3 as soon as it has begun."""
    from azureml.core import ScriptRunConfig

    (tmp_path / "fails.py").write_text("print('about to fail')\nraise SystemExit(3)\n")
    (tmp_path / ".amlignore").write_text("logs\n")

    def submit(kind: str) -> Any:
        what = {"script": "fails.py"} if "script" in kind else {"command": "echo about to fail; exit 3"}
        if "no time" in kind:
            what = {"command": "exit 3"}
        target = "local" if "local" in kind else compute
        return experiment.submit(ScriptRunConfig(str(tmp_path), compute_target=target, environment=here, **what))

    return submit


# The SDK starts the script of a local run and forgets it (start_background_process).
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.sdk("Run.wait_for_completion")
@pytest.mark.parametrize("kind", KINDS)
def test_fast_failure_is_raised_by_wait_for_completion(kind: str, failing: Callable[[str], Any]) -> None:
    """And no status that the SDK takes for the end without an error (*Finalizing*) is seen on the way."""
    from azureml._restclient.constants import RunStatus
    from azureml.exceptions import ActivityFailedException

    run = failing(kind)
    seen = []
    while not seen or seen[-1] not in TERMINAL:
        seen.append(run.get_status())
    assert seen[-1] == "Failed"
    assert set(seen[:-1]) <= set(RunStatus.get_running_statuses())
    with pytest.raises(ActivityFailedException, match="3"):
        failing(kind).wait_for_completion()
    said = io.StringIO()
    with redirect_stdout(said), pytest.raises(ActivityFailedException, match="3"):
        failing(kind).wait_for_completion(show_output=True)
    assert "no time" in kind or "about to fail" in said.getvalue()


@pytest.mark.sdk("HyperDriveRun.wait_for_completion")
def test_fast_failure_of_a_sweeps_runs_is_raised_for_each_and_for_the_sweep(
    experiment: Any, compute: Any, here: Any, tmp_path: Path
) -> None:
    from azureml.core import Run, ScriptRunConfig
    from azureml.exceptions import ActivityFailedException
    from azureml.train.hyperdrive import GridParameterSampling, HyperDriveConfig, PrimaryMetricGoal, choice

    (tmp_path / "fails.py").write_text("raise SystemExit(3)\n")
    job = ScriptRunConfig(str(tmp_path), "fails.py", compute_target=compute, environment=here)
    sweep = experiment.submit(
        HyperDriveConfig(
            run_config=job,
            hyperparameter_sampling=GridParameterSampling({"--x": choice(1, 2)}),
            primary_metric_name="score",
            primary_metric_goal=PrimaryMetricGoal.MAXIMIZE,
            max_total_runs=2,
        )
    )
    with pytest.raises(ActivityFailedException, match="All 2 runs of the sweep failed"):
        sweep.wait_for_completion()
    for number in range(2):
        with pytest.raises(ActivityFailedException, match="3"):
            Run(experiment, f"{sweep.id}_{number}").wait_for_completion()
