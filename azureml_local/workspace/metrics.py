"""Metrics: one store for every client, readable in both forms that SDK v1 asks for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import insert, select

from azureml_local.storage.clock import now
from azureml_local.storage.database import Database
from azureml_local.storage.tables import Json, Metric, MetricValue
from azureml_local.workspace.errors import Invalid, NotFound

MAX_NAME = 255


@dataclass(frozen=True)
class MetricSeries:
    """A metric with all its values, oldest first.

    ``kind`` is the client's ``uxMetricType``, e.g. ``azureml.v1.scalar``.
    """

    name: str
    kind: str
    columns: Json
    values: list[MetricValue]


@dataclass(frozen=True)
class MetricBatch:
    """Values for one metric: (id given by the client, time, cells by column)."""

    name: str
    kind: str
    columns: Json
    values: list[tuple[str, str | None, Json]]


class Metrics:
    def __init__(self, database: Database) -> None:
        self._database = database

    def append(self, run_id: str, batches: Iterable[MetricBatch]) -> None:
        """Add values, in order. A value that was kept already (same id, as when a client retries) isn't kept
        twice.

        Raises Invalid for a metric without a name or with one that is too long; then nothing of the call is
        kept.
        """
        with self._database.write() as session:
            known = {m.name: m for m in session.scalars(select(Metric).where(Metric.run_id == run_id))}
            rows: list[dict[str, Any]] = []
            for batch in batches:
                if not batch.name or len(batch.name) > MAX_NAME:
                    raise Invalid(
                        f"A metric's name must have 1 to {MAX_NAME} characters; {batch.name[:40]!r} has "
                        f"{len(batch.name)}."
                    )
                metric = known.get(batch.name)
                if metric is None:
                    metric = known[batch.name] = Metric(
                        run_id=run_id, name=batch.name, kind=batch.kind, columns=dict(batch.columns)
                    )
                    session.add(metric)
                    session.flush()
                elif batch.columns.keys() - metric.columns.keys():
                    metric.columns = {**metric.columns, **batch.columns}
                for position, (client_id, created, data) in enumerate(batch.values):
                    rows.append(
                        {
                            "metric": metric.id,
                            "client_id": client_id,
                            "position": position,
                            "created": created or now(),
                            "data": data,
                        }
                    )
            if rows:
                session.execute(insert(MetricValue).prefix_with("OR IGNORE"), rows)

    def names(self, run_id: str) -> list[str]:
        with self._database.read() as session:
            return list(session.scalars(select(Metric.name).where(Metric.run_id == run_id).order_by(Metric.id)))

    def get(self, run_id: str, name: str) -> MetricSeries:
        """Raises NotFound."""
        with self._database.read() as session:
            metric = session.scalar(select(Metric).where(Metric.run_id == run_id, Metric.name == name))
            if metric is None:
                raise NotFound(f"The run {run_id!r} has no metric {name!r}.")
            # In the order in which the client made them: after a lost connection it sends again, in any order.
            order = (MetricValue.created, MetricValue.id)
            values = session.scalars(select(MetricValue).where(MetricValue.metric == metric.id).order_by(*order))
            return MetricSeries(metric.name, metric.kind, metric.columns, list(values))

    def all(self, run_id: str) -> list[MetricSeries]:
        return [self.get(run_id, name) for name in self.names(run_id)]


def parse_batch(value: Mapping[str, Any]) -> MetricBatch:
    """A metric as the metric service's v2 batch carries it (azureml._restclient.models.metric_v2_dto)."""
    rows = []
    for row in value.get("value") or []:
        if not isinstance(row, Mapping) or not isinstance(row.get("data"), Mapping):
            raise Invalid(f"The metric {value.get('name')!r} has a value without data.")
        rows.append((str(row.get("metricId") or ""), row.get("createdUtc"), dict(row["data"])))
    properties = value.get("properties") or {}
    return MetricBatch(
        name=str(value.get("name") or ""),
        kind=str(properties.get("uxMetricType") or "azureml.v1.scalar"),
        columns=dict(value.get("columns") or {}),
        values=rows,
    )
