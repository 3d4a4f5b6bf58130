"""Where a model's files are, whichever client has registered it."""

from __future__ import annotations

import re
from collections.abc import Iterable

from azureml_local.names import WorkspaceName
from azureml_local.storage.tables import AssetVersion
from azureml_local.workspace import Workspace
from azureml_local.workspace.artifacts import RUN_ORIGIN
from azureml_local.workspace.datastores import ARTIFACTS
from azureml_local.workspace.errors import Invalid, NotFound
from azureml_local.workspace.places import Place, artifact_place, kept_uri, place_of

LIST = "aml://asset/"
# A job's output (SDK v2), a run's artifact (MLflow, in three spellings), an uploaded artifact (MLflow).
OUTPUT = re.compile(r"azureml://jobs/([^/]+)/outputs/([^/]+)(?:/paths(?:/(.*))?|/)?", re.IGNORECASE | re.DOTALL)
RUN_FILES = re.compile(
    r"(?:runs:/+([^/]+)/(.+)|azureml://.+/experiments/[^/]+/runs/([^/]+)/artifacts/(.+)"
    r"|azureml://.*ExperimentRun/dcid\.([^/]+)/(.+))",
    re.DOTALL,
)
UPLOADED = re.compile(r"azureml://artifacts/(.+)", re.DOTALL)
DEFAULT_OUTPUT = "artifacts"  # all the files that a job keeps


def resolved(workspace: Workspace, uri: str, known: Iterable[WorkspaceName]) -> tuple[str, str | None]:
    """The place of a model's files as it is kept, and the run that they are of, if they are.

    Raises NotFound for a run, or an output of it, that isn't there; Invalid and NotBuilt for what names no files.
    """
    if found := OUTPUT.fullmatch(uri):
        run_id, output, path = found[1], found[2], (found[3] or "").rstrip("/")
        workspace.runs.get(run_id)
        return _output(workspace, run_id, output, path), run_id
    if (place := place_of(uri, known, workspace.datastores)) is not None:
        run = re.match(rf"{RUN_ORIGIN}/dcid\.([^/]+)/", place.path) if place.datastore == ARTIFACTS else None
        return place.uri.rstrip("/"), run[1] if run else None
    if found := RUN_FILES.fullmatch(uri):
        run_id, path = next((found[i], found[i + 1]) for i in (1, 3, 5) if found[i])
        workspace.runs.get(run_id)
        return artifact_place(run_id, path.rstrip("/")).uri, run_id
    if found := UPLOADED.fullmatch(uri):
        return Place(ARTIFACTS, found[1].rstrip("/")).uri, None
    return kept_uri(uri, known), None


def _output(workspace: Workspace, run_id: str, output: str, path: str) -> str:
    named = {each.name: each.uri for each in workspace.run_data.of(run_id, output=True)}
    if output in named and named[output] is not None:
        base = str(named[output]).rstrip("/")
        return f"{base}/{path}" if path else base
    if output != DEFAULT_OUTPUT:
        names = ", ".join(sorted(named)) or "none"
        raise NotFound(f"The job {run_id!r} has no output {output[:80]!r}; its named outputs: {names}.")
    if not path:
        raise Invalid(
            f"A model of the job {run_id!r} needs a path of its files, as in "
            f"azureml://jobs/{run_id}/outputs/artifacts/paths/outputs/model/."
        )
    return artifact_place(run_id, path).uri


def place_of_model(workspace: Workspace, row: AssetVersion) -> str:
    """The URI of a registered model's files as SDK v2 is told it. Raises NotFound."""
    uri = row.uri or ""
    if not uri.startswith(LIST):
        try:
            return resolved(workspace, uri, workspace.identity.names)[0]
        except (Invalid, NotFound):
            return uri  # as its client has said
    prefixes = [
        str(one.get("prefix") or one.get("id") or "")
        for one in workspace.models.artifact_list(uri.removeprefix(LIST)).body.get("artifacts") or ()
        if isinstance(one, dict)
    ]
    return Place(ARTIFACTS, prefixes[0].strip("/")).uri if prefixes else uri
