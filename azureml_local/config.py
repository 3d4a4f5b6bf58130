"""``config.json``: which workspace a folder's notebooks and scripts ask for."""

from __future__ import annotations

import json
from pathlib import Path

from azureml_local.names import DEFAULT_NAME, WorkspaceName

# Where Workspace.from_config looks, and in which order (azureml.core.workspace): each of these folders all
# the way up, then the next.
FOLDERS = (".azureml", "aml_config", ".")
FILES = ("config.json", "project.json")


class ConfigError(Exception):
    """A config.json that can't be used; the message says which, and why."""


def find(start: Path) -> Path | None:
    """The file that ``Workspace.from_config()`` would take in this folder."""
    here = start.absolute()
    for folder in FOLDERS:
        for name in FILES:
            for parent in (here, *here.parents):
                if (parent / folder / name).is_file():
                    return (parent / folder / name).resolve()
    return None


def read(path: Path) -> WorkspaceName:
    """Raises ConfigError."""
    try:
        body = json.loads(path.read_text(encoding="utf-8"))
        words = [body[key] for key in ("subscription_id", "resource_group", "workspace_name")]
    except OSError as error:
        raise ConfigError(f"{path} can't be read ({error.strerror}).") from error
    except (ValueError, TypeError) as error:
        raise ConfigError(f"{path} is no valid JSON ({error}).") from error
    except KeyError as error:
        raise ConfigError(
            f"{path} has no {error}. It needs subscription_id, resource_group and workspace_name."
        ) from error
    if not all(isinstance(word, str) and word and "/" not in word for word in words):
        raise ConfigError(f"{path}: subscription_id, resource_group and workspace_name must be names, not {words}.")
    return WorkspaceName(*words)


def write_default(folder: Path) -> Path:
    """A config.json for where there is none: the local workspace's own name."""
    path = folder / "config.json"
    body = {
        "subscription_id": DEFAULT_NAME.subscription_id,
        "resource_group": DEFAULT_NAME.resource_group,
        "workspace_name": DEFAULT_NAME.name,
    }
    path.write_text(json.dumps(body, indent=4) + "\n", encoding="utf-8")
    return path


def is_default(path: Path) -> bool:
    try:
        return read(path) == DEFAULT_NAME
    except ConfigError:
        return False
