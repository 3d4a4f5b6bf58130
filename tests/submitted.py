"""Jobs for tests that make runs without a client."""

from __future__ import annotations

from typing import Any

from azureml_local.server.dataplane.runconfiguration import parse_run_configuration
from azureml_local.workspace.jobs import kept_job


def as_job(configuration: dict[str, Any]) -> dict[str, Any]:
    """What `NewRun` takes of a run configuration: the configuration, and the spec that is read from it."""
    return {"definition": configuration, "spec": kept_job(parse_run_configuration(configuration))}
