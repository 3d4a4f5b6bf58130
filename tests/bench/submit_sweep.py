"""Submit a sweep with the real SDK and wait for its end, as a person's process would.

Usage: submit_sweep.py FOLDER TOTAL CONCURRENT COMMAND...; the workspace is that of the config.json where it is started.
Prints a line of JSON: the run's id, and when submit was called and when the run was over (seconds since 1970).
"""

from __future__ import annotations

import json
import sys
import time

from azureml.core import Environment, Experiment, ScriptRunConfig, Workspace
from azureml.core.compute import AmlCompute, ComputeTarget
from azureml.train.hyperdrive import GridParameterSampling, HyperDriveConfig, PrimaryMetricGoal, choice

FINAL = ("Completed", "Failed", "Canceled")
NODES = 4


def main(folder: str, total: int, concurrent: int, command: list[str]) -> None:
    workspace = Workspace.from_config()
    shape = AmlCompute.provisioning_configuration(vm_size="STANDARD_D2_V2", min_nodes=0, max_nodes=NODES)
    target = ComputeTarget.create(workspace, "bench", shape)
    environment = Environment("here")
    environment.python.user_managed_dependencies = True
    what = {"script": command[0], "arguments": command[1:]} if command[0].endswith(".py") else {"command": command}
    run_config = ScriptRunConfig(folder, compute_target=target, environment=environment, **what)
    sweep = HyperDriveConfig(
        run_config=run_config,
        hyperparameter_sampling=GridParameterSampling({"--regularization": choice([n + 1 for n in range(total)])}),
        primary_metric_name="accuracy",
        primary_metric_goal=PrimaryMetricGoal.MAXIMIZE,
        max_total_runs=total,
        max_concurrent_runs=concurrent,
    )
    called = time.time()
    run = Experiment(workspace, "bench").submit(sweep)
    while run.get_status() not in FINAL:
        time.sleep(0.1)
    print(json.dumps({"run": run.id, "called": called}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:])
