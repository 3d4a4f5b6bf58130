"""Arguments for creating or changing a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from azureml_local.names import WorkspaceName
from azureml_local.storage.tables import Json
from azureml_local.workspace.texts import check_name, check_text, texts


@dataclass(frozen=True)
class NewRun:
    run_id: str
    experiment_id: str
    run_type: str | None = None
    target: str | None = None
    script_name: str | None = None
    definition: Json = field(default_factory=dict)
    job: Json | None = None
    spec: Json | None = None  # `jobs.kept_job`, `sweeps.kept_sweep`
    parameters: Mapping[str, str] = field(default_factory=dict)
    snapshot_id: str | None = None
    parent_id: str | None = None
    name: str | None = None
    display_name: str | None = None
    description: str | None = None
    properties: Json = field(default_factory=dict)
    tags: Json = field(default_factory=dict)
    workspace: WorkspaceName | None = None  # the parent's, for None


@dataclass(frozen=True)
class RunChange:
    """What is to be different of a run; None leaves a thing as it is. Tags and properties are merged."""

    name: str | None = None
    display_name: str | None = None
    description: str | None = None
    hidden: bool | None = None
    tags: Mapping[str, Any] | None = None
    properties: Mapping[str, Any] | None = None


def checked(new: NewRun) -> NewRun:
    """The run with its texts as they are kept. Raises Invalid for one that can't be."""
    names = {
        key: getattr(new, key) for key in ("run_type", "target", "script_name", "parent_id", "name", "display_name")
    }
    for key, text in names.items():
        if text is not None:
            check_name(f"A run's {key.replace('_', ' ')}", text)
    if new.description is not None:
        check_text("A run's description", new.description)
    return replace(new, tags=texts("tags", new.tags), properties=texts("properties", new.properties))
