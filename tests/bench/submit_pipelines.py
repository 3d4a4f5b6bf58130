"""Submit pipelines, and beside them the same scripts as runs, with the real SDK, as a person's process would.

Usage: submit_pipelines.py FOLDER TIMES FAN; the workspace is that of the config.json where it is started. FOLDER has
the script ``small.py``. Prints a line of JSON: seconds for a chain of three steps, for the same three scripts as plain
runs one after another, for the server's part of the chain when it is reused, and for FAN steps side by side, each from
the first one's making to the last one's end.
"""

from __future__ import annotations

import json
import sys
import time
from datetime import datetime
from typing import Any

from azureml.core import Environment, Experiment, RunConfiguration, ScriptRunConfig, Workspace
from azureml.core.compute import AmlCompute, ComputeTarget
from azureml.pipeline.core import Pipeline, StepSequence
from azureml.pipeline.steps import CommandStep, PythonScriptStep

NODES = 4


def main(folder: str, times: int, fan: int) -> None:
    workspace = Workspace.from_config()
    shape = AmlCompute.provisioning_configuration(vm_size="STANDARD_D2_V2", min_nodes=0, max_nodes=NODES)
    target = ComputeTarget.create(workspace, "bench", shape)
    environment = Environment("here")
    environment.python.user_managed_dependencies = True
    configuration = RunConfiguration()
    configuration.environment = environment
    experiment = Experiment(workspace, "bench")
    options: dict[str, Any] = {"source_directory": folder, "compute_target": target, "runconfig": configuration}

    def chain(*, reuse: bool) -> Any:
        steps = [PythonScriptStep("small.py", name=f"s{n}", allow_reuse=reuse, **options) for n in range(3)]
        return Pipeline(workspace, steps=StepSequence(steps=steps))

    def timed(pipeline: Any) -> tuple[float, float]:
        """Seconds for the one who waits, and from the first step's making to the last one's end."""
        begun = time.perf_counter()
        run = experiment.submit(pipeline)
        run.wait_for_completion(show_output=False)
        return time.perf_counter() - begun, _span(run)

    def plain() -> float:
        begun = time.perf_counter()
        for _ in range(3):
            run = ScriptRunConfig(folder, "small.py", compute_target=target, environment=environment)
            experiment.submit(run).wait_for_completion()
        return time.perf_counter() - begun

    timed(chain(reuse=True))  # the first one builds what all use
    side_by_side = [CommandStep("sleep 2", name=f"f{n}", allow_reuse=False, **options) for n in range(fan)]
    found = {
        "chain": [timed(chain(reuse=False))[0] for _ in range(times)],
        "plain": [plain() for _ in range(times)],
        "reused": [timed(chain(reuse=True))[1] for _ in range(times)],
        "fan": [timed(Pipeline(workspace, steps=side_by_side))[1]],
    }
    print(json.dumps(found), flush=True)


def _span(run: Any) -> float:
    details = [step.get_details() for step in run.get_steps()]
    ends = max(_time(each["endTimeUtc"]) for each in details)
    return ends - min(_time(each["startTimeUtc"]) for each in [*details, run.get_details()])


def _time(text: str) -> float:
    return datetime.fromisoformat(text.rstrip("Z")[:26]).timestamp()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
