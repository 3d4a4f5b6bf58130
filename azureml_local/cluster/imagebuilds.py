"""``Environment.build``: builds of environments ahead of runs, with a log that can be followed."""

from __future__ import annotations

import logging
import threading
import uuid
from dataclasses import dataclass

from azureml_local.runtime.environments import EnvironmentBuildCanceled, EnvironmentBuilder, EnvironmentBuildError
from azureml_local.storage.blobs import BlobStore
from azureml_local.storage.tables import AssetVersion
from azureml_local.workspace.artifacts import CONTAINER
from azureml_local.workspace.errors import NotFound

logger = logging.getLogger("azureml_local.cluster")

RUNNING, SUCCEEDED, FAILED = "Running", "Succeeded", "Failed"


@dataclass
class ImageBuild:
    id: str
    status: str = RUNNING

    @property
    def log(self) -> str:
        """The name of the log's blob."""
        return f"ImageBuild/{self.id}/20_image_build_log.txt"


class ImageBuilds:
    """The builds requested from this server. They aren't persisted; their environments stay in the cache."""

    def __init__(self, blobs: BlobStore, builder: EnvironmentBuilder) -> None:
        self._blobs = blobs
        self._builder = builder
        self._builds: dict[str, ImageBuild] = {}
        self._threads: list[threading.Thread] = []
        self._stopping = threading.Event()

    def start(self, environment: AssetVersion) -> ImageBuild:
        build = ImageBuild(uuid.uuid4().hex)
        self._builds[build.id] = build
        definition = {**environment.body, "name": environment.name}
        thread = threading.Thread(target=self._build, args=(build, definition), name=f"build {build.id}", daemon=True)
        self._threads = [one for one in self._threads if one.is_alive()] + [thread]
        thread.start()
        return build

    def get(self, build_id: str) -> ImageBuild:
        """Raises NotFound."""
        if build_id not in self._builds:
            raise NotFound(
                f"This server knows no build {build_id[:80]!r}; one that an earlier server began ended with it. "
                "Call Environment.build again."
            )
        return self._builds[build_id]

    def stop(self) -> None:
        """End all of them, and wait until their processes are gone."""
        self._stopping.set()
        for thread in self._threads:
            thread.join()

    def _build(self, build: ImageBuild, definition: dict[str, object]) -> None:
        status = FAILED
        try:
            with self._blobs.create_live(CONTAINER, build.log).open("a", encoding="utf-8") as log:
                try:
                    self._builder.build(definition, log, self._stopping).close()
                    status = SUCCEEDED
                except EnvironmentBuildCanceled:
                    log.write("The server stopped before it was built.\n")
                except EnvironmentBuildError:
                    logger.info("The build %s failed; its log says why", build.id)
        except Exception:
            logger.exception("The build %s failed in the server itself", build.id)
        finally:
            try:
                self._blobs.seal(CONTAINER, build.log)
            except Exception:
                # Then it is read as far as it goes, as while it was written.
                logger.exception("The log of the build %s can't be closed", build.id)
            build.status = status
