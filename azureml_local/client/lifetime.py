"""A server that lives as long as a command, and its complete shutdown, even if interrupted repeatedly."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

from azureml_local.client.instance import LocalServer, ServerError
from azureml_local.client.users import Users
from azureml_local.names import WorkspaceName
from azureml_local.storage.folder import StateFolder
from azureml_local.storage.trees import remove_tree


@contextlib.contextmanager
def server_for_a_while(folder: StateFolder | None, *options: str) -> Iterator[LocalServer]:
    """The running server of this folder; else one that lasts until the last command that uses it has ended.

    Without a folder, one whose workspace is gone afterwards.

    Raises ServerError when none can be started.
    """
    ends = contextlib.ExitStack()
    try:
        if folder is None:
            temporary = Path(tempfile.mkdtemp(prefix="azureml-local-"))
            ends.callback(remove_tree, temporary)
            folder, options = StateFolder(temporary), (*options, "--port", "0")
        folder.create()
        users = Users(folder)
        ends.enter_context(users.entered())
        server, begun = LocalServer.find_or_start(folder, *options)
        if begun:
            users.lasts_while_used(server.instance.pid)
        ends.callback(_leave, users, server)
        yield server
    finally:
        with uninterrupted():
            ends.close()


def _leave(users: Users, server: LocalServer) -> None:
    if users.is_last(server.instance.pid):
        server.stop()


@contextlib.contextmanager
def workspace_for_command(
    folder: StateFolder | None, names: Iterable[WorkspaceName], *options: str
) -> Iterator[LocalServer]:
    """The same, and it is the workspace of these names."""
    with server_for_a_while(folder, *options) as server:
        server.answer_to(*names)
        yield server


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """What ends a server and takes its files away goes on when Ctrl-C is pressed once more, or a terminal closes."""
    if threading.current_thread() is not threading.main_thread():  # which alone is told of signals
        yield
        return
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def run_child(command: list[str], server: LocalServer) -> int:
    """Run a command with the workspace's variables, and its Python is this one where that has an SDK, unless another
    virtual environment is activated.

    Ctrl-C is the command's to handle; afterwards we go on with our own end.
    """
    try:
        child = subprocess.Popen(command, env={**os.environ, **_search_path(), **server.variables()})
    except OSError as error:
        raise ServerError(f"{command[0]}: {error.strerror}") from error
    previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        return child.wait()
    except SystemExit:
        child.terminate()
        child.wait()
        raise
    finally:
        signal.signal(signal.SIGINT, previous)


def _search_path() -> dict[str, str]:
    """PATH with the folder of this interpreter first: many run a project's .venv without activating it."""
    activated = os.environ.get("VIRTUAL_ENV")
    has_client = any(importlib.util.find_spec(name) for name in ("azureml", "azure", "mlflow"))
    if not has_client or (activated and Path(activated) != Path(sys.prefix)):
        return {}
    return {"PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])}
