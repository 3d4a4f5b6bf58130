"""What looks after one service: deploys its revisions, restarts a process that has ended, and ends it."""

from __future__ import annotations

import logging
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from azureml_local.runtime.conda import EnvironmentBuildError
from azureml_local.runtime.environments import EnvironmentBuildCanceled
from azureml_local.runtime.process import describe_end
from azureml_local.serving import layout
from azureml_local.serving.environments import ScoringEnvironment
from azureml_local.serving.process import ScoringProcess
from azureml_local.storage.bloberrors import BlobError
from azureml_local.storage.service_tables import Service
from azureml_local.storage.trees import remove_tree
from azureml_local.workspace.errors import NotFound, WorkspaceError
from azureml_local.workspace.services import BUILD, DELETING, DEPLOY, FAILED, HEALTHY, TRANSITIONING, UNHEALTHY, Image

if TYPE_CHECKING:
    from azureml_local.serving.deployments import Deployments

logger = logging.getLogger("azureml_local.serving")

START_SECONDS = 300.0  # until init() has to be done, as long as Azure waits for an image
POLL_SECONDS = 0.05
WATCH_SECONDS = 0.5
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0
# How long an old revision is kept for the requests that it is still answering.
DRAIN_SECONDS = 30.0
CRASHED = (
    "Your container application crashed. This may be caused by errors in your scoring file's init() function. Call "
    "get_logs() for what it printed; the last line: {}"
)


class DeploymentFailed(Exception):
    """The message is the user's."""


class Stopped(Exception):
    """The server stops, or the service is deleted."""


