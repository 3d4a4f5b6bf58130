"""What holds for jobs on the server's own machine holds for those on a worker: the same tests, with a scheduler."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from machines.hosts import DaskCluster

TESTS = Path(__file__).parents[1]
# All that runs jobs in earnest: unruly ones, cancelled ones, inputs and outputs of every mode, trouble on demand.
SAME = (
    "server/test_misbehaving_jobs.py",
    "server/test_fast_failures_sdk.py",
    "server/test_outputs_sdk.py::test_job_outputs_become_datasets",
    "server/test_data_sdk.py::test_job_inputs_in_every_mode_are_read",
    "server/test_own_names_sdk.py::test_a_job_reads_and_writes_under_the_names_that_it_was_submitted_under",
    "server/test_jobs_sdk.py::test_a_command_is_a_line_for_bash_and_what_it_logs_is_kept",
    "server/test_jobs_sdk.py::test_a_local_run_runs_in_the_clients_folder_and_interpreter",
    "server/test_simulate_sdk.py::test_fault_build_failed_fails_the_run",
    "server/test_simulate_sdk.py::test_fault_node_lost_fails_the_running_job",
)
# On one worker: what its jobs share, those of another machine don't.
ON_ONE = (
    "server/test_shared_data_sdk.py::test_two_runs_of_one_dataset_fetch_it_once",
    "server/test_shared_data_sdk.py::test_a_mount_is_read_only_and_a_download_is_the_jobs_own",
)


@pytest.mark.slow
@pytest.mark.parametrize(("workers", "tests"), [(3, SAME), (1, ON_ONE)], ids=["several", "one"])
def test_jobs_on_workers_pass_the_same_tests(workers: int, tests: tuple[str, ...], tmp_path: Path) -> None:
    dask = DaskCluster(tmp_path / "dask")
    try:
        for number in range(workers):
            dask.worker(f"worker-{number}")
        variables = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
        words = [sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", "--durations=0"]
        done = subprocess.run(
            [*words, "--basetemp", str(tmp_path / "inner"), *(str(TESTS / name) for name in tests)],
            env={**variables, "AZUREML_LOCAL_TEST_SCHEDULER": dask.address},
            cwd=TESTS.parent,
            capture_output=True,
            text=True,
            check=False,
        )
        print(done.stdout)
        assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-2000:]
    finally:
        dask.close()
