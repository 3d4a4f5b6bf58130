"""Environment.build in a server that stops: the build ends, and says so."""

from __future__ import annotations

import fcntl
from collections.abc import Callable
from pathlib import Path
from typing import Any

from azureml_local.cluster.imagebuilds import FAILED, RUNNING, ImageBuilds
from azureml_local.runtime.environments import EnvironmentBuilder
from azureml_local.storage.blobs import BlobStore
from azureml_local.storage.database import Database
from azureml_local.workspace.artifacts import CONTAINER
from azureml_local.workspace.environments import Environments


def test_a_build_that_waits_ends_with_the_server(tmp_path: Path, wait_for: Callable[..., Any]) -> None:
    (tmp_path / "blobs").mkdir()
    database = Database(tmp_path / "database.sqlite3")
    blobs = BlobStore(database, tmp_path / "blobs")
    builder = EnvironmentBuilder(tmp_path / "cache")
    definition = {"python": {"condaDependencies": {"dependencies": [{"pip": ["six"]}]}}}
    builds = ImageBuilds(blobs, builder)
    (tmp_path / "cache").mkdir()
    with (tmp_path / "cache" / f"{builder.digest(definition)}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # as a run does that is building the same
        build = builds.start(Environments(database).register("waits", definition))

        def log() -> str:
            found = [blob for blob in blobs.list(CONTAINER, "ImageBuild/") if blob.name == build.log]
            return blobs.path(found[0]).read_text() if found else ""

        wait_for(lambda: "waiting for it" in log())
        assert builds.get(build.id).status == RUNNING
        builds.stop()
        assert builds.get(build.id).status == FAILED
        assert log().endswith("The server stopped before it was built.\n")
    assert not blobs.get(CONTAINER, build.log).live
