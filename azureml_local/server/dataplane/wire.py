"""What workspace things look like on the wire: the JSON of Azure's services (field names from
azureml._restclient.models).
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Body
from fastapi.responses import Response
from pydantic_core import to_json

from azureml_local.names import WorkspaceName
from azureml_local.runtime.logs import JOB_LOG
from azureml_local.server.context import Context
from azureml_local.server.dataplane.sweepconfiguration import KEY
from azureml_local.storage.blobrows import BlobRow
from azureml_local.storage.tables import Experiment, Run
from azureml_local.workspace.artifacts import CONTAINER, path_of, split_name
from azureml_local.workspace.datasets import DatasetUse
from azureml_local.workspace.errors import Invalid
from azureml_local.workspace.experiments import shown_name
from azureml_local.workspace.jobs import is_made_of_a_job, spec_of
from azureml_local.workspace.run_kinds import STEP
from azureml_local.workspace.run_lists import RunRow
from azureml_local.workspace.runs import data_container

Json = dict[str, Any]
STEP_LOG = "azureml-logs/70_driver_log.txt"
OptionalBody = Annotated[Json | None, Body()]


def experiment(row: Experiment) -> Json:
    return {
        "experimentId": row.id,
        "name": shown_name(row),
        "description": row.description,
        "createdUtc": row.created,
        "tags": row.tags,
        "archivedTime": row.archived,
    }


def run(ctx: Context, name: WorkspaceName, row: Run | RunRow) -> Json:
    history = f"{ctx.endpoints.api}/history/v1.0{name.arm_id}"
    return {
        "runNumber": row.number,
        "rootRunId": row.root_id,
        "parentRunId": row.parent_id,
        "runId": row.id,
        "runUuid": row.uuid,
        "experimentId": row.experiment_id,
        "createdUtc": row.created,
        "startTimeUtc": row.started,
        "endTimeUtc": row.ended,
        "status": row.status,
        "runType": row.run_type,
        "target": row.target,
        "name": row.name or row.display_name,
        "displayName": row.display_name or row.name or row.id,
        "description": row.description,
        "scriptName": row.script_name,
        "hidden": row.hidden,
        "dataContainerId": data_container(row),
        "tags": row.tags,
        "properties": row.properties,
        "cancelUri": f"{history}/runs/{row.id}/cancel",
        "error": row.error,
        "warnings": row.warnings,
        "createdBy": {"userObjectId": ctx.workspace.identity.principal_id, "userName": "azureml-local"},
        "heartbeatEnabled": False,
    }


def run_details(ctx: Context, row: Run) -> Json:
    container = data_container(row)
    return {
        "runId": row.id,
        "target": row.target,
        "status": row.status,
        "startTimeUtc": row.started,
        "endTimeUtc": row.ended,
        "error": row.error,
        "warnings": row.warnings,
        "properties": row.properties,
        "services": {},
        "inputDatasets": _input_datasets(ctx, row),
        "outputDatasets": [_lineage(use) for use in ctx.workspace.datasets.uses(row.id, output=True)],
        "runDefinition": run_definition(ctx, row),
        "logFiles": _log_files(ctx, row, container),
    }


def _log_files(ctx: Context, row: Run, container: str) -> Json:
    logs = {path_of(blob): ctx.urls.read(CONTAINER, blob.name) for blob in ctx.workspace.artifacts.logs(container)}
    if row.run_type == STEP and JOB_LOG in logs:
        # Of a step the SDK prints azureml-logs/NN*.txt only (azureml.pipeline.core.run: _stream_run_output).
        logs[STEP_LOG] = logs[JOB_LOG]
    return logs


def artifact(blob: BlobRow, wanted_path: str | None = None) -> Json:
    origin, container, own_path = split_name(blob.name)
    return {
        "artifactId": blob.name,
        "origin": origin,
        "container": container,
        "path": wanted_path or own_path,
        "etag": blob.etag,
        "createdTime": blob.created,
        "dataPath": None,
    }


def content_information(ctx: Context, blob: BlobRow) -> Json:
    origin, container, own_path = split_name(blob.name)
    return {
        "contentUri": ctx.urls.read(CONTAINER, blob.name),
        "origin": origin,
        "container": container,
        "path": own_path,
    }


def page(values: list[Json], following: str | None = None) -> Json:
    """A page of a list, and the token that the client asks for the next one with; without one it is the last."""
    return {"value": values, "continuationToken": following, "nextLink": None}


def token(value: Any) -> str | None:
    """A text that may be missing, as continuation tokens and times. Raises Invalid for anything else."""
    if value is None or value == "":
        return None
    if not isinstance(value, str) or len(value) > 1000:
        raise Invalid("A continuation token or a time must be a text.")
    return value


def top(value: Any) -> int:
    """How many items a page may have. Raises Invalid unless it is a number above 0; none means the SDK's own 500."""
    if value is None:
        return 500
    number = int(value) if isinstance(value, str) and value.isdecimal() and len(value) < 10 else value
    if not isinstance(number, int) or isinstance(number, bool) or number < 1:
        raise Invalid(f"'top' must be a number of items above 0, not {str(value)[:40]!r}.")
    return number


