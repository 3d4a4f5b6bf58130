"""Start-up hook of every Python process of a job: flushes logged metrics before the process ends, and waits for the
server where the SDK does not.

The SDK sends metrics from a queue, a second later, and has no hook for the end of a process: those of the last second
would be lost. Azure's service calls ``_RunBase._kill`` ("send the about-to-be-killed signal so Runs can clean up
quickly", azureml._history.utils.context_managers) when a script ends, as our own history context does (job.py). A
command's processes have no such context, so this calls the same function at their exit.

The SDK asks for its cloud's addresses when it is imported, once (azure_cli_core.cloud.get_known_clouds): a job whose
server is just starting again would fail there.

Python imports this because its folder is in PYTHONPATH. Standard library only, Python 3.6 or later, and nothing
happens in a process that doesn't import azureml.core.
"""

import atexit
import importlib.abc
import importlib.machinery
import importlib.util
import os
import sys
import threading
import time
import types
from typing import Optional, Sequence  # compatible with Python 3.6, which a job may use

RUN_BASE = "azureml._run_impl.run_base"
CLOUDS = "azureml._vendor.azure_cli_core.cloud"
PATIENCE = 600  # seconds for which a server may be away


def await_server() -> None:
    """Wait until the server takes connections, but no longer than PATIENCE: then the SDK says what is wrong."""
    import socket  # here: most processes of a job have no SDK, and would pay for these
    import urllib.parse

    server = urllib.parse.urlsplit(os.environ.get("ARM_CLOUD_METADATA_URL", ""))
    deadline = time.monotonic() + PATIENCE
    while server.hostname and time.monotonic() < deadline:
        try:
            socket.create_connection((server.hostname, server.port or 443), 5).close()
            return
        except OSError:
            time.sleep(0.2)


def send_what_is_logged() -> None:
    """Flush every run that is open in this process, as the service does."""
    runs = sys.modules[RUN_BASE]._RunBase
    if not runs._registered_kill_handlers.empty():
        runs._kill()


def at_exit() -> None:
    # Before concurrent.futures forbids new work, which is before atexit (Python 3.9 and later). Last in, first out:
    # the SDK has imported that module by now.
    getattr(threading, "_register_atexit", atexit.register)(send_what_is_logged)


class Loader(importlib.abc.Loader):
    def __init__(self, original: importlib.abc.Loader) -> None:
        self.original = original

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> Optional[types.ModuleType]:
        return self.original.create_module(spec)

    def exec_module(self, module: types.ModuleType) -> None:
        if module.__name__ == CLOUDS:
            await_server()
        self.original.exec_module(module)
        if module.__name__ == RUN_BASE:
            at_exit()


class Finder(importlib.abc.MetaPathFinder):
    def find_spec(
        self, name: str, path: Optional[Sequence[str]], target: Optional[types.ModuleType] = None
    ) -> Optional[importlib.machinery.ModuleSpec]:
        if name not in (RUN_BASE, CLOUDS):
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = Loader(spec.loader)
        return spec


def choose_mlflow_tracking_uri() -> None:
    """Give the workspace's tracking URI the scheme that this process can read; one of the user's own stays."""
    ours = os.environ.get("AZUREML_LOCAL_MLFLOW", "")
    plain = ours.replace("azureml://", "https://", 1)
    if ours and os.environ.get("MLFLOW_TRACKING_URI") in (ours, plain):
        installed = any(os.path.isfile(os.path.join(entry, "azureml", "mlflow", "__init__.py")) for entry in sys.path)
        os.environ["MLFLOW_TRACKING_URI"] = ours if installed else plain


def run_the_next_one() -> None:
    """Run the environment's own sitecustomize, which this one shadows."""
    here = os.path.dirname(os.path.abspath(__file__))
    path = [os.path.abspath(entry or os.curdir) for entry in sys.path]
    if here in path:  # not the entries before it: one of them may have called this module
        path = path[path.index(here) + 1 :]
    spec = importlib.machinery.PathFinder.find_spec("sitecustomize", path)
    if spec is not None and spec.loader is not None:
        spec.loader.exec_module(importlib.util.module_from_spec(spec))


sys.meta_path.insert(0, Finder())
choose_mlflow_tracking_uri()
run_the_next_one()
