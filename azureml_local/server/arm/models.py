"""Models of SDK v2: files in a datastore, or those of a job, under a name and a version."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from azureml_local.names import WorkspaceName
from azureml_local.server.arm.versioned import MAX_URI, Described, Kind, Wire, changed, check_json, read_routes
from azureml_local.server.context import Context, Ctx, Named
from azureml_local.storage.tables import AssetVersion
from azureml_local.workspace.assets import NewVersion
from azureml_local.workspace.datastores import ARTIFACTS
from azureml_local.workspace.errors import Conflict, NotFound
from azureml_local.workspace.model_places import LIST, place_of_model, resolved
from azureml_local.workspace.models import ModelDetails
from azureml_local.workspace.places import place_of, shown_uri

CUSTOM = "custom_model"


class ModelVersion(Described):
    uri: str = Field(alias="modelUri", min_length=1, max_length=MAX_URI)
    type: Literal["custom_model", "mlflow_model", "triton_model"] = Field(default="custom_model", alias="modelType")
    flavors: dict[str, Any] | None = None
    stage: str | None = None


class ModelBody(Wire):
    properties: ModelVersion


def _own(ctx: Context, name: WorkspaceName, row: AssetVersion) -> dict[str, Any]:
    return {
        "modelUri": shown_uri(place_of_model(ctx.workspace, row), name),
        "modelType": row.type or CUSTOM,
        "flavors": row.body.get("flavors") or {},  # the client reads its items
        "jobName": row.run_id,
        "stage": row.stage,
    }


KIND = Kind("models", lambda workspace: workspace.models, _own)
router = read_routes(KIND)


@router.put("/{asset}/versions/{version}", status_code=201)
def put_version(ctx: Ctx, name: Named, asset: str, version: str, body: ModelBody) -> dict[str, Any]:
    """Make a version. Sent again it is a change of its description, tags and archiving; never of its files."""
    workspace, given = ctx.workspace, body.properties
    check_json("The model's flavors", given.flavors)
    uri, run_id = resolved(workspace, given.uri, workspace.identity.names)
    try:
        row = workspace.models.get(asset, version)
    except NotFound:
        new = NewVersion(
            asset,
            version,
            type=given.type,
            uri=_listed(ctx, uri),
            description=given.description,
            tags=given.tags or {},
            properties=given.properties or {},
            run_id=run_id,
            body={"flavors": given.flavors or {}},
        )
        experiment = workspace.experiments.get_by_id(workspace.runs.get(run_id).experiment_id).name if run_id else None
        row = workspace.models.register(new, ModelDetails(experiment=experiment))
    if place_of_model(workspace, row) != uri:
        raise Conflict(
            f"Version {version!r} of the model {asset!r} is registered with other files, and a version never changes. "
            "Give another version, or none for the next number."
        )
    return KIND.version_body(ctx, name, changed(workspace.models, row, given))


def _listed(ctx: Context, uri: str) -> str:
    """A place among artifacts as SDK v1 reads it too: a list with one prefix. Any other URI as it is."""
    place = place_of(uri, (), ctx.workspace.datastores)
    if place is None or place.datastore != ARTIFACTS:
        return uri
    made = ctx.workspace.models.create_artifact_list({"artifacts": [{"prefix": place.path}]})
    return f"{LIST}{made.id}"