def answer(content: Json) -> Response:
    """An answer that may be long: FastAPI would look at each value of it once more before it writes the same."""
    return Response(to_json(content), media_type="application/json")


def _input_datasets(ctx: Context, row: Run) -> list[Json]:
    """Those that the run was submitted with, and those that its script asked for by itself."""
    lineage = []
    for item in spec_of(row).inputs if is_made_of_a_job(row) else ():
        body = _lineage(DatasetUse(item.dataset_id, False, "RunInput", item.name, item.mechanism))
        body["inputDetails"]["pathOnCompute"] = item.path_on_compute
        lineage.append(body)
    return lineage + [_lineage(use) for use in ctx.workspace.datasets.uses(row.id, output=False)]


def run_definition(ctx: Context, row: Run) -> Json:
    """The run configuration of a run. A sweep's run has its parent's, with arguments of its own."""
    if row.definition or row.spec is None or row.parent_id is None:
        return row.definition
    parent = ctx.workspace.runs.get(row.parent_id)
    if not is_made_of_a_job(parent):
        return row.definition
    own, shared = spec_of(row), spec_of(parent)
    configuration = {key: value for key, value in parent.definition.items() if key != KEY}
    if own.command is not None:
        return {**configuration, "command": own.command}
    # As they were sent, numbers as numbers, and those of the sweep behind them.
    given = configuration.get("arguments") or []
    words = shared.arguments if isinstance(given, str) else given
    return {**configuration, "arguments": [*words, *own.arguments[len(shared.arguments) :]]}


def dataset_uses(body: Json) -> list[DatasetUse]:
    """The datasets that a script says it read or wrote (Run._update_dataset_lineage). Raises Invalid."""
    uses = []
    try:
        for output, key, kind in ((False, "inputDatasets", "consumptionType"), (True, "outputDatasets", "outputType")):
            side = "outputDetails" if output else "inputDetails"
            for item in body.get(key) or []:
                known, details = item["identifier"], item.get(side) or {}
                uses.append(
                    DatasetUse(
                        str(known["savedId"]),
                        output,
                        str(item.get(kind) or "Reference"),
                        str(details.get("outputName" if output else "inputName") or ""),
                        _text(details.get("mechanism")),
                        _text(known.get("registeredId")),
                        _text(known.get("registeredVersion")),
                    )
                )
    except (TypeError, KeyError, AttributeError) as error:
        raise Invalid("The run's inputDatasets and outputDatasets must be lists of dataset lineages.") from error
    return uses


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _lineage(use: DatasetUse) -> Json:
    """A DatasetLineage or OutputDatasetLineage (azureml._restclient.models)."""
    identifier = {
        "savedId": use.saved_id,
        "registeredId": use.registered_id,
        "registeredVersion": use.registered_version,
    }
    side, kind = ("output", "outputType") if use.output else ("input", "consumptionType")
    body: Json = {"identifier": identifier, kind: use.kind}
    if use.name:
        body[f"{side}Details"] = {f"{side}Name": use.name, "mechanism": (use.mechanism or "direct").capitalize()}
    return body
