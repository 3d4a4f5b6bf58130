"""The commands of ``azureml-local``, and their errors as one line and an exit code."""

from __future__ import annotations

import gc
import io
import signal
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from azureml_local import __version__
from azureml_local.cli import kernel, machines, simulate
from azureml_local.cli.browser import open_in_browser
from azureml_local.cli.machines import Expose, Host, Scheduler
from azureml_local.cli.options import Mirrors, State, folder_of, mirrors_of
from azureml_local.cli.terminal import err, out, shown
from azureml_local.client import config
from azureml_local.client.instance import LocalServer, ServerError
from azureml_local.client.lifetime import run_child, workspace_for_command
from azureml_local.client.users import Users
from azureml_local.client.variables import Format, UnwritableVariable, written
from azureml_local.endpoints import LOCALHOST, Instance
from azureml_local.names import WorkspaceName
from azureml_local.server.http.addresses import SettingsError
from azureml_local.storage import removal, trouble
from azureml_local.storage.folder import StateFolderError, cache_folder

app = typer.Typer(
    name="azureml-local",
    help=("A local Azure Machine Learning workspace: the real SDK talks to it, and the jobs you submit really run."),
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(kernel.app, name="kernel")
app.add_typer(simulate.app, name="simulate")

Port = Annotated[
    int | None,
    typer.Option(help="Port of the API; sign-in and pages take the next one.", min=0, max=65534, show_default=False),
]
Environments = Annotated[
    str,
    typer.Option(
        help=(
            "How jobs get their packages: 'build' a virtual environment for each, or use the 'host' interpreter's own."
        )
    ),
]


def main() -> None:
    """The console script: errors are one line, and an exit code."""
    signal.signal(signal.SIGTERM, _end_as_asked)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # Names of files may hold bytes that are no text, and a terminal may know few letters.
            stream.reconfigure(errors="surrogateescape" if stream.encoding == "utf-8" else "backslashreplace")
    try:
        app()
    except (
        StateFolderError,
        ServerError,
        SettingsError,
        config.ConfigError,
        kernel.KernelError,
        UnwritableVariable,
    ) as error:
        err.print(f"azureml-local: {error}")
        sys.exit(1)
    except Exception as error:
        found: object = trouble.explain(error)
        if found is None and isinstance(error, OSError) and error.filename is not None:
            found = f"{error.filename}: {error.strerror}."
        if found is None:
            raise
        err.print(f"azureml-local: {found}")
        sys.exit(1)


def _end_as_asked(number: int, frame: object) -> None:
    """SIGTERM ends a command as Ctrl-C does, with everything it has started."""
    raise SystemExit(128 + number)


@app.command()
def up(
    state: State = None,
    port: Port = None,
    environments: Environments = "build",
    scheduler: Scheduler = None,
    host: Host = LOCALHOST,
    expose: Expose = False,
    mirror: Mirrors = None,
) -> None:
    """Start the local workspace in the background."""
    folder, mirrors = folder_of(state), mirrors_of(mirror)
    names = _configured_names()
    server = LocalServer.find(folder)
    options = machines.options(host, exposed=expose, scheduler=scheduler, running=server is not None)
    folder.create()
    users = Users(folder)
    with users.entered():
        server, begun = LocalServer.find_or_start(folder, *_options(port, environments), *options)
        users.lasts_while_used(None)  # also one that a command has started: it stays from now on
    if begun:
        if server.instance.taken:
            taken = " and ".join(map(str, server.instance.taken))
            out.print(f"Another program uses port {taken}: this time it is another one; see `azureml-local env`.")
        for line in machines.meaning(server.instance, scheduler):
            out.print(line)
        out.print(f"The local workspace is up at {server.instance.endpoints.api}, its state in {folder.root}.")
    else:
        if port not in (None, 0, server.instance.api_port):
            raise ServerError(
                f"It is up already, at {server.instance.endpoints.api}. `azureml-local down` first, for another --port."
            )
        out.print(f"It is up already, at {server.instance.endpoints.api}.")
    server.answer_to(*names)
    for url, place in mirrors:
        server.mirror(url, place)
    out.print('Use it:  azureml-local run -- COMMAND   or   eval "$(azureml-local env)"')


@app.command()
def down(state: State = None) -> None:
    """Stop it; jobs that run are cancelled, everything else is kept."""
    server = LocalServer.find(folder_of(state))
    if server is None:
        out.print("Nothing is running.")
        return
    server.stop()
    out.print("Stopped. What it holds is kept; `azureml-local up` goes on with it.")


@app.command()
def status(state: State = None) -> None:
    """Say what is running, which data MNIST is, and what each unfinished run waits for."""
    folder = folder_of(state)
    server = LocalServer.find(folder)
    if server is None:
        out.print(f"Nothing is running on {folder.root}. `azureml-local up` starts it.")
        raise typer.Exit(3)
    answer = server.status()
    out.print(f"Up at {answer['api']} (process {server.instance.pid}), state in {folder.root}")
    out.print(f"Studio    {answer['studio']}/ (`azureml-local open` signs in, to cancel runs)")
    for name in answer["names"]:
        out.print(
            f"Workspace {name['workspace_name']} in {name['resource_group']}, subscription {name['subscription_id']}"
        )
    out.print(f"MNIST     {answer['mnist']['description']}")
    for each in answer["mirrors"]:
        out.print(f"Mirror    {shown(each['url'])} is read from {shown(each['folder'])}")
    for compute in answer["computes"]:
        state_of = compute["error"] or f"{compute['nodes']} of at most {compute['max_nodes']} nodes"
        out.print(f"Compute   {compute['name']}: {shown(state_of)}")
    for run in answer["unfinished"]:
        out.print(f"Run       {run['run_id']}: {run['status']}. {shown(run['waiting_for'] or '')}")
    for simulated in answer["simulations"]:
        if not simulated["over"]:
            where = simulated["compute"] or simulated["requests"] or "any"
            out.print(f"Simulated {simulated['kind']}, for {shown(where)}")
    for model in answer["models"]:
        out.print(f"Model     {model['name']}, version {model['version']}")
    for service in answer["services"]:
        reason = f" ({shown(service['error'])})" if service["error"] else ""
        out.print(f"Service   {service['name']}: {service['state']}{reason}, at {service['address']}")


@app.command(name="open")
def open_studio(
    run_id: Annotated[str | None, typer.Argument(metavar="RUN", help="A run's id; without it, the first page")] = None,
    state: State = None,
    browser: Annotated[bool, typer.Option(help="Start a browser, or only print the link.")] = True,
) -> None:
    """Open the workspace's pages in a browser, signed in: there runs can be cancelled."""
    server = LocalServer.find(folder_of(state))
    if server is None:
        raise ServerError("Nothing is running. Start it with `azureml-local up`.")
    link = server.sign_in_link(run_id)
    out.print(f"{link}\nIt works once, within 15 minutes.")
    if browser:
        open_in_browser(server.folder, link)


@app.command()
def env(
    state: State = None,
    form: Annotated[
        Format, typer.Option("--format", help="'shell', or 'dotenv' for the .env file of an editor.")
    ] = Format.SHELL,
) -> None:
    """Print what a shell needs, eval "$(azureml-local env)", or an editor's .env file."""
    server = LocalServer.find(folder_of(state))
    if server is None:
        raise ServerError("Nothing is running. Start it with `azureml-local up`.")
    server.answer_to(*_configured_names())
    print(written(server.variables(), form))


@app.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
def run(
    command: Annotated[list[str], typer.Argument(help="The command, after --")],
    state: State = None,
    ephemeral: Annotated[
        bool, typer.Option("--ephemeral", help="In a fresh workspace that is gone afterwards.")
    ] = False,
    environments: Environments = "build",
) -> None:
    """Run any command with a local workspace: azureml-local run -- jupyter lab."""
    folder = None if ephemeral else folder_of(state)
    with workspace_for_command(folder, _configured_names(), *_options(None, environments)) as server:
        raise typer.Exit(run_child(command, server))


@app.command()
def tutorial(
    name: Annotated[
        str, typer.Argument(help="part1, search, part2, all of them, or the path of a notebook", metavar="[NAME]")
    ] = "part1",
    state: State = None,
    environments: Environments = "build",
) -> None:
    """Run a tutorial's notebook on the local workspace and sum up what came of it."""
    from azureml_local.cli.tutorial import TUTORIALS, TutorialError, notebooks_of, run_notebook, summary

    began = time.monotonic()
    try:
        notebooks = notebooks_of(name)
        with workspace_for_command(folder_of(state), _configured_names(), *_options(None, environments)) as server:
            out.print(f"The local workspace is at {server.instance.endpoints.api}")
            out.print(f"MNIST here is {server.status()['mnist']['description']}")
            for notebook in notebooks:
                out.print(f"\n{notebook}")
                report = run_notebook(notebook.absolute(), server.folder.root / "tutorial", server, out)
                out.print()
                for line in summary(report, server.status(), server.describe_run):
                    out.print(line)
    except TutorialError as error:
        err.print(f"azureml-local: {error}")
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        err.print("Stopped; nothing is left running. Run the same command to begin again: what was built is kept.")
        raise typer.Exit(130) from None
    out.print(f"All in all {time.monotonic() - began:.0f} s. `azureml-local up` and `azureml-local open` show it.")
    others = [other for other, path in TUTORIALS.items() if path not in notebooks]
    if others:
        out.print(f"There is more: `azureml-local tutorial {'|'.join(others)}`.")


@app.command()
def logs(state: State = None, lines: Annotated[int, typer.Option("-n", help="How many lines", min=1)] = 50) -> None:
    """Show the end of the server's log."""
    path = folder_of(state).log
    if not path.exists():
        raise ServerError(f"There is no log at {path}: no server has run here in the background.")
    for line in path.read_text("utf-8", "replace").splitlines()[-lines:]:
        out.print(line)


@app.command()
def reset(state: State = None, yes: Annotated[bool, typer.Option("--yes", help="Don't ask.")] = False) -> None:
    """Delete everything in the workspace: runs, metrics, models, files. The caches stay."""
    folder = folder_of(state)
    if not folder.root.exists():
        out.print("There is nothing to delete.")
        return
    removal.check(folder)
    if not yes:
        typer.confirm(f"Delete all runs, models and files in {shown(folder.root)}?", abort=True)
    server = LocalServer.find(folder)
    if server is not None:
        server.stop()
    for line in removal.delete(folder):
        out.print(line)
    out.print("Deleted. `azureml-local up` starts with an empty workspace.")


@app.command()
def backup(
    file: Annotated[Path, typer.Argument(help="A new file, e.g. workspace.tar.gz")], state: State = None
) -> None:
    """Write the whole workspace to a file, while it is up or not."""
    from azureml_local.cli.backup import backup as make

    made = make(folder_of(state), file)
    out.print(f"{file}: the workspace with {made.blobs} files, {made.size:,} bytes. Its secrets are in it.")


@app.command()
def restore(
    file: Annotated[Path, typer.Argument(help="What `azureml-local backup` wrote")], state: State = None
) -> None:
    """Make a workspace out of a backup, in a state folder that is new or empty."""
    from azureml_local.cli.backup import restore as unpack

    folder = folder_of(state)
    made = unpack(file, folder)
    out.print(f"{folder.root}: the workspace of {file}, {made.blobs} files. `azureml-local up` starts it.")


@app.command()
def doctor(state: State = None) -> None:
    """Look over the installation and the workspace, and say what to do about what is wrong."""
    from azureml_local.cli.doctor import examine, show

    raise typer.Exit(show(examine(folder_of(state)), out))


@app.command(hidden=True)
def serve(
    state: State = None,
    port: Port = None,
    environments: Environments = "build",
    names: str = "",
    scheduler: Scheduler = None,
    host: Host = LOCALHOST,
    expose: Expose = False,
) -> None:
    """Serve in the foreground; `up` starts this."""
    # What is loaded and made before the first request stays: the garbage collector need not look through it, neither
    # meanwhile (a tenth of the start) nor later.
    gc.disable()
    from azureml_local.server.serve import Settings
    from azureml_local.server.serve import serve as serve_workspace

    known = tuple(WorkspaceName(*words.split("/")) for words in filter(None, names.split(",")))
    settings = Settings(
        state=folder_of(state).root,
        cache=cache_folder(),
        names=known,
        port=port,
        host_environment=environments == "host",
        host=host,
        exposed=expose,
        scheduler=scheduler,
    )

    def ready(_: Instance) -> None:
        gc.freeze()
        gc.enable()

    serve_workspace(settings, ready)


@app.callback(invoke_without_command=True)
def version(show: Annotated[bool, typer.Option("--version", help="Show the version.")] = False) -> None:
    if show:
        out.print(__version__)
        raise typer.Exit


def _options(port: int | None, environments: str) -> list[str]:
    if environments not in ("build", "host"):
        raise typer.BadParameter(f"it is 'build' or 'host', not {environments!r}", param_hint="--environments")
    return ["--environments", environments, *(["--port", str(port)] if port is not None else [])]


def _configured_names() -> list[WorkspaceName]:
    """The names in this folder's config.json, and in others; one is written where there is none. Raises ConfigError."""
    if config.find(Path.cwd()) is None:
        path = config.write_default(Path.cwd())
        err.print(f"There was no config.json; {path} is a new one, for the local workspace.")
    return config.names(Path.cwd())


__all__ = ["app", "main"]
