"""Data flows of a job's inputs: the file locations in a dataset's YAML."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import yaml

from azureml_local.names import WorkspaceName
from azureml_local.workspace import Workspace, datastores
from azureml_local.workspace.errors import WorkspaceError
from azureml_local.workspace.mirrors import Mirrors

MOST_YAML = 256 * 1024
MOST_BRACKETS = 500  # for each that is open, PyYAML looks at each token once
FLOW_KEYS = {"type", "paths", "transformations", "metadata"}
# Transformations of FileDataset: each selects among the files, by name, size, time or a seed, and adds no others.
CHOICES = {"skip", "take", "take_random_sample", "sample", "filter", "extract_columns_from_partition_format"}
PLACE = re.compile(
    r"azureml://subscriptions/([^/]+)/resourcegroups/([^/]+)/workspaces/([^/]+)/datastores/([^/]+)/paths/(.*)",
    re.IGNORECASE | re.DOTALL,
)
# Characters that are neither part of a pattern nor escaped.
LITERAL = re.compile(r"[A-Za-z0-9_=./ -]*")
EMPTY_PART = re.compile(r"(?:^|/)\.{0,2}(?=/|$)")


@dataclass(frozen=True)
class Mirror:
    """Open data files that the server itself serves: their URL prefix, and their folder.

    The folder is found on first use.
    """

    url: str
    folder: Callable[[], Path]

    def file(self, url: object) -> Path | None:
        """The local file of a URL; None for a URL outside the mirror."""
        place = urlsplit(str(url)).path
        if not str(url).startswith(self.url + "/") or ".." in place.split("/"):
            return None  # a path that leaves the mirror would leave the job's folder too
        file = self.folder() / Path(place).name
        return file if file.is_file() else None


class Fingerprints:
    """Content fingerprints of datasets, for files whose state the server can know."""

    def __init__(self, workspace: Workspace, mirror: Mirror | None) -> None:
        self._workspace = workspace
        self._mirror = mirror

    def of(self, dataflow: str) -> str | None:
        """Fingerprint ``FLOW-CONTENT`` of a data flow and its files; it differs as soon as a file has changed.

        None where files may come from elsewhere than the workspace's own datastore or the mirror, or where there are
        none: their state is unknown.
        """
        try:
            flow = read_flow(dataflow)
            if flow.keys() - FLOW_KEYS or not all(_chooses(step) for step in flow.get("transformations") or ()):
                return None
            found: list[Any] = []
            for entry in flow["paths"]:
                ((_, url),) = entry.items()
                found += self._reached(str(url))
        except (ValueError, KeyError, TypeError, AttributeError):
            return None
        if not found:
            return None
        which = [self._workspace.identity.workspace_id, dataflow]
        return f"{_digest(which)[:16]}-{_digest(sorted(map(list, found)))[:32]}"

    def _reached(self, url: str) -> Iterator[tuple[Any, ...]]:
        """Upper bound of the blobs that a path of a data flow matches. Raises ValueError where it can't be known."""
        if self._mirror is not None and (file := self._mirror.file(url)) is not None:
            info = file.stat()
            yield url, str(file), info.st_size, info.st_mtime_ns
            return
        place = PLACE.fullmatch(url)
        container = self._container(place[4]) if place is not None else None
        if place is None or container is None or ".." in re.split(r"[/\\]", unquote(place[5])):
            raise ValueError("files outside the workspace")
        if WorkspaceName(*place.group(1, 2, 3)).key() not in (n.key() for n in self._workspace.identity.names):
            raise ValueError("another workspace's")
        prefix = LITERAL.match(place[5])
        assert prefix is not None  # it may be empty
        # An engine may ignore empty parts ("a//b"); the prefix before them matches at least as much.
        odd = EMPTY_PART.search(prefix[0])
        yield from datastores.etags(self._workspace.database, prefix[0][: odd.start()] if odd else prefix[0], container)

    def _container(self, datastore: str) -> str | None:
        try:
            return self._workspace.datastores.get(datastore).local
        except WorkspaceError:
            return None


class _Loader(yaml.SafeLoader):
    """YAML without aliases, of which a few lines can stand for gigabytes. No data flow of the SDK has any."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("an alias")
        return super().compose_node(parent, index)


def read_flow(dataflow: str) -> Any:
    """A data flow's YAML. Raises ValueError when it is none, or such that reading it would take minutes."""
    if len(dataflow) > MOST_YAML or dataflow.count("[") + dataflow.count("{") > MOST_BRACKETS:
        raise ValueError("too large")
    try:
        return yaml.load(dataflow, _Loader)
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError("not YAML") from error


def others_of(dataflow: str) -> list[str]:
    """The datastores that a data flow names, without the workspace's own."""
    found = dict.fromkeys(place[4] for place in datastores.PLACE.finditer(dataflow))
    return [name for name in found if name != datastores.DEFAULT]


def single_file(dataflow: str) -> str | None:
    """The file name of a data flow that consists of one path (of a file or folder) without a pattern; else None.

    A mount of such a dataset is the path of the file, not of its folder (azureml.data.context_managers).
    """
    try:
        flow = read_flow(dataflow)
        (entry,) = flow["paths"]
        (path,) = entry.values()
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    if flow.get("transformations") or "*" in str(path):
        return None
    return unquote(urlsplit(str(path)).path).rsplit("/", 1)[-1] or None


def mirrored(dataflow: str, mirror: Mirror | None, mirrors: Mirrors | None = None) -> dict[str, Path] | None:
    """The files of a data flow that names files of this machine only (of the mirror, or of folders that stand for
    addresses), by their paths in the job's folder; None for any other data flow.
    """
    try:
        flow = read_flow(dataflow)
        urls = [str(url) for entry in flow["paths"] for url in entry.values()]
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    if not urls or flow.get("transformations"):
        return None
    files: dict[str, Path] = {}
    for url in urls:
        if mirror is not None and (file := mirror.file(url)) is not None:
            files[_engine_path(url)] = file
        elif mirrors is not None and (found := _standing_for(url, mirrors)):
            files |= found
        else:
            return None
    return files


def _standing_for(url: str, mirrors: Mirrors) -> dict[str, Path]:
    """The files of an address that a folder stands for: of one file as the engine has it; those of a folder or a
    pattern by their paths below the part of it that is no pattern.
    """
    if (found := mirrors.find(url)) is None:
        return {}
    mirror, rest = found
    if (one := mirror.file(rest)) is not None:
        return {_engine_path(url): one}
    literal = unquote(rest).partition("*")[0]
    below = literal.rpartition("/")[0] if "*" in rest else literal.strip("/")
    return {name[len(below) :].lstrip("/"): path for name, path in mirror.files(rest).items()}


def _chooses(step: Any) -> bool:
    """Whether a transformation only selects files, deterministically."""
    ((name, options),) = step.items()
    return name in CHOICES and not (name == "take_random_sample" and options.get("seed") is None)


def _engine_path(url: str) -> str:
    """The path at which the Rust engine stores a file from this URL (measured with azureml-dataprep-rslex 2.26)."""
    parts = urlsplit(url)
    return f"{quote(parts.scheme + ':', safe='')}/{quote('/' + parts.netloc, safe='')}{parts.path}"


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()
