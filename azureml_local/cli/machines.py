"""Command-line options for other machines: the scheduler whose workers run jobs, and the addresses of the server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import typer

from azureml_local.client.instance import ServerError
from azureml_local.endpoints import LOCALHOST, Instance
from azureml_local.server.http.addresses import address_of

Scheduler = Annotated[
    str | None,
    typer.Option(
        help="Run jobs on the workers of this Dask cluster, e.g. tcp://10.0.0.1:8786. See docs/more-machines.md.",
        show_default=False,
    ),
]
Host = Annotated[
    str,
    typer.Option(
        help="Where the API listens; another address than loopback is for workers on other machines.",
    ),
]
Expose = Annotated[
    bool, typer.Option("--expose", help="Other machines may reach --host; see SECURITY.md.", show_default=False)
]


def options(host: str, *, exposed: bool, scheduler: str | None, running: bool) -> list[str]:
    """What a server is started with.

    Raises:
        SettingsError: it can't listen there, or may not. ServerError: one is running already, as it was started.
    """
    if running and (scheduler is not None or host != LOCALHOST):
        raise ServerError("It is up already. Stop it with `azureml-local down` to start it with --scheduler or --host.")
    address_of(host, exposed=exposed)
    return [
        *("--host", host),
        *(["--expose"] if exposed else []),
        *(["--scheduler", scheduler] if scheduler is not None else []),
    ]


def meaning(instance: Instance, scheduler: str | None) -> Iterator[str]:
    """What a user should know who asked for other machines."""
    if not address_of(instance.host, exposed=True).startswith("127."):
        yield (
            f"Every machine that reaches {instance.host} can try to talk to {instance.endpoints.api}: over TLS, and no "
            "further without a token of this workspace. Whoever has one can run commands as you. Sign-in and the pages "
            "stay on this machine."
        )
    if scheduler is not None:
        yield f"Jobs run on the workers of {scheduler}, those of target 'local' here."
