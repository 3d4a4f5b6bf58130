"""Metrics, in the form that is written and read today (v2), and in the older one that the widget reads."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from azureml_local.server import odata, wire
from azureml_local.server.context import WORKSPACE_PATH, Ctx, Named
from azureml_local.storage.tables import MetricValue, Run
from azureml_local.workspace.errors import Invalid
from azureml_local.workspace.metrics import MetricSeries, parse_batch
from azureml_local.workspace.runs import data_container

router = APIRouter()

V2 = "/metric/v2.0" + WORKSPACE_PATH + "/runs/{run_id}"
HISTORY = "/history/v1.0" + WORKSPACE_PATH
INLINE = ("azureml.v1.scalar", "azureml.v1.list", "azureml.v1.table")


@router.post(V2 + "/batch")
def post_batch(ctx: Ctx, name: Named, run_id: str, body: dict[str, Any]) -> dict[str, Any]:
    ctx.workspace.runs.get(run_id)
    values = body.get("values")
    if not isinstance(values, list) or not all(isinstance(value, dict) for value in values):
        raise Invalid("A batch of metrics needs a list named 'values'.")
    ctx.workspace.metrics.append(run_id, [parse_batch(value) for value in values])
    return {"errors": []}


@router.post(V2 + "/list")
def list_metrics(ctx: Ctx, name: Named, run_id: str) -> dict[str, Any]:
    run = ctx.workspace.runs.get(run_id)
    return wire.page(
        [
            {
                "dataContainerId": data_container(run),
                "name": series.name,
                "metricKey": {"name": series.name},
                "columns": series.columns,
                "properties": {"uxMetricType": series.kind},
            }
            for series in ctx.workspace.metrics.all(run_id)
        ]
    )


@router.post(V2 + "/full")
def full_metric(ctx: Ctx, name: Named, run_id: str, body: dict[str, Any]) -> dict[str, Any]:
    run = ctx.workspace.runs.get(run_id)
    series = ctx.workspace.metrics.get(run_id, str(body.get("metricName") or ""))
    return {
        "dataContainerId": data_container(run),
        "name": series.name,
        "columns": series.columns,
        "value": [
            {"metricId": value.client_id, "createdUtc": value.created, "data": value.data, "sasUri": None}
            for value in series.values
        ],
        "properties": {"uxMetricType": series.kind},
        "continuationToken": None,
    }


@router.post(HISTORY + "/experiments/{experiment}/metrics:query")
def query_metrics(ctx: Ctx, name: Named, experiment: str, body: dict[str, Any]) -> dict[str, Any]:
    keep = odata.run_filter(body.get("filter"))
    experiment_id = ctx.workspace.experiments.get(experiment).id
    runs = [run for run in ctx.workspace.runs.list(experiment_id) if keep(run)]
    return wire.page(
        [
            _old_form(run, series, value)
            for run in runs
            for series in ctx.workspace.metrics.all(run.id)
            for value in series.values
        ]
    )


def _old_form(run: Run, series: MetricSeries, value: MetricValue) -> dict[str, Any]:
    """One value as azureml._restclient.models.run_metric_dto has it: cells and their schema, or where an
    artifact lies.
    """
    inline = series.kind in INLINE
    schema = [{"propertyId": key, "name": key, "type": kind} for key, kind in series.columns.items()]
    return {
        "runId": run.id,
        "metricId": f"{value.client_id}.{value.position}",
        "metricType": series.kind,
        "createdUtc": value.created,
        "name": series.name,
        "description": "",
        "numCells": len(value.data) if inline else 0,
        "cells": [value.data] if inline else [],
        "schema": {"numProperties": len(schema), "properties": schema},
        "dataContainerId": data_container(run),
        "dataLocation": None if inline else next(iter(value.data.values()), None),
    }
