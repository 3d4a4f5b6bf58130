"""Submit a script several times with the real SDK, one run after the other, as a person's process would.

Usage: submit_jobs.py FOLDER DATA TIMES; the workspace is that of the config.json where it is started. For each run it
prints a line of JSON: the run's id, and when submit was called and when it came back (seconds since 1970).
"""

from __future__ import annotations

import json
import sys
import time

from azureml.core import Environment, Experiment, ScriptRunConfig, Workspace
from azureml.core.compute import AmlCompute, ComputeTarget

FINAL = ("Completed", "Failed", "Canceled")


def main(folder: str, data: str, times: int) -> None:
    workspace = Workspace.from_config()
    shape = AmlCompute.provisioning_configuration(vm_size="STANDARD_D2_V2", min_nodes=0, max_nodes=1)
    target = ComputeTarget.create(workspace, "bench", shape)
    environment = Environment("here")
    environment.python.user_managed_dependencies = True
    configuration = ScriptRunConfig(
        folder, "script.py", arguments=["--data-folder", data], compute_target=target, environment=environment
    )
    experiment = Experiment(workspace, "bench")
    for _ in range(times):
        called = time.time()
        run = experiment.submit(configuration)
        back = time.time()
        while run.get_status() not in FINAL:
            time.sleep(0.1)
        print(json.dumps({"run": run.id, "called": called, "back": back}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
