"""``azureml-local simulate``: fault injection, to test how a program handles failures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from azureml_local.cli.options import State, folder_of
from azureml_local.cli.terminal import out
from azureml_local.client.instance import LocalServer, ServerError
from azureml_local.runtime.faults import FaultKind

app = typer.Typer(
    help="Have something go wrong in the running workspace, to test your own code. docs/simulate.md has examples.",
    no_args_is_help=True,
)

Compute = Annotated[str | None, typer.Option(help="The cluster that it applies to; by default any", show_default=False)]
Requests = Annotated[
    str | None,
    typer.Option(help="Which requests, e.g. 'PUT */computes/*'; by default the next ones", show_default=False),
]
Times = Annotated[int, typer.Option(help="How many times.", min=1)]


@app.command("list")
def list_all(state: State = None) -> None:
    """What is simulated, and how often each has happened."""
    found = _server(state).simulations()
    for each in found:
        where = each["compute"] or each["requests"] or "any"
        count = "until cleared" if each["times"] is None else f"{each['happened']} of {each['times']}"
        out.print(f"{each['id']:>3}  {each['kind']:<18} {where:<24} {count}")
    if not found:
        out.print("Nothing is simulated.")


@app.command()
def clear(
    kind: Annotated[FaultKind | None, typer.Argument(help="Only this kind", show_default=False)] = None,
    state: State = None,
) -> None:
    """End the simulations."""
    count = _server(state).clear_simulations(kind.value if kind else None)
    out.print(f"Cleared: {count}.")


def _of_a_compute(kind: FaultKind) -> Callable[..., None]:
    def command(compute: Compute = None, times: Times = 1, state: State = None) -> None:
        _server(state).simulate(kind.value, compute=compute, times=times)
        _say(kind)

    return command


def _held(kind: FaultKind) -> Callable[..., None]:
    def command(compute: Compute = None, state: State = None) -> None:
        _server(state).simulate(kind.value, compute=compute)
        _say(kind)

    return command


def _of_requests(kind: FaultKind) -> Callable[..., None]:
    def command(requests: Requests = None, times: Times = 1, state: State = None) -> None:
        _server(state).simulate(kind.value, requests=requests, times=times)
        _say(kind)

    return command


for _kind in FaultKind:
    _make = _of_requests if _kind.of_requests else _held if _kind.held else _of_a_compute
    app.command(_kind.value, help=_kind.words)(_make(_kind))


def _say(kind: FaultKind) -> None:
    out.print(f"Simulated from now on: {kind.words} End it with `azureml-local simulate clear`, or `down`.")


def _server(state: Path | None) -> LocalServer:
    server = LocalServer.find(folder_of(state))
    if server is None:
        raise ServerError("Nothing is running. Start it with `azureml-local up`.")
    return server


__all__ = ["app"]
