"""Addresses of the web that a folder stands for, as inputs of SDK v2's jobs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from azureml_local.client.instance import LocalServer

pytestmark = pytest.mark.slow


def test_files_and_folders_below_a_mirrored_address_are_inputs(
    v2: Callable[[str], Any], server: LocalServer, compute: Any, registered_here: str, tmp_path: Path
) -> None:
    (tmp_path / "mirror" / "deep").mkdir(parents=True)
    for name in ("t.csv", "deep/a.csv", "deep/b.csv"):
        (tmp_path / "mirror" / name).write_text(name)
    server.mirror("https://data.azureml-local.invalid/sets", tmp_path / "mirror")
    try:
        found = v2(
            f"""
            text = "cat ${{{{inputs.file}}}}; cd ${{{{inputs.folder}}}} && echo && ls && cat ${{{{inputs.wasbs}}}}"
            web = "https://data.azureml-local.invalid/sets/"
            job = ml_client.jobs.create_or_update(command(
                command=text, environment="{registered_here}@latest", compute="tests", inputs={{
                    "file": Input(type="uri_file", path=web + "t.csv"),
                    "folder": Input(type="uri_folder", path="wasbs://sets@data.azureml-local.invalid/deep"),
                    "wasbs": Input(type="uri_file", path="wasbs://sets@data.azureml-local.invalid/deep/a.csv"),
                }},
            ))
            status = ended(job.name)
            ml_client.jobs.download(job.name, download_path=here / "one")
            [log] = (here / "one").rglob("std_log.txt")
            print(json.dumps([status, log.read_text().split()]))
            """
        )
    finally:
        server.mirror("https://data.azureml-local.invalid/sets", None)
    assert found == ["Completed", ["t.csv", "a.csv", "b.csv", "deep/a.csv"]]
