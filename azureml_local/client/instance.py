"""Control of a server from other processes: find it through its state folder, start it, query it, stop it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil
from filelock import FileLock

from azureml_local import processes
from azureml_local.client import config
from azureml_local.client.environment import client_variables
from azureml_local.endpoints import Instance
from azureml_local.names import MLFLOW_RESOURCE, WorkspaceName
from azureml_local.storage.folder import StateFolder

START_SECONDS = 30.0
STOP_SECONDS = 30.0


class ServerError(Exception):
    """The server can't be started, reached or stopped; the message says what to do."""


@dataclass(frozen=True)
class LocalServer:
    """A server that runs on a state folder."""

    folder: StateFolder
    instance: Instance
    # Where this process started it: kept, so that it is not taken for a forgotten child while it runs.
    _child: subprocess.Popen[bytes] | None = field(default=None, compare=False, repr=False)

    @classmethod
    def find(cls, folder: StateFolder) -> LocalServer | None:
        """The server of this folder, or None when none is running. Raises PermissionError where nobody can tell,
        StateFolderError for another user's folder.
        """
        folder.check()
        try:
            instance = Instance(**json.loads(folder.instance.read_text()))
        except PermissionError:
            raise
        except (OSError, ValueError, TypeError):
            return None
        # A file that a killed server left behind may name a process that is now somebody else's.
        return cls(folder, instance) if processes.find(instance.pid, instance.identity) is not None else None

    @classmethod
    def find_or_start(cls, folder: StateFolder, *options: str) -> tuple[LocalServer, bool]:
        """The server of this folder, and whether this call has started it; of several at once, one does.

        Raises:
            ServerError: it did not come up, or one that was told to stop doesn't end.
        """
        folder.create()
        with FileLock(folder.start_lock):
            server = cls.find(folder)
            if server is not None and not server.instance.ending:
                return server, False
            if server is not None:
                server.await_end()
            return cls.start(folder, *options), True

    @classmethod
    def start(cls, folder: StateFolder, *options: str) -> LocalServer:
        """Start one in the background, and wait until it answers.

        Raises:
            ServerError: it did not come up; the message has its last words.
        """
        folder.create()
        with folder.log.open("ab") as log:
            start = log.tell()
            child = subprocess.Popen(
                [sys.executable, "-m", "azureml_local", "serve", "--state", str(folder.root), *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                cwd=folder.root,
            )
        try:
            return cls._await(folder, child, start)
        except BaseException:
            # Ctrl-C too: nobody would know of this server.
            child.terminate()
            child.wait()
            raise

    @classmethod
    def _await(cls, folder: StateFolder, child: subprocess.Popen[bytes], log_start: int) -> LocalServer:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            found = cls.find(folder)
            if found is not None and found.instance.pid == child.pid:
                return cls(folder, found.instance, child)
            if child.poll() is not None:
                said = folder.log.read_bytes()[log_start:].decode("utf-8", "replace").strip()
                raise ServerError(
                    said.splitlines()[-1].removeprefix("azureml-local: ")
                    if said
                    else f"The server ended with status {child.returncode}."
                )
            time.sleep(0.01)
        raise ServerError(f"The server did not answer within {START_SECONDS:g} s. Its log is {folder.log}.")

    def stop(self) -> None:
        """Ask it to stop, and wait until it and its jobs are gone. Raises ServerError."""
        with contextlib.suppress(psutil.NoSuchProcess):
            if self._child is not None:
                self._child.terminate()
            else:
                process = processes.find(self.instance.pid, self.instance.identity)
                if process is None:
                    return
                process.send_signal(signal.SIGTERM)
        self.await_end()

    def await_end(self) -> None:
        """Wait for the end of a server that was told to stop. Raises ServerError."""
        try:
            if self._child is not None:
                self._child.wait(timeout=STOP_SECONDS)
            elif (process := processes.find(self.instance.pid, self.instance.identity)) is not None:
                _wait_for(process, STOP_SECONDS)
        except psutil.NoSuchProcess:
            return
        except (psutil.TimeoutExpired, subprocess.TimeoutExpired) as error:
            raise ServerError(
                f"The server (process {self.instance.pid}) is still ending its jobs and keeping their outputs after "
                f"{STOP_SECONDS:g} s. `azureml-local down` waits again; its log is {self.folder.log}."
            ) from error

    def variables(
        self, inherited: Mapping[str, str] = os.environ, workspace: WorkspaceName | None = None
    ) -> dict[str, str]:
        """What a process needs in its environment to use this workspace with the real SDKs and MLflow.

        MLflow logs to the one named ``workspace``, or else to the one that the current folder's config.json names.
        Raises ServerError: the server doesn't answer.
        """
        return client_variables(
            self.instance.endpoints,
            trust=self.instance.trust,
            sign_in_secret=self.folder.secrets().sign_in,
            sign_in_key=self.folder.secrets().sign_in_key(),
            workspace=workspace or config.name_for(Path.cwd()),
            tracking_token=self._token(MLFLOW_RESOURCE),
            client_folders=self.folder.client_folders,
            mirrors={each["url"]: each["served"] for each in self.mirrors()},
            inherited=inherited,
        )

    def status(self) -> dict[str, Any]:
        return self._get("/local/status")

    def describe_run(self, run_id: str) -> dict[str, Any]:
        return self._get(f"/local/runs/{run_id}")

    def sign_in_link(self, run_id: str | None = None) -> str:
        """A link that signs a browser in to Studio, once. Raises ServerError for a run that there isn't."""
        return str(self._ask("POST", "/local/sign-in-links", {"run_id": run_id})["url"])

    def simulate(
        self, kind: str, *, times: int | None = None, compute: str | None = None, requests: str | None = None
    ) -> InjectedFault:
        """Have something go wrong, from now on: ``with server.simulate("quota-exceeded"): ...``

        An event happens once, or so many ``times``; ``allocation-failed`` and ``queue-stuck`` last until the end
        of the ``with`` block, or until `InjectedFault.clear` is called. It applies to one ``compute``, or any; 429 and
        503 apply to the ``requests`` of a pattern such as ``"PUT */computes/*"``, or any.

        Raises:
            ServerError: there is no such simulation; the message says which there are.
        """
        asked = {"kind": kind, "times": times, "compute": compute, "requests": requests}
        return InjectedFault(self, self._ask("POST", "/local/simulations", asked)["id"])

    def simulations(self) -> list[dict[str, Any]]:
        """All that were asked for and not cleared, and how often each has happened."""
        found: list[dict[str, Any]] = self._ask("GET", "/local/simulations")["value"]
        return found

    def clear_simulations(self, kind: str | None = None) -> int:
        """End all, or those of a kind. Returns how many there were."""
        return int(self._ask("DELETE", "/local/simulations" + (f"?kind={kind}" if kind else ""))["cleared"])

    def mirror(self, url: str, folder: Path | None) -> None:
        """From now on a folder stands for an address of the web; without one, no longer. Raises ServerError."""
        place = None if folder is None else str(folder.expanduser().absolute())
        self._ask("POST", "/local/mirrors", {"url": url, "folder": place})

    def mirrors(self) -> list[dict[str, str]]:
        found: list[dict[str, str]] = self._ask("GET", "/local/mirrors")["value"]
        return found

    def answer_to(self, *names: WorkspaceName) -> None:
        """From now on it is the workspace of these names too."""
        for name in names:
            body = {
                "subscription_id": name.subscription_id,
                "resource_group": name.resource_group,
                "workspace_name": name.name,
            }
            self._ask("POST", "/local/names", body)

    def _get(self, path: str) -> dict[str, Any]:
        # The first question about MNIST may have it downloaded.
        return self._ask("GET", path, seconds=300)

    def _ask(
        self, method: str, path: str, body: dict[str, Any] | None = None, *, seconds: float = 30
    ) -> dict[str, Any]:
        """Raises ServerError, with the server's own words, for what it refuses or can't do."""
        try:
            with self._client() as client:
                answer = client.request(method, path, json=body, timeout=seconds)
            found: dict[str, Any] = answer.json()
        except (httpx.HTTPError, ssl.SSLError, FileNotFoundError, ValueError) as error:
            raise ServerError(
                f"The server at {self.instance.endpoints.api} doesn't answer as it should ({error}). "
                "`azureml-local doctor` says what may be wrong."
            ) from error
        if answer.is_error:
            raise ServerError(found["error"]["message"])
        return found

    def _client(self) -> httpx.Client:
        endpoints = self.instance.endpoints
        return httpx.Client(
            base_url=endpoints.api,
            verify=ssl.create_default_context(cafile=str(self.folder.tls / "ca.pem")),
            headers={"Authorization": f"Bearer {self._token(endpoints.api)}"},
            trust_env=False,
        )

    def _token(self, resource: str) -> str:
        endpoints = self.instance.endpoints
        try:
            answer = httpx.get(
                f"{endpoints.plain}/msi/token",
                params={"resource": resource},
                headers={"secret": self.folder.secrets().sign_in},
                trust_env=False,
            )
            answer.raise_for_status()
        except httpx.HTTPError as error:
            raise ServerError(
                f"The server at {endpoints.plain} doesn't answer ({error}). Stop it with `azureml-local down`."
            ) from error
        return str(answer.json()["access_token"])


def _wait_for(process: psutil.Process, seconds: float) -> None:
    """Until a process has ended; also one whose parent, as in a container without an init, never asks how.

    Raises psutil.TimeoutExpired, psutil.NoSuchProcess.
    """
    deadline = time.monotonic() + seconds
    while process.status() != psutil.STATUS_ZOMBIE:
        if time.monotonic() > deadline:
            raise psutil.TimeoutExpired(seconds, process.pid)
        with contextlib.suppress(psutil.TimeoutExpired):
            process.wait(timeout=0.1)
            return


@dataclass(frozen=True)
class InjectedFault:
    """Trouble that a test has asked for; a ``with`` block ends it."""

    server: LocalServer
    id: int

    @property
    def happened(self) -> int:
        """How often it did."""
        return int(self.server._ask("GET", f"/local/simulations/{self.id}")["happened"])

    def clear(self) -> None:
        self.server._ask("DELETE", f"/local/simulations/{self.id}")

    def __enter__(self) -> InjectedFault:
        return self

    def __exit__(self, *error: object) -> None:
        self.clear()
