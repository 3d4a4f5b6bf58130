"""A service in SDK v1's words: what a deployment asks for, and what the client is told of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from azureml_local.server.context import Context
from azureml_local.storage.service_tables import Service
from azureml_local.workspace.errors import Invalid, NotFound
from azureml_local.workspace.models import details_of
from azureml_local.workspace.services import Image, SourceFile

ARTIFACT = "aml://artifact/"
ACI: Mapping[str, Any] = {
    "appInsightsEnabled": False,
    "authEnabled": False,
    "cname": None,
    "containerResourceRequirements": {"cpu": 0.1, "memoryInGB": 0.5},
    "location": "local",
    "publicIp": None,
    "sslCertificate": None,
    "sslEnabled": False,
    "sslKey": None,
}
AKS: Mapping[str, Any] = {
    "aadAuthEnabled": False,
    "appInsightsEnabled": False,
    "authEnabled": True,
    "autoScaler": {
        "autoscaleEnabled": False,
        "minReplicas": 1,
        "maxReplicas": 1,
        "targetUtilization": 70,
        "refreshPeriodInSeconds": 1,
    },
    "computeName": None,
    "containerResourceRequirements": {"cpu": 0.1, "memoryInGB": 0.5},
    "dataCollection": {"eventHubEnabled": False, "storageEnabled": False},
    "deploymentStatus": None,
    "livenessProbeRequirements": None,
    "maxConcurrentRequestsPerContainer": 1,
    "maxQueueWaitMs": 500,
    "namespace": None,
    "numReplicas": 1,
    "scoringTimeoutMs": 60000,
}
RESOURCES = ("cpu", "cpuLimit", "memoryInGB", "memoryInGBLimit", "gpu")


def image_of(request: Mapping[str, Any]) -> Image:
    """The image that an ``environmentImageRequest`` describes. Raises Invalid."""
    environment = request.get("environment")
    models = request.get("modelIds") or []
    assets = request.get("assets") or []
    if not isinstance(models, list) or not isinstance(assets, list):
        raise Invalid("A deployment's modelIds and assets are lists.")
    files = {str(each.get("id")): _file(each) for each in assets if isinstance(each, dict) and each.get("url")}
    # The driver is one of the assets, by its id.
    driver = files.pop(str(request.get("driverProgram")), None)
    return Image(
        environment=environment if isinstance(environment, dict) else None,
        models=tuple(str(each) for each in models),
        files=tuple(files.values()),
        driver=driver,
    )


def _file(asset: Mapping[str, Any]) -> SourceFile:
    url = str(asset["url"])
    if not url.startswith(ARTIFACT):
        raise Invalid(f"{url[:80]!r} is no uploaded file of this workspace.")
    place = url.removeprefix(ARTIFACT)
    return SourceFile(place, place.rpartition("/")[2], asset.get("unpack") is True)


def service_body(ctx: Context, row: Service) -> dict[str, Any]:
    """A service as the SDK reads it."""
    image = Image.of(row.image)
    base = AKS if row.compute_type == "AKS" else ACI
    healthy = row.serving is not None and row.served is not None
    body = {
        **base,
        **{key: value for key, value in row.client.items() if value is not None},
        "id": row.name,
        "name": row.name,
        "computeType": row.compute_type,
        "state": row.state,
        "error": None if row.error is None else {"code": "ServiceError", "statusCode": 400, "message": row.error},
        "description": row.description,
        "kvTags": row.tags,
        "properties": row.properties,
        "scoringUri": ctx.scoring_uri(row.name) if healthy else None,
        "createdTime": row.created,
        "updatedTime": row.modified,
        "createdBy": {"userObjectId": ctx.workspace.identity.principal_id, "userName": "azureml-local"},
        "operationId": row.operation,
        # The SDK's update() looks whether there is an environment: without one it would build an image.
        "environmentImageRequest": {"environment": image.environment, "modelIds": list(image.models)},
        "models": [each for model_id in image.models if (each := _model(ctx, model_id)) is not None],
    }
    resources = body["containerResourceRequirements"]
    body["containerResourceRequirements"] = {**dict.fromkeys(RESOURCES), **(resources or {})}
    return body


def _model(ctx: Context, model_id: str) -> dict[str, Any] | None:
    """A model for the reader of services, which is stricter than that of models; None for one that is gone."""
    name, _, version = model_id.rpartition(":")
    try:
        row = ctx.workspace.models.get(name, version)
    except NotFound:
        return None
    details = details_of(row)
    return {
        "id": model_id,
        "name": name,
        "version": row.order,
        "createdTime": row.created,
        "modifiedTime": row.modified,
        "description": row.description,
        "mimeType": details.client.get("mimeType", "application/json"),
        "framework": details.framework,
        "frameworkVersion": details.framework_version,
        "unpack": details.client.get("unpack", False),
        "url": row.uri,
        "experimentName": details.experiment,
        "runId": row.run_id,
        "createdBy": {"userObjectId": ctx.workspace.identity.principal_id, "userName": "azureml-local"},
        "properties": row.properties,
        "datasets": [],
        "tags": row.tags,
        "kvTags": row.tags,
        "resourceRequirements": None,
        "sampleInputData": details.client.get("sampleInputData"),
        "sampleOutputData": details.client.get("sampleOutputData"),
    }
