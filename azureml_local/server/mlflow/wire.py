"""The workspace's runs and experiments in MLflow's words."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

from azureml_local.names import WorkspaceName
from azureml_local.server.context import Context
from azureml_local.storage.clock import parse_time, text_of
from azureml_local.storage.tables import Experiment, Run
from azureml_local.workspace.experiments import shown_name
from azureml_local.workspace.metrics import MetricSeries, Value
from azureml_local.workspace.run_lists import RunRow

Json = dict[str, Any]
SCALARS = ("azureml.v1.scalar", "azureml.v1.list")
STATUS = {
    **dict.fromkeys(("NotStarted", "Queued", "Preparing", "Provisioning", "Starting"), "SCHEDULED"),
    **dict.fromkeys(("Running", "CancelRequested", "Finalizing"), "RUNNING"),
    "Completed": "FINISHED",
    "Failed": "FAILED",
    "Canceled": "KILLED",
}
# What a client may say of a run of its own.
TOLD = {"RUNNING": "Running", "FINISHED": "Completed", "FAILED": "Failed", "KILLED": "Canceled"}
FILE_SIZE_UNKNOWN = -1


def milliseconds(text: str | None) -> int | None:
    return None if text is None else round(parse_time(text).timestamp() * 1000)


def time_of(moment: int) -> str:
    """Milliseconds since 1970 as the store keeps times."""
    return text_of(datetime.fromtimestamp(moment / 1000, timezone.utc).replace(tzinfo=None))


def experiment(ctx: Context, name: WorkspaceName, row: Experiment) -> Json:
    created = milliseconds(row.created)
    return {
        "experiment_id": row.id,
        "name": shown_name(row),
        "artifact_location": "",
        "lifecycle_stage": "deleted" if row.archived else "active",
        "creation_time": created,
        "last_update_time": milliseconds(row.archived) or created,
        "tags": pairs(row.tags),
    }


def pairs(values: Mapping[str, Any]) -> list[Json]:
    return [{"key": key, "value": "" if value is None else str(value)} for key, value in values.items()]


def run_tags(row: Run | RunRow) -> Json:
    tags = {**row.tags, "mlflow.runName": shown_run_name(row)}
    if row.parent_id:
        tags["mlflow.parentRunId"] = row.parent_id
    if row.description and "mlflow.note.content" not in tags:
        tags["mlflow.note.content"] = row.description
    return tags


def shown_run_name(row: Run | RunRow) -> str:
    return row.display_name or row.name or row.id


def run_info(ctx: Context, name: WorkspaceName, row: Run | RunRow) -> Json:
    return {
        "run_id": row.id,
        "run_uuid": row.id,
        "run_name": shown_run_name(row),
        "experiment_id": row.experiment_id,
        "user_id": str(row.tags.get("mlflow.user", "")),
        "status": STATUS[row.status],
        "start_time": milliseconds(row.started or row.created),
        "end_time": milliseconds(row.ended),
        "artifact_uri": artifact_uri(ctx, name, row.experiment_id, row.id),
        "lifecycle_stage": "deleted" if row.hidden else "active",
    }


def artifact_uri(ctx: Context, name: WorkspaceName, experiment_id: str, run_id: str) -> str:
    """As azureml-mlflow reads it."""
    host = ctx.endpoints.api.removeprefix("https://")
    return f"azureml://{host}/mlflow/v2.0{name.arm_id}/experiments/{experiment_id}/runs/{run_id}/artifacts"


def latest(series: Sequence[MetricSeries]) -> dict[str, tuple[float, Value]]:
    """Of each scalar metric the value of the highest step, and of that the last."""
    found: dict[str, tuple[float, Value]] = {}
    for each in series:
        if each.kind in SCALARS and (numbers := numbers_of(each)):
            found[each.name] = max(numbers, key=lambda one: (one[1].step or 0, one[1].created, one[1].id))
    return found


def numbers_of(series: MetricSeries) -> list[tuple[float, Value]]:
    """The values that MLflow can have: numbers in a metric's own column."""
    found = []
    for value in series.values:
        cell = value.data.get(series.name)
        if isinstance(cell, str) and cell in ("NaN", "Infinity", "-Infinity"):
            cell = float(cell)
        if isinstance(cell, (int, float)):
            found.append((float(cell), value))
    return found


def metric(key: str, number: float, value: Value) -> Json:
    shown: float | str = number
    if math.isnan(number):
        shown = "NaN"
    elif math.isinf(number):
        shown = "Infinity" if number > 0 else "-Infinity"
    return {"key": key, "value": shown, "timestamp": milliseconds(value.created), "step": value.step or 0}
