"""SDK v2 as its users have it: in an environment of its own, against the suite's server."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from client_environments import Client, python_of

from azureml_local.client.instance import LocalServer
from azureml_local.names import DEFAULT_NAME

START = f"""\
import json, pathlib, time
from azure.ai.ml import Input, MLClient, Output, command
from azure.ai.ml.entities import AmlCompute, BuildContext, CommandJobLimits, Data, Environment, Model
from azure.identity import DefaultAzureCredential
names = {(DEFAULT_NAME.subscription_id, DEFAULT_NAME.resource_group, DEFAULT_NAME.name)!r}
ml_client = MLClient(DefaultAzureCredential(), *names)
here = pathlib.Path.cwd()

def error_of(call):
    try:
        return "no error: " + repr(call())
    except Exception as error:
        return type(error).__name__ + ": " + str(error).splitlines()[0]

def ended(name):
    deadline = time.monotonic() + 120
    while (status := ml_client.jobs.get(name).status) not in ("Completed", "Failed", "Canceled"):
        assert time.monotonic() < deadline, status
        time.sleep(0.2)
    return status

def files_below(folder):
    return sorted(path.relative_to(folder).as_posix() for path in pathlib.Path(folder).rglob("*") if path.is_file())

"""


@pytest.fixture
def v2(server: LocalServer, workspace: Any, tmp_path: Path) -> Callable[[str], Any]:
    """Run a program that has an ``ml_client``; what its last line prints as JSON is returned."""
    client = Client(python_of("sdk-v2"), server, tmp_path)
    return lambda program: client.run(START + textwrap.dedent(program))


@pytest.fixture
def registered_here(workspace: Any, here: Any) -> str:
    """An environment whose packages are those of the server's own interpreter, by the name that it is registered by."""
    return str(here.register(workspace).name)
