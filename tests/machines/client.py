"""A client in a process of its own, through the real SDK (which remembers the first server that a process talks to).

Run with its folder. Each line on standard input is a request, ``[what, arguments]`` in JSON, and answered with one.
"""

from __future__ import annotations

import contextlib
import json
import sys
from pathlib import Path
from typing import Any

from azureml.core import Dataset, Environment, Experiment, Run, ScriptRunConfig, Workspace
from azureml.core.compute import AmlCompute, ComputeTarget

from azureml_local.names import DEFAULT_NAME


class Client:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._workspace = Workspace(DEFAULT_NAME.subscription_id, DEFAULT_NAME.resource_group, DEFAULT_NAME.name)
        asked = AmlCompute.provisioning_configuration(vm_size="STANDARD_D2_V2", min_nodes=0, max_nodes=2)
        self._compute = ComputeTarget.create(self._workspace, "far", asked)
        self._here = Environment("here")
        self._here.python.user_managed_dependencies = True

    def submit(self, text: str, data: str | None = None) -> str:
        """With ``data``, the script's argument is a mounted dataset, whose one file holds that."""
        (self._folder / "script.py").write_text(text)
        arguments = []
        if data is not None:
            store = self._workspace.get_default_datastore()
            (self._folder / "data.txt").write_text(data)
            store.upload_files([str(self._folder / "data.txt")], target_path="data", overwrite=True)
            arguments = [Dataset.File.from_files((store, "data/*")).as_named_input("data").as_mount()]
        configuration = ScriptRunConfig(
            str(self._folder), "script.py", arguments, compute_target=self._compute, environment=self._here
        )
        return str(Experiment(self._workspace, "machines").submit(configuration).id)

    def details(self, run_id: str) -> dict[str, Any]:
        details = Run.get(self._workspace, run_id).get_details()
        return {"status": details["status"], "error": ((details.get("error") or {}).get("error") or {}).get("message")}

    def metrics(self, run_id: str) -> dict[str, Any]:
        return Run.get(self._workspace, run_id).get_metrics()

    def download(self, run_id: str, name: str, target: str) -> None:
        Run.get(self._workspace, run_id).download_file(name, target)

    def cancel(self, run_id: str) -> None:
        Run.get(self._workspace, run_id).cancel()


def main(folder: str) -> None:
    with contextlib.redirect_stdout(sys.stderr):  # what the SDK prints is no answer
        client = Client(Path(folder))
    for line in sys.stdin:
        what, arguments = json.loads(line)
        with contextlib.redirect_stdout(sys.stderr):
            answer = getattr(client, what)(*arguments)
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
