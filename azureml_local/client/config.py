"""``config.json``: the workspace that a folder's notebooks and scripts use.

What ``Workspace.from_config`` reads is read here too, and in the same way (azureml.core.workspace and
azureml._project.project_info): a file of the portal's with three names, or one that ``Workspace.write_config`` wrote.
"""

from __future__ import annotations

import json
import os
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from azureml_local.names import DEFAULT_NAME, WorkspaceName

# Where Workspace.from_config looks, and in which order: each of these folders all the way up, then the next.
FOLDERS = (".azureml", "aml_config", ".")
FILES = ("config.json", "project.json")
KEYS = ("subscription_id", "resource_group", "workspace_name")

# How far the other files that a script can name (path=, _file_name=) are looked for.
DEPTH = 3  # folders below
MOST_ENTRIES = 5000
MOST_BYTES = 8192


class ConfigError(Exception):
    """A config.json that can't be used; the message says which, and why."""


def find(start: Path) -> Path | None:
    """The file that ``Workspace.from_config()`` would take in this folder."""
    return next(_looked_at(start), None)


def read(path: Path) -> WorkspaceName:
    """Raises ConfigError."""
    try:
        body = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path} can't be read ({error.strerror}).") from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path} is no valid JSON ({error}).") from error
    if not isinstance(body, dict):
        raise ConfigError(f"{path} is no JSON object. It needs {', '.join(KEYS[:-1])} and {KEYS[-1]}.")
    name = _scope(path, body["Scope"]) if body.get("Scope") else _three(path, body)
    words: list[Any] = [name.subscription_id, name.resource_group, name.name]
    if not all(isinstance(word, str) and word and word.isprintable() and "/" not in word for word in words):
        raise ConfigError(f"{path}: {', '.join(KEYS[:-1])} and {KEYS[-1]} must be names, not {words}.")
    return name


def names(start: Path) -> list[WorkspaceName]:
    """By what names scripts of this folder may ask for the workspace.

    The first is that of `find`'s file, which there must be. The others stand in files that a script can only mean when
    it names them, ``Workspace.from_config(path="..", _file_name="test.json")``: those in the folder and up to three
    below it, and in every folder above that is looked at without a name.

    Raises:
        ConfigError: for the first file. What else is no such file is left out.
    """
    files = list(dict.fromkeys([*_looked_at(start), *_below(start.absolute())]))
    if not files:
        raise ConfigError(f"There is no config.json in {start} or above it.")
    found = [read(files[0])]
    for path in files[1:]:
        try:
            if path.stat().st_size <= MOST_BYTES:
                found.append(read(path))
        except (ConfigError, OSError):
            continue
    return list({name.key(): name for name in reversed(found)}.values())[::-1]


def write_default(folder: Path) -> Path:
    """A config.json for where there is none: the local workspace's own name. Raises ConfigError."""
    path = folder / "config.json"
    body = dict(zip(KEYS, vars(DEFAULT_NAME).values(), strict=True))
    try:
        with path.open("x", encoding="utf-8") as file:  # never through a link that somebody has put there
            file.write(json.dumps(body, indent=4) + "\n")
    except OSError as error:
        raise ConfigError(
            f"There is no config.json, and {path} can't be written ({error.strerror}). Work in a folder of your own, "
            "or put a config.json there."
        ) from error
    return path


def name_for(folder: Path) -> WorkspaceName:
    """The workspace that a client in this folder asks for; the local one's own where no config.json can be read."""
    path = find(folder)
    try:
        return DEFAULT_NAME if path is None else read(path)
    except ConfigError:
        return DEFAULT_NAME


def is_default(path: Path) -> bool:
    try:
        return read(path) == DEFAULT_NAME
    except ConfigError:
        return False


def _looked_at(start: Path) -> Iterator[Path]:
    """The files that are there of those that are looked at, in that order."""
    here = start.absolute()
    for folder in FOLDERS:
        for name in FILES:
            for parent in (here, *here.parents):
                if os.path.isfile(parent / folder / name):  # noqa: PTH113  (Path.is_file raises where one may not look)
                    yield (parent / folder / name).resolve()


def _below(folder: Path) -> Iterator[Path]:
    """JSON files of the project: not of its environments, packages and hidden folders but .azureml."""
    waiting, seen = deque([(folder, 0)]), 0
    while waiting:
        where, depth = waiting.popleft()
        try:
            entries = sorted(os.scandir(where), key=lambda entry: entry.name)
        except OSError:
            continue
        if any(entry.name == "pyvenv.cfg" for entry in entries):
            continue
        for entry in entries:
            if (seen := seen + 1) > MOST_ENTRIES:
                return
            if entry.is_dir(follow_symlinks=False):
                if depth < DEPTH and (entry.name == ".azureml" or not entry.name.startswith((".", "node_modules"))):
                    waiting.append((Path(entry.path), depth + 1))
            elif entry.name.endswith(".json") and entry.is_file():
                yield Path(entry.path).resolve()


def _scope(path: Path, scope: Any) -> WorkspaceName:
    try:
        return WorkspaceName.of_arm_id(str(scope))
    except ValueError as error:
        raise ConfigError(
            f"{path}: {str(error)[:300]}. The Scope is /subscriptions/S/resourceGroups/G/providers/"
            "Microsoft.MachineLearningServices/workspaces/W, as Workspace.write_config writes it."
        ) from error


def _three(path: Path, body: dict[str, Any]) -> WorkspaceName:
    missing = [key for key in KEYS if key not in body]
    if missing:
        raise ConfigError(
            f"{path} has no {missing[0]!r}. It needs {', '.join(KEYS[:-1])} and {KEYS[-1]}, or the Scope that "
            "Workspace.write_config writes."
        )
    return WorkspaceName(*(body[key] for key in KEYS))
