"""The services of a workspace: one thread looks after each, from its deployment to its end."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections import deque
from dataclasses import dataclass
from pathlib import Path

import psutil

from azureml_local.names import WorkspaceName
from azureml_local.runtime.conda import EnvironmentBuildError
from azureml_local.serving.environments import ScoringEnvironments, no_code_definition
from azureml_local.serving.keeper import Keeper, end_left
from azureml_local.serving.layout import name_and_version
from azureml_local.serving.process import ScoringProcess
from azureml_local.storage.tables import Json
from azureml_local.storage.trees import remove_tree
from azureml_local.workspace import Workspace
from azureml_local.workspace.errors import Conflict, Invalid
from azureml_local.workspace.models import details_of
from azureml_local.workspace.services import DELETING, FAILED, Image, NewService, ServiceChange

logger = logging.getLogger("azureml_local.serving")

# Of memory, in bytes: what a worker with scikit-learn takes (180 to 190 MB measured), and what is left to others.
WORKER_BYTES, SPARE_BYTES = 200 * 2**20, 300 * 2**20
LONGEST_TAIL = 100_000  # lines of a log


@dataclass(frozen=True)
class Target:
    """What answers a service's requests: its process, None while there is none; and what a request needs."""

    process: ScoringProcess | None
    auth: str
    keys: tuple[str, str]


class Deployments:
    """Starts, looks after and ends the scoring processes. `start` takes up what an earlier server has left."""

    def __init__(self, workspace: Workspace, environments: ScoringEnvironments, folder: Path) -> None:
        self.workspace = workspace
        self.environments = environments
        self._folder = folder
        self._keepers: dict[str, Keeper] = {}
        self._access: dict[str, tuple[str, tuple[str, str]]] = {}
        self._changing = threading.Lock()

    def start(self) -> None:
        for service in self.workspace.services.list():
            if service.state == DELETING:
                self._remove(service.name)
            elif service.state != FAILED:
                self._keep(service.name)

    def stop(self) -> None:
        """End all processes; the next server starts them again."""
        with self._changing:
            keepers = list(self._keepers.values())
        for keeper in keepers:
            keeper.stop()
        for keeper in keepers:
            keeper.join()

    def deploy(self, new: NewService, *, overwrite: bool = False) -> str:
        """Deploy a service. Returns the operation's id. Raises Conflict, Invalid, NotFound."""
        self.check(new.image, new.name)
        service = self.workspace.services.create(new, overwrite=overwrite)
        self._access.pop(service.name, None)
        self._keep(service.name)
        return service.operation

    def change(self, name: str, change: ServiceChange) -> str | None:
        """Change a service; a new image is deployed beside the one that answers. Returns the operation's id, None where
        nothing has to be waited for. Raises NotFound, Conflict, Invalid.
        """
        if change.image is not None:
            self.workspace.services.get(name)
            self.check(change.image, name)
        service, renewed = self.workspace.services.change(name, change)
        self._access.pop(name, None)
        if not renewed:
            return None
        self._keep(name)
        return service.operation

    def delete(self, name: str) -> None:
        """Raises NotFound."""
        self.workspace.services.mark_deleting(name)
        self._remove(name)

    def set_key(self, name: str, *, primary: bool, value: str | None) -> None:
        self.workspace.services.set_key(name, primary=primary, value=value)
        self._access.pop(name, None)

    def target(self, name: str) -> Target:
        """What answers requests to a service. Raises NotFound, Conflict."""
        access = self._access.get(name)
        if access is None:
            services = self.workspace.services
            access = self._access[name] = services.get(name).auth, services.keys(name)
        keeper = self._keepers.get(name)
        return Target(keeper.current if keeper is not None else None, *access)

    def log(self, name: str, lines: int) -> str:
        """The last lines of what a service's processes have printed. Raises NotFound."""
        self.workspace.services.get(name)
        with (
            contextlib.suppress(FileNotFoundError),
            self.log_file(name).open(encoding="utf-8", errors="replace") as file,
        ):
            return "".join(deque(file, min(lines, LONGEST_TAIL)))
        return ""

    def check(self, image: Image, name: str) -> None:
        """Raises Invalid, NotFound and Conflict for an image that can't be served here."""
        for model_id in image.models:
            self.workspace.models.get(*name_and_version(model_id))
        if image.environment is None:
            if len(image.models) != 1:
                raise Invalid("A service without an InferenceConfig serves one model.")
            try:
                self.definition(image)
            except EnvironmentBuildError as error:
                raise Invalid(str(error)) from None
        others = [each.name for each in self.workspace.services.list() if each.state != FAILED and each.name != name]
        if psutil.virtual_memory().available < WORKER_BYTES + SPARE_BYTES and others:
            raise Conflict(
                "This machine hasn't the memory for one more service. These run: "
                f"{', '.join(others)}. Delete one of them, as by Webservice(ws, {others[0]!r}).delete()."
            )

    def definition(self, image: Image) -> Json:
        """The definition of an image's environment. Raises EnvironmentBuildError, NotFound."""
        if image.environment is not None:
            return image.environment
        details = details_of(self.workspace.models.get(*name_and_version(image.models[0])))
        return no_code_definition(details.framework, details.framework_version)

    def service_folder(self, name: str) -> Path:
        return self._folder / name

    def log_file(self, name: str) -> Path:
        return self.service_folder(name) / "service.log"

    @property
    def workspace_name(self) -> WorkspaceName:
        return self.workspace.identity.names[0]

    def _keep(self, name: str) -> None:
        """Have a thread look after a service; one that does already is told to look again."""
        with self._changing:
            keeper = self._keepers.get(name)
            if keeper is not None and keeper.look_again():
                return
            self._keepers[name] = Keeper(self, name)
            self._keepers[name].start()

    def _remove(self, name: str) -> None:
        with self._changing:
            keeper = self._keepers.pop(name, None)
            self._access.pop(name, None)
        if keeper is not None:
            keeper.stop()
            keeper.join()
        else:
            end_left(self.service_folder(name))
        remove_tree(self.service_folder(name))
        self.workspace.services.forget(name)
