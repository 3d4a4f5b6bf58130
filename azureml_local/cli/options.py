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


def folder_of(state: Path | None) -> StateFolder:
    """The folder that a command works on."""
    return StateFolder.locate() if state is None else StateFolder(state)
