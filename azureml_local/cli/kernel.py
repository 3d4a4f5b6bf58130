"""A Jupyter kernel for the local workspace: choosing "Azure ML (local)" for a notebook runs it against the local
workspace.

The kernel is the same Python's ipykernel, with the workspace's variables. The SDK reads them when it is
imported, so they have to be there before the first cell; and they hold a secret, so they can't stand in the
``kernel.json`` that is installed. That file therefore starts ``azureml-local kernel run``, which looks for the
workspace's server, starts one where none is running, and then becomes ipykernel: the process stays the same,
so that Jupyter's interrupt and restart reach it as they reach any kernel.

A server that a kernel has started outlives it: jobs go on, other notebooks use it too, and a restarted kernel
finds it again. ``azureml-local down`` stops it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer
from filelock import FileLock

from azureml_local.cli.options import State, folder_of
from azureml_local.cli.terminal import err, out
from azureml_local.client import config
from azureml_local.client.instance import LocalServer
from azureml_local.storage.folder import StateFolder

NAME = "azureml-local"
DISPLAY_NAME = "Azure ML (local)"

app = typer.Typer(help='The Jupyter kernel "Azure ML (local)".', no_args_is_help=True)


class KernelError(Exception):
    """The kernel can't be installed or started; the message says what to do."""


@app.command()
def install(state: State = None) -> None:
    """Offer the kernel in every Jupyter of this user: JupyterLab, Notebook, VS Code."""
    # Not at the top: `kernel run` starts without Jupyter's packages.
    from jupyter_client.kernelspec import KernelSpecManager

    if find_spec("ipykernel") is None:
        raise KernelError(f"ipykernel is missing: run `{sys.executable} -m pip install ipykernel`.")
    folder = folder_of(state)
    with tempfile.TemporaryDirectory() as source:
        (Path(source) / "kernel.json").write_text(json.dumps(specification(folder), indent=1), encoding="utf-8")
        place = KernelSpecManager().install_kernel_spec(source, NAME, user=True)
    out.print(f'The kernel "{DISPLAY_NAME}" is in {place}, for the workspace in {folder.root}.')
    out.print("Choose it in Jupyter: it starts the workspace if need be, and `azureml-local down` stops that.")


@app.command()
def uninstall() -> None:
    """Take the kernel away again; the workspace stays."""
    from jupyter_client.kernelspec import KernelSpecManager

    manager = KernelSpecManager()
    if NAME in manager.find_kernel_specs():
        out.print(f"Removed {manager.remove_kernel_spec(NAME)}.")
    else:
        out.print(f'The kernel "{DISPLAY_NAME}" is not installed.')


@app.command(hidden=True, context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def run(
    context: typer.Context,
    state: Annotated[Path, typer.Option("--state")],
    connection_file: Annotated[str, typer.Option("-f")],
) -> None:
    """Become the kernel; Jupyter calls this, with the notebook's folder as the current one.

    Whoever starts it may add options for ipykernel, as nbclient (`jupyter execute`) does for the history.
    """
    server = running_server(StateFolder(state))
    command = [sys.executable, "-m", "ipykernel_launcher", "-f", connection_file, *context.args]
    os.execvpe(command[0], command, {**os.environ, **server.variables()})


def specification(folder: StateFolder) -> dict[str, object]:
    """What ``kernel.json`` holds: no secret, and no port, which may be another one the next time."""
    command = [sys.executable, "-m", "azureml_local", "kernel", "run", "--state", str(folder.root)]
    return {
        "argv": [*command, "-f", "{connection_file}"],
        "display_name": DISPLAY_NAME,
        "language": "python",
        "metadata": {"debugger": True},
    }


def running_server(folder: StateFolder) -> LocalServer:
    """The server of this state folder, started if there is none, for the workspace that the current folder's
    config.json names.

    Raises:
        KernelError: it did not come up. Without it the notebook would go to the real cloud, so there is no kernel.
    """
    folder.create()
    # A browser that opens again with several notebooks starts their kernels all at once.
    with FileLock(folder.root / "kernel.lock"):
        server = LocalServer.find(folder)
        if server is None:
            # By a process of its own, which ends: as our child, a stopped server would stay a zombie, because
            # ipykernel doesn't ask after children it knows nothing of.
            up = [sys.executable, "-m", "azureml_local", "up", "--state", str(folder.root)]
            subprocess.run(up, stdout=sys.stderr, check=False)
            server = LocalServer.find(folder)
    if server is None:
        raise KernelError(f"There is no kernel, because the workspace in {folder.root} didn't start; see above.")
    try:
        if config.find(Path.cwd()) is None:
            config.write_default(Path.cwd())
        server.answer_to(*config.names(Path.cwd()))
    except (config.ConfigError, OSError) as error:
        # The notebook runs all the same: Workspace.from_config() says what is wrong where its reader looks.
        err.print(f"azureml-local: {error}")
    return server


__all__ = ["DISPLAY_NAME", "NAME", "KernelError", "app", "running_server", "specification"]
