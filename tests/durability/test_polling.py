"""Clients of the SDK that wait for a run go on when the server was killed and started again; so does the job.

A client must not ask for a token while there is no server: when it gets none twice, the SDK tries an interactive login
(azureml.core.authentication._login_on_failure_decorator). So the client is stopped meanwhile, wherever it just is; in
life it sleeps between two looks. The job isn't: it has its token, and sends again what was not received.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from azureml_local.names import DEFAULT_NAME
from tests.durability.servers import KillableServer

CLIENT = f"""
import sys
from azureml.core import Environment, Experiment, ScriptRunConfig, Workspace
from azureml.core.compute import AmlCompute, ComputeTarget
workspace = Workspace({DEFAULT_NAME.subscription_id!r}, {DEFAULT_NAME.resource_group!r}, {DEFAULT_NAME.name!r})
shape = AmlCompute.provisioning_configuration(vm_size="STANDARD_D2_V2", max_nodes=1)
compute = ComputeTarget.create(workspace, "survivor", shape)
here = Environment("here")
here.python.user_managed_dependencies = True
source = ScriptRunConfig(
    sys.argv[1], script="job.py", arguments=[sys.argv[2]], compute_target=compute, environment=here)
run = Experiment(workspace, "polling").submit(source)
print("waiting", flush=True)
run.wait_for_completion(raise_on_error=False)
print("ended", run.get_status(), run.get_metrics()["step"], flush=True)
"""

JOB = """
import sys, time
from pathlib import Path
from azureml.core import Run
run, step = Run.get_context(), 0
while not Path(sys.argv[1]).exists():
    run.log("step", step)
    step += 1
    Path(sys.argv[1] + "-begun").touch()
    time.sleep(0.5)
run.log("step", -step)
"""


@pytest.mark.slow
@pytest.mark.sdk("Run.wait_for_completion")
def test_waiting_client_and_logging_job_survive_server_restarts(killable: KillableServer, tmp_path: Path) -> None:
    chance = random.Random(3)
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "job.py").write_text(JOB)
    (tmp_path / "home").mkdir()
    killable.start()
    server = killable.wait()
    with (tmp_path / "said").open("wb") as said:
        client = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", CLIENT, str(tmp_path / "source"), str(tmp_path / "go")],
            env={**os.environ, **server.variables(), "HOME": str(tmp_path / "home")},
            stdout=said,
            stderr=subprocess.STDOUT,
        )
    text = tmp_path / "said"
    try:
        deadline = time.monotonic() + 120
        while "waiting" not in text.read_text() or not (tmp_path / "go-begun").exists():
            assert client.poll() is None, text.read_text()
            assert time.monotonic() < deadline
            time.sleep(0.1)
        for _ in range(3):
            time.sleep(chance.random() * 2)
            client.send_signal(signal.SIGSTOP)
            killable.kill()
            time.sleep(chance.random())
            killable.start()
            killable.wait()
            client.send_signal(signal.SIGCONT)
        (tmp_path / "go").touch()
        assert client.wait(180) == 0, text.read_text()
    finally:
        client.kill()
        client.wait()
    ended = text.read_text().splitlines()[-1]
    assert ended.startswith("ended Completed ["), text.read_text()
    steps = [int(word) for word in ended[ended.index("[") + 1 : -1].split(",")]
    assert steps == [*range(len(steps) - 1), 1 - len(steps)]
