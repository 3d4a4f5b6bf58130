"""Metrics, in the form that is written and read today (v2), and in the older one that the widget reads."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse

from azureml_local.server.context import WORKSPACE_PATH, Ctx, Named
from azureml_local.server.dataplane import wire
from azureml_local.server.errors import error_body
from azureml_local.server.http import odata
from azureml_local.storage.tables import Metric
from azureml_local.workspace.errors import Invalid
from azureml_local.workspace.metrics import (
    FLOATS,
    INLINE,
    MAX_NAME,
    SCALAR,
    TABLE,
    MetricBatch,
    NewValue,
    Refused,
    Value,
)
from azureml_local.workspace.runs import data_container

router = APIRouter()

V2 = "/metric/v2.0" + WORKSPACE_PATH + "/runs/{run_id}"
HISTORY = "/history/v1.0" + WORKSPACE_PATH


@router.post(V2 + "/batch")
def post_batch(ctx: Ctx, name: Named, run_id: str, body: dict[str, Any]) -> Response:
    """Keep metrics; what is wrong with one of them is told beside the others' success, with the status 207: of an
    answer with 200 the SDK reads nothing (azureml._restclient.operations.metric_operations, post_run_metrics).
    """
    ctx.workspace.runs.get(run_id)
    values = body.get("values")
    if not isinstance(values, list) or not all(isinstance(value, dict) for value in values):
        raise Invalid("A batch of metrics needs a list named 'values'.")
    batches: list[MetricBatch] = []
    refused: list[Refused] = []
    for value in values:
        try:
            batches.append(_batch(value))
        except Invalid as error:
            refused.append(Refused(str(value.get("name") or "")[:MAX_NAME], str(error)))
    refused += ctx.workspace.metrics.append(run_id, batches)
    if refused and not body.get("reportErrors"):
        raise Invalid(refused[0].reason)
    errors = [
        {"metric": {"name": each.name}, "errorResponse": error_body("UserError", each.reason)} for each in refused
    ]
    return JSONResponse({"errors": errors}, 207 if errors else 200)


@router.post(V2 + "/list")
def list_metrics(ctx: Ctx, name: Named, run_id: str, body: wire.OptionalBody = None) -> Response:
    run = ctx.workspace.runs.get(run_id)
    page = ctx.workspace.metrics.series(run_id, after=wire.token((body or {}).get("continuationToken")))
    found = [
        {
            "dataContainerId": data_container(run),
            "name": metric.name,
            "metricKey": {"name": metric.name},
            "columns": metric.columns,
            "properties": {"uxMetricType": metric.kind},
        }
        for metric in page.items
    ]
    return wire.answer(wire.page(found, page.next))


@router.post(V2 + "/full")
def full_metric(ctx: Ctx, name: Named, run_id: str, body: dict[str, Any]) -> Response:
    run = ctx.workspace.runs.get(run_id)
    wanted = {key: wire.token(body.get(key)) for key in ("continuationToken", "startTime", "endTime")}
    series = ctx.workspace.metrics.page(
        run_id,
        str(body.get("metricName") or ""),
        after=wanted["continuationToken"],
        since=wanted["startTime"],
        until=wanted["endTime"],
    )
    return wire.answer(
        {
            "dataContainerId": data_container(run),
            "name": series.name,
            "columns": series.columns,
            "value": [
                {
                    "metricId": value.client_id,
                    "createdUtc": value.created,
                    "step": value.step,
                    "data": _cells(series.columns, value.data),
                }
                for value in series.values
            ],
            "properties": {"uxMetricType": series.kind},
            "continuationToken": series.next,
        }
    )


@router.post(HISTORY + "/experiments/{experiment}/metrics:query")
def query_metrics(ctx: Ctx, name: Named, experiment: str, body: wire.OptionalBody = None) -> Response:
    asked = body or {}
    page = ctx.workspace.metrics.query(
        ctx.workspace.experiments.find(experiment).id,
        odata.parse_filter(asked.get("filter")),
        after=wire.token(asked.get("continuationToken")),
    )
    return wire.answer(wire.page([_old_form(metric, value) for metric, value in page.items], page.next))


def _batch(value: Mapping[str, Any]) -> MetricBatch:
    """A metric as a batch carries it (azureml._restclient.models.metric_v2_dto). Raises Invalid."""
    name, properties = value.get("name"), value.get("properties") or {}
    kind = (properties.get("uxMetricType") or SCALAR) if isinstance(properties, Mapping) else None
    columns, rows = value.get("columns"), value.get("value") or []
    if not isinstance(name, str):
        raise Invalid(f"A metric's name must be a text of 1 to {MAX_NAME} characters.")
    if not isinstance(kind, str) or not isinstance(columns, Mapping) or not isinstance(rows, list):
        raise Invalid(f"The metric {name[:MAX_NAME]!r} needs its columns with their types, and a list of values.")
    types = {str(key): str(type_).lower() for key, type_ in columns.items()}
    return MetricBatch(name, kind, types, [_value(name, row) for row in rows])


def _value(name: str, row: object) -> NewValue:
    data = row.get("data") if isinstance(row, Mapping) else None
    if not isinstance(row, Mapping) or not isinstance(data, Mapping):
        raise Invalid(f"The metric {name[:MAX_NAME]!r} has a value without data.")
    step, time, client_id = row.get("step"), row.get("createdUtc"), row.get("metricId")
    if step is not None and not isinstance(step, int):
        raise Invalid(f"The metric {name[:MAX_NAME]!r} has a step that is no number of 64 bits.")
    return NewValue(data, step, None if time is None else str(time), str(client_id) if client_id else None)


def _cells(columns: Mapping[str, str], data: Mapping[str, Any]) -> dict[str, Any]:
    """A value for each column: the SDK takes a row that lacks one for malformed, and makes a float of whatever stands
    in a column of floats (azureml.core._metrics, get_cell_v2).
    """
    return {
        column: _cell(data.get(column), "NaN" if str(type_).lower() in FLOATS else None)
        for column, type_ in columns.items()
    }


def _cell(value: Any, nothing: str | None = None) -> Any:
    """JSON has no NaN and no infinity; their names as texts, which ``float`` reads, are .NET's way too."""
    if value is None:
        return nothing
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value


def _old_form(metric: Metric, value: Value) -> dict[str, Any]:
    """One value as azureml._restclient.models.run_metric_dto has it: cells and their schema, or where an
    artifact lies.
    """
    inline = metric.kind in INLINE
    cells = _cells(metric.columns, value.data) if metric.kind == TABLE else {k: _cell(v) for k, v in value.data.items()}
    schema = [{"propertyId": key, "name": key, "type": kind} for key, kind in metric.columns.items()]
    return {
        "runId": metric.run_id,
        "metricId": f"{value.client_id}.{value.position}",
        "metricType": metric.kind,
        "createdUtc": value.created,
        "name": metric.name,
        "description": "",
        "numCells": len(cells) if inline else 0,
        "cells": [cells] if inline else [],
        "schema": {"numProperties": len(schema), "properties": schema},
        "dataLocation": None if inline else next(iter(value.data.values()), None),
    }
