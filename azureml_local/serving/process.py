"""One scoring process: gunicorn with Microsoft's inference server, on a Unix socket in its own folder."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

from azureml_local.names import WorkspaceName
from azureml_local.runtime.process import JobProcess, status_file
from azureml_local.serving import launcher, layout
from azureml_local.serving.environments import ScoringEnvironment
from azureml_local.storage.folder import write_private
from azureml_local.workspace.services import Image

APPLICATION = "azureml_inference_server_http.server.entry:app"
WORKER_TIMEOUT = 300  # seconds, as in Azure's images
PROBE_SECONDS = 5.0
RECORD = "process.json"


class ScoringProcess:
    """A running or ended scoring process of one revision of a service.

    Requests that are on their way through it are counted, so that it can be ended when there are none.
    """

    def __init__(self, folder: Path, process: JobProcess, timeout: float) -> None:
        self.folder = folder
        self.timeout = timeout
        self._process = process
        self._counting = threading.Lock()
        self._requests = 0

    @classmethod
    def spawn(
        cls,
        folder: Path,
        environment: ScoringEnvironment,
        image: Image,
        *,
        service: str,
        workspace: WorkspaceName,
        log: Path,
    ) -> ScoringProcess:
        """Start it in a folder that is laid out. Raises OSError."""
        asked = variables_of(image)
        words = [str(environment.python), str(Path(launcher.__file__)), *environment.folders, "--"]
        words += ["--bind", f"unix:../{layout.SOCKET}", "--umask", "0o077", "--error-logfile", "-"]
        words += ["--workers", asked.get("WORKER_COUNT", "1"), "--graceful-timeout", "30"]
        words += ["--timeout", asked.get("WORKER_TIMEOUT", str(max(WORKER_TIMEOUT, int(image.scoring_timeout) + 5)))]
        process = JobProcess.spawn(
            [*words, APPLICATION],
            cwd=folder / "app",
            environment=_variables(folder, environment.python, image, asked, service, workspace),
            log=log,
            status_file=status_file(folder),
            held=environment.descriptors,
        )
        return cls(folder, process, image.scoring_timeout)

    @classmethod
    def left_in(cls, folder: Path, timeout: float) -> ScoringProcess | None:
        """The process that an earlier server has started in a folder; None where it has ended."""
        try:
            record = json.loads((folder / RECORD).read_text())
        except (OSError, ValueError):
            return None
        left = cls(folder, JobProcess.attach(record, status_file(folder)), timeout)
        return None if left.ended(0) else left

    def begin(self) -> None:
        """Kept first: so no process runs that a later server doesn't know."""
        write_private(self.folder / RECORD, json.dumps(self._process.record()))
        self._process.begin()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        return self._process.returncode

    def ended(self, seconds: float) -> bool:
        """Whether it ends within so many seconds."""
        return self._process.wait(seconds)

    def answers(self) -> bool:
        """Whether it is ready: the server answers once the script's init() has returned."""
        connection = _Connection(self.folder / layout.SOCKET)
        with contextlib.closing(connection), contextlib.suppress(OSError, http.client.HTTPException):
            connection.request("GET", "/", headers={"Host": "localhost"})
            return connection.getresponse().status == 200
        return False

    def stop(self) -> None:
        """End it: gunicorn answers what it has begun to answer, for a while."""
        self._process.terminate()

    def kill(self) -> None:
        self._process.kill()

    # Requests -----------------------------------------------------------------------------------------------------

    @property
    def requests(self) -> int:
        return self._requests

    @contextlib.contextmanager
    def request(self) -> Iterator[None]:
        with self._counting:
            self._requests += 1
        try:
            yield
        finally:
            with self._counting:
                self._requests -= 1


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=PROBE_SECONDS)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(PROBE_SECONDS)
        with short_path(self._path) as path:
            self.sock.connect(path)


@contextlib.contextmanager
def short_path(path: Path) -> Iterator[str]:
    """A path to a socket that is short enough to connect to (unix(7): 107 bytes), however deep its folder is."""
    if len(os.fsencode(path)) < 100 or not Path("/proc/self/fd").is_dir():
        yield str(path)
        return
    descriptor = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{descriptor}/{path.name}"
    finally:
        os.close(descriptor)


def variables_of(image: Image) -> dict[str, str]:
    """The environment variables that a service's definition asks for."""
    given = (image.environment or {}).get("environmentVariables") or {}
    return {str(key): str(value) for key, value in given.items()}


def _variables(
    folder: Path, python: Path, image: Image, asked: Mapping[str, str], service: str, workspace: WorkspaceName
) -> dict[str, str]:
    """A scoring process's environment variables: of the server's own, only the search path and the locale."""
    passed = {key: os.environ[key] for key in ("LANG", "LC_ALL", "TZ") if key in os.environ}
    app = folder / "app"
    variables = {
        **passed,
        "PATH": f"{python.parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        "HOME": str(folder / "home"),
        "TMPDIR": str(folder / "tmp"),
        "PYTHONUNBUFFERED": "1",
        "PYTHONIOENCODING": "utf-8",
        "AML_APP_INSIGHTS_ENABLED": "false",
        **asked,
        "AML_APP_ROOT": str(app),
        "AZUREML_APP_ROOT": str(app),
        "AZUREML_MODEL_DIR": str(app / layout.model_folder(image)),
        "SCORING_TIMEOUT_MS": str(int(image.scoring_timeout * 1000)),
        "SERVICE_NAME": service,
        "WORKSPACE_NAME": workspace.name,
        # azureml-inference-server-http says at its start that this is where it listens.
        "SERVER_PORT": "5001",
    }
    # The client changes the caller's Environment: one that is used again may name the folder of an earlier deployment.
    for name in ("AZUREML_SOURCE_DIRECTORY", "AZUREML_ENTRY_SCRIPT"):
        if name in variables and not (app / variables[name]).exists():
            del variables[name]
    if "AZUREML_ENTRY_SCRIPT" not in variables:
        variables["AZUREML_ENTRY_SCRIPT"] = "main.py"
    return variables
