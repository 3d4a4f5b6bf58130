"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from azureml_local.storage.folder import StateFolder

State = Annotated[
    Path | None,
    typer.Option(
        "--state",
        help="The state folder; by default $AZUREML_LOCAL_STATE, else the nearest .azureml-local",
        show_default=False,
        readable=False,  # what is wrong with it we say ourselves
    ),
]

Mirrors = Annotated[
    list[str] | None,
    typer.Option(
        "--mirror",
        metavar="URL=FOLDER",
        help="Data at this address is read from the folder, by jobs and clients; URL= ends that. Kept with the state.",
        show_default=False,
    ),
]


def mirrors_of(given: list[str] | None) -> list[tuple[str, Path | None]]:
    """The addresses and their folders; None for one that is to have none any more. Raises typer.BadParameter."""
    found = []
    for each in given or []:
        url, equals, folder = each.rpartition("=")
        if not equals or "://" not in url:
            raise typer.BadParameter(f"it is URL=FOLDER, not {each!r}", param_hint="--mirror")
        found.append((url, Path(folder) if folder else None))
    return found


def folder_of(state: Path | None) -> StateFolder:
    """The folder that a command works on."""
    return StateFolder.locate() if state is None else StateFolder(state)
