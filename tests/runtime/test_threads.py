"""How many threads a job gets: no more than its VM size has cores, than its share of this machine, than it asks for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from azureml_local.runtime.threads import VARIABLES, machine_cores, thread_variables


@pytest.mark.parametrize(
    ("vm_size", "jobs", "cores", "threads"),
    [
        ("STANDARD_D2_V2", 1, 8, 2),
        ("Standard_D4_v2", 1, 8, 8),
        ("Standard_D4_v2", 2, 8, 4),
        ("Standard_D4_v2", 3, 8, 2),
        ("Standard_D4_v2", 40, 8, 1),
        ("Standard_unheard_of", 1, 8, 8),
        (None, 0, 4, 4),
    ],
)
def test_thread_variables_are_the_jobs_share_of_the_cores(
    vm_size: str | None, jobs: int, cores: int, threads: int
) -> None:
    assert thread_variables(vm_size, jobs, cores) == dict.fromkeys(VARIABLES, str(threads))


def test_thread_variables_are_set_unless_the_job_sets_them(experiment: Any, compute: Any, tmp_path: Path) -> None:
    from azureml.core import Environment, ScriptRunConfig

    said = []
    for variables in ({}, {"OMP_NUM_THREADS": "77"}):
        environment = Environment("threads")
        environment.python.user_managed_dependencies = True
        environment.environment_variables = variables
        source = ScriptRunConfig(
            str(tmp_path),
            command="echo $OMP_NUM_THREADS $LOKY_MAX_CPU_COUNT",
            compute_target=compute,
            environment=environment,
        )
        run = experiment.submit(source)
        run.wait_for_completion()
        said.append(run.get_details_with_logs()["logFiles"]["user_logs/std_log.txt"].split()[:2])
    assert int(said[0][0]) == int(said[0][1]) <= min(2, machine_cores())  # the size has 2 cores
    assert said[1] == ["77", said[0][1]]
