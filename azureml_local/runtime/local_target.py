"""The compute target "local": a job that runs on the client's machine.

The SDK copies the project to a folder of the client's (``$TMPDIR/azureml_runs/{run}``), unpacks the service's response
there, and starts ``azureml-setup/Invocation.sh`` in it (azureml._execution._commands._start_internal_local_cloud). In
Azure that script runs the job. Here client and server are on one machine, so the script only tells the server where the
project is, which Python the client runs in and how it signs in; the server runs the job there, like every job: with a
log that can be followed, metrics, outputs, cancellation, a time limit, and no process left behind.
"""

from __future__ import annotations

import io
import shlex
import threading
import time
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from azureml_local.storage.trees import open_regular
from azureml_local.workspace.errors import Invalid

INVOCATION = "azureml-setup/Invocation.sh"
ANSWER = "client"
LONGEST_ANSWER = 1 << 16
# The client starts the script immediately after our response.
PATIENCE = 120.0
POLL_SECONDS = 0.05

# How a client signs in, and to which cloud (`environment.client_variables`). A job on the client's machine signs in as
# the client does, as in Azure: Workspace.from_config() is the same workspace. A job on a cluster signs in with its own
# run's token (`variables.job_variables`), which ends with that run: a local one that it submits gets another.
SIGN_IN = (
    "ARM_CLOUD_METADATA_URL",
    "AZUREML_CURRENT_CLOUD",
    "MSI_ENDPOINT",
    "MSI_SECRET",
    "APPSETTING_WEBSITE_SITE_NAME",
    "AZURE_AUTHORITY_HOST",
    "AZUREML_SERVICE_PRINCIPAL_ID",
    "AZUREML_SERVICE_PRINCIPAL_PASSWORD",
    "AZURE_CONFIG_DIR",
    "AZUREML_AUTH_CONFIG_DIR",
)

SCRIPT = """\
#!/bin/bash
# Tells the workspace's server that this run's files are here, which Python its client has and how it signs in. The job
# itself is run by the server, which is on this machine too.
answer={answer}
IFS= read -r -d '' client 2>/dev/null < "/proc/$PPID/cmdline"
case "${{client##*/}}" in python*) ;; *) client=python ;; esac
umask 077
{{
    printf '%s\\0%s\\0' "$PWD" "$(command -v "$client" || command -v python3)"
    if [ "$MSI_SECRET" != "$AZUREML_RUN_TOKEN" ]; then
        for name in {sign_in}; do
            if [ -n "${{!name+set}}" ]; then printf '%s=%s\\0' "$name" "${{!name}}"; fi
        done
    fi
}} > "$answer.part" && mv "$answer.part" "$answer"
"""


@dataclass(frozen=True)
class Client:
    """The client as its script reported it: the folder of the project's copy, the client's own interpreter, and its
    sign-in variables.
    """

    folder: Path
    python: str
    variables: Mapping[str, str] = field(default_factory=dict)


def invocation(folder: Path) -> bytes:
    """Zip archive with the script that the SDK unpacks and starts. ``folder`` is the run's own, on the server's side;
    it is made here.
    """
    folder.mkdir(parents=True, exist_ok=True)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr(INVOCATION, SCRIPT.format(answer=shlex.quote(str(folder / ANSWER)), sign_in=" ".join(SIGN_IN)))
    return packed.getvalue()


def client_of(folder: Path) -> Client | None:
    """Read the client's report; None if there is none yet."""
    try:
        with open_regular(folder / ANSWER) as file:
            where, python, *rest = file.read(LONGEST_ANSWER).decode("utf-8", "surrogateescape").split("\0")
    except (OSError, ValueError):
        return None
    told = dict(word.split("=", 1) for word in rest if "=" in word)
    return Client(Path(where), python, {name: told[name] for name in SIGN_IN if name in told})


def await_client(folder: Path, cancelled: threading.Event) -> Client | None:
    """Wait for the client's report. None when the run is cancelled meanwhile.

    Raises Invalid on timeout.
    """
    deadline = time.monotonic() + PATIENCE
    while (client := client_of(folder)) is None:
        if cancelled.wait(POLL_SECONDS):
            return None
        if time.monotonic() > deadline:
            raise Invalid(
                f"The client has not started {INVOCATION} within {PATIENCE:g} seconds of submitting. Has it ended, or "
                "does it run in a container that doesn't see this server's state folder? Then submit to an AmlCompute."
            )
    if not client.folder.is_dir():
        raise Invalid(f"The client's copy of the project, {client.folder}, isn't there (any more).")
    return client


def with_interpreter(environment: Mapping[str, Any], python: str) -> Mapping[str, Any]:
    """The environment with the client's own interpreter, if the user manages its packages.

    Azure takes the ``python`` of the client's search path, which in a notebook often isn't the notebook's.
    """
    section = environment.get("python") or {}
    named = str(section.get("interpreterPath") or "python")
    if not section.get("userManagedDependencies") or named not in ("python", "python3") or not python:
        return environment
    return {**environment, "python": {**section, "interpreterPath": python}}