class Keeper:
    """A thread for one service. ``current`` is the process that answers, None while there is none."""

    def __init__(self, deployments: Deployments, name: str) -> None:
        self.current: ScoringProcess | None = None
        self._deployments = deployments
        self._services = deployments.workspace.services
        self._name = name
        self._stopping = threading.Event()
        self._news = threading.Event()
        self._ended = False
        self._draining: list[ScoringProcess] = []
        self._state = threading.Lock()
        self._thread = threading.Thread(target=self._run, name=f"service {name}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def look_again(self) -> bool:
        """There is a new revision. False for one whose thread has ended: it needs another."""
        with self._state:
            self._news.set()
            return not self._ended

    def stop(self) -> None:
        self._stopping.set()
        self._news.set()

    def join(self) -> None:
        self._thread.join()

    # The thread ---------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while not self._stopping.is_set():
                self._news.clear()
                try:
                    service = self._services.get(self._name)
                except NotFound:
                    break
                if service.state == DELETING:
                    break
                if service.serving != service.revision:
                    self._deploy(service)
                elif self.current is None:
                    self._take_up(service)
                with self._state:
                    if self.current is None and not self._news.is_set():
                        self._ended = True
                        return
                self._watch()
        except Stopped:
            logger.info("The service %s ends.", self._name)
        except Exception:
            logger.exception("The service %s isn't looked after any more.", self._name)
            self._services.note(self._name, state=UNHEALTHY, error="azureml-local failed; see `azureml-local logs`.")
        finally:
            with self._state:
                self._ended = True
            current, self.current = self.current, None
            for process in (current, *self._draining):
                if process is not None:
                    process.stop()

    def _deploy(self, service: Service) -> None:
        """Bring up a revision, and have it take the place of the one before. Where it fails, that one goes on."""
        if self.current is None and service.serving is not None:
            self._take_up(service)
        operation, revision, image = service.operation, service.revision, Image.of(service.image)
        self._services.log(operation, "Deploying the service.", step=BUILD)
        error: str | None = None
        try:
            fresh = self._bring_up(revision, image, operation)
        except (DeploymentFailed, EnvironmentBuildError, WorkspaceError, BlobError, OSError) as failure:
            error = str(failure)
            self._say(error)
            remove_tree(self._folder(revision))
        if error is not None:
            kept = self.current is not None and service.serving is not None
            # The revision before goes on; as it is the one that serves, it is not deployed once more.
            changes: dict[str, Any] = {"state": FAILED, "serving": revision, "served": None}
            if kept:
                changes = {"revision": service.serving, "image": service.served}
            self._services.note(self._name, revision, error=error, **changes)
            self._services.end_operation(operation, error)
            return
        old, self.current = self.current, fresh
        done = {"state": HEALTHY, "serving": revision, "served": image.kept(), "error": None}
        if self._services.note(self._name, revision, **done):
            self._services.end_operation(operation, None)
        if old is not None:
            self._draining.append(old)
            threading.Thread(target=self._drain, args=(old,), daemon=True).start()

    def _take_up(self, service: Service) -> None:
        """Go on with the process of an earlier server, or start that revision anew."""
        if service.serving is None or service.served is None:
            return
        image, folder = Image.of(service.served), self._folder(service.serving)
        end_left(folder.parent, but=folder)
        left = ScoringProcess.left_in(folder, image.scoring_timeout)
        if left is not None and left.answers():
            self._say(f"A new server takes up the process {left.pid}.")
            self.current = left
            self._services.note(self._name, state=HEALTHY, error=None)
            return
        if left is not None:
            left.kill()
        self._services.note(self._name, state=TRANSITIONING)
        self._restart(service.serving, image)

    def _watch(self) -> None:
        """Until there is a new revision: restart a process that has ended."""
        while not self._news.wait(WATCH_SECONDS):
            process = self.current
            if process is None or not process.ended(0):
                continue
            self.current = None
            service = self._services.get(self._name)
            if service.serving is not None and service.served is not None:
                self._say(f"The scoring process {describe_end(process.returncode)}; it is started again.")
                self._services.note(self._name, state=UNHEALTHY, error=f"{describe_end(process.returncode)}.")
                self._restart(service.serving, Image.of(service.served))

    def _restart(self, revision: int, image: Image) -> None:
        """Start a revision again until it answers, with longer and longer pauses."""
        pause = FIRST_PAUSE
        while not self._news.is_set():
            try:
                process = self._bring_up(revision, image, None)
            except (DeploymentFailed, EnvironmentBuildError, WorkspaceError, BlobError, OSError) as failure:
                self._say(str(failure))
                self._services.note(self._name, state=UNHEALTHY, error=str(failure))
                if self._news.wait(pause):
                    return
                pause = min(2 * pause, LONGEST_PAUSE)
                continue
            self.current = process
            self._services.note(self._name, state=HEALTHY, error=None)
            return

    # One process --------------------------------------------------------------------------------------------------

    def _bring_up(self, revision: int, image: Image, operation: str | None) -> ScoringProcess:
        """A process of a revision that answers. Raises DeploymentFailed and what building an environment raises."""
        deployments, folder = self._deployments, self._folder(revision)
        log = deployments.log_file(self._name)
        log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            with log.open("a", encoding="utf-8") as stream:
                environment = deployments.environments.build(deployments.definition(image), stream, self._stopping)
        except EnvironmentBuildCanceled:
            raise Stopped from None
        try:
            if operation is not None:
                self._services.log(
                    operation, "The environment is there; the code and the models are laid out.", step=DEPLOY
                )
            layout.lay_out(deployments.workspace, image, folder)
            for name in layout.found_files(folder):
                self._say(f"File: {name}")
            process = self._started(folder, environment, image, log)
        finally:
            environment.close()
        if operation is not None:
            self._services.log(operation, "The scoring process starts; init() is called.")
        self._until_it_answers(process, log)
        return process

    def _started(self, folder: Path, environment: ScoringEnvironment, image: Image, log: Path) -> ScoringProcess:
        process = ScoringProcess.spawn(
            folder,
            environment,
            image,
            service=self._name,
            workspace=self._deployments.workspace_name,
            log=log,
        )
        process.begin()
        return process

    def _until_it_answers(self, process: ScoringProcess, log: Path) -> None:
        begun, size = time.monotonic(), log.stat().st_size
        while not process.answers():
            if self._stopping.is_set():
                process.kill()
                raise Stopped
            if process.ended(POLL_SECONDS):
                raise DeploymentFailed(CRASHED.format(_last_line(log, size)))
            if time.monotonic() - begun > START_SECONDS:
                process.kill()
                raise DeploymentFailed(
                    f"The scoring process hasn't answered within {START_SECONDS:.0f} s; init() may take longer. "
                    "Call get_logs() for what it printed."
                )

    def _drain(self, process: ScoringProcess) -> None:
        """End a revision that has been replaced, when its requests are answered."""
        deadline = time.monotonic() + DRAIN_SECONDS
        while process.requests and time.monotonic() < deadline and not self._stopping.is_set():
            time.sleep(POLL_SECONDS)
        process.stop()
        remove_tree(process.folder)
        self._draining.remove(process)

    def _folder(self, revision: int) -> Path:
        return self._deployments.service_folder(self._name) / str(revision)

    def _say(self, line: str) -> None:
        log = self._deployments.log_file(self._name)
        log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with log.open("a", encoding="utf-8") as file:
            file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S', time.gmtime())} {line}\n")


def end_left(folder: Path, but: Path | None = None) -> None:
    """End the processes of a service's revisions that an earlier server has left, but one."""
    for revision in folder.iterdir() if folder.is_dir() else ():
        if revision != but and (left := ScoringProcess.left_in(revision, 0)) is not None:
            left.kill()
        if revision != but and revision.is_dir():
            remove_tree(revision)


def _last_line(log: Path, start: int) -> str:
    """What was raised, of what was printed since: the end of the first traceback, whose cause is no other; else the
    last line at all.
    """
    with log.open("rb") as file:
        file.seek(start)
        lines = file.read().decode("utf-8", "replace").splitlines()
    inside = False
    for line in lines:
        if "Traceback (most recent call last):" in line:
            inside = True
        elif inside and line and not line.startswith((" ", "\t")):
            return line
    return next((line for line in reversed(lines) if line.strip()), "(nothing was printed)")
