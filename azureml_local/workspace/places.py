"""Places: the URIs by which SDK v2 names files in the workspace's datastores, in the one form in which they are kept.

A workspace has several names, so the form that is kept (``azureml://datastores/NAME/paths/PATH``) has none of them;
clients are shown the long form, with the name that they use.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from azureml_local.names import WorkspaceName
from azureml_local.workspace import artifacts, datastores
from azureml_local.workspace.errors import Invalid, NotBuilt, NotFound
from azureml_local.workspace.registered_datastores import Datastores

CONTAINERS = {datastores.DEFAULT: datastores.CONTAINER, datastores.ARTIFACTS: artifacts.CONTAINER}

SHORT = re.compile(r"azureml://datastores/([^/]+)/paths/(.*)", re.IGNORECASE | re.DOTALL)
LONG = re.compile(
    r"azureml://subscriptions/([^/]+)/resourcegroups/([^/]+)(?:/providers/Microsoft\.MachineLearningServices)?"
    r"/workspaces/([^/]+)/datastores/([^/]+)/paths/(.*)",
    re.IGNORECASE | re.DOTALL,
)
# Public files of Azure Storage, which are had by https as well.
WASBS = re.compile(r"wasbs?://([^@/]+)@([^/]+)/(.+)", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True)
class Place:
    """A path in one of the workspace's datastores. ``registered`` is the container of one that a client registered."""

    datastore: str
    path: str
    registered: str | None = None

    @property
    def uri(self) -> str:
        return f"azureml://datastores/{self.datastore}/paths/{self.path}"

    @property
    def container(self) -> str:
        return self.registered or CONTAINERS[self.datastore]

    def long_uri(self, name: WorkspaceName) -> str:
        return datastores.dataflow_path(name, self.path, self.datastore)


def artifact_place(run_id: str, path: str) -> Place:
    """Where a file of a run is."""
    return Place(datastores.ARTIFACTS, f"{artifacts.RUN_ORIGIN}/dcid.{run_id}/{datastores.clean_path(path)}")


def place_of(uri: str, known: Iterable[WorkspaceName], others: Datastores | None = None) -> Place | None:
    """The place that a URI names; None for a URI of another kind. ``others`` are the datastores that were registered,
    where one of them will do.

    Raises NotFound for a datastore, or a workspace, that isn't there; NotBuilt for a datastore whose files are
    elsewhere; Invalid for a path that leads out of it.
    """
    if found := LONG.fullmatch(uri):
        if WorkspaceName(*found.group(1, 2, 3)).key() not in {name.key() for name in known}:
            raise NotFound(f"{uri[:200]!r} is in another workspace than this one.")
        datastore, path = found[4], found[5]
    elif found := SHORT.fullmatch(uri):
        datastore, path = found[1], found[2]
    else:
        return None
    registered = None
    if datastore not in CONTAINERS and others is not None:
        registered = others.container(datastore)
    elif datastore not in CONTAINERS:
        names = " and ".join(CONTAINERS)
        raise NotFound(f"There is no datastore {datastore[:80]!r} for this in a local workspace; it has {names}.")
    return Place(datastore, datastores.clean_path(path) + ("/" if path.endswith("/") else ""), registered)


def kept_uri(uri: str, known: Iterable[WorkspaceName], others: Datastores | None = None) -> str:
    """The form in which a URI is kept. Raises Invalid, NotBuilt and NotFound for one that names no files to be had."""
    if (place := place_of(uri, known, others)) is not None:
        return place.uri
    if found := WASBS.fullmatch(uri):
        return f"https://{found[2]}/{found[1]}/{found[3]}"
    scheme = uri.partition("://")[0].lower()
    if scheme in ("https", "http"):
        return uri
    if scheme in ("abfss", "abfs", "adl", "azureml"):
        raise NotBuilt(
            f"{uri[:200]!r} can't be read in azureml-local: it reads the workspace's own datastores, https and wasbs."
        )
    raise Invalid(f"{uri[:200]!r} is no URI of data: use azureml://datastores/NAME/paths/PATH or https://.")


def shown_uri(uri: str, name: WorkspaceName) -> str:
    """The form in which a client is shown a URI that is kept."""
    found = SHORT.fullmatch(uri)
    return Place(found[1], found[2]).long_uri(name) if found else uri
