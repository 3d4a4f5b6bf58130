"""The database schema.

Times are the service's own text form (ISO 8601, UTC, seven digits), which sorts as it reads.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, ForeignKey, ForeignKeyConstraint, Index, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

Json = dict[str, Any]


class Base(DeclarativeBase):
    type_annotation_map = {Json: JSON, list[Any]: JSON, Any: JSON}  # noqa: RUF012  (SQLAlchemy's own spelling)


class StoreInfo(Base):
    """Properties of the store itself: format version, workspace id, names of the workspace."""

    __tablename__ = "store"
    key: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[Any]


class Experiment(Base):
    """``former_name`` is the name of an archived experiment whose name a new one has taken; ``name`` is then its id."""

    __tablename__ = "experiments"
    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    description: Mapped[str | None]
    tags: Mapped[Json]
    created: Mapped[str]
    archived: Mapped[str | None]
    former_name: Mapped[str | None] = mapped_column(index=True)


class Run(Base):
    """One run (v2: a job). ``status`` only moves forward; a final one never changes.

    ``folded_id`` is the id in lower case: no two runs may differ by case only. ``definition`` is SDK v1's run
    configuration, ``job`` the properties of an SDK v2 job as they were sent; a run has one of them, or neither.
    ``spec`` is what was parsed from it (workspace/jobs.py, workspace/sweeps.py).
    ``workspace`` is the ARM id of the workspace, by the name that the submitting client used.
    """

    __tablename__ = "runs"
    __table_args__ = (
        Index("runs_of_experiment", "experiment_id", "parent_id"),
        Index("runs_of_root", "root_id", "experiment_id"),
        Index("runs_of_target", "target", "status"),
    )
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    id: Mapped[str] = mapped_column(unique=True)
    uuid: Mapped[str]
    folded_id: Mapped[str | None] = mapped_column(index=True)
    experiment_id: Mapped[str] = mapped_column(ForeignKey("experiments.id"), index=True)
    parent_id: Mapped[str | None] = mapped_column(index=True)
    root_id: Mapped[str]
    status: Mapped[str] = mapped_column(index=True)
    run_type: Mapped[str | None]
    target: Mapped[str | None]
    name: Mapped[str | None]
    display_name: Mapped[str | None]
    description: Mapped[str | None]
    script_name: Mapped[str | None]
    hidden: Mapped[bool]
    created: Mapped[str]
    started: Mapped[str | None]
    ended: Mapped[str | None]
    tags: Mapped[Json]
    properties: Mapped[Json]
    definition: Mapped[Json]
    job: Mapped[Json | None] = mapped_column(JSON(none_as_null=True))
    spec: Mapped[Json | None] = mapped_column(JSON(none_as_null=True))
    snapshot_id: Mapped[str | None]
    error: Mapped[Json | None]
    warnings: Mapped[list[Any]]
    process: Mapped[Json | None]
    workspace: Mapped[str | None]


class RunEntry(Base):
    """An entry of a run's tags or properties, the index for filtered lists. Maintained by triggers (RUN_ENTRIES).

    ``start`` is the first part of the value, and empty for null.
    """

    __tablename__ = "run_entries"
    __table_args__ = (Index("run_entries_of_run", "run"), {"sqlite_with_rowid": False})
    field: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    start: Mapped[str] = mapped_column(primary_key=True)
    run: Mapped[int] = mapped_column(ForeignKey("runs.number", ondelete="CASCADE"), primary_key=True)


ENTRY_START = 100  # characters


def run_entries(run: str, source: str = "") -> str:
    """Query for the RunEntry rows of a run; ``run`` is the run's alias in SQL."""
    of = "SELECT '{0}', key, substr(coalesce(value, ''), 1, {1}), {2}.number FROM {3}json_each({2}.{0})"
    return " UNION ALL ".join(of.format(field, ENTRY_START, run, source) for field in ("tags", "properties"))


RUN_ENTRIES = {
    "run_entries_made": f"AFTER INSERT ON runs BEGIN INSERT INTO run_entries {run_entries('new')}; END",
    "run_entries_changed": (
        "AFTER UPDATE OF tags, properties ON runs BEGIN DELETE FROM run_entries WHERE run = new.number; "
        f"INSERT INTO run_entries {run_entries('new')}; END"
    ),
}


class RunParameter(Base):
    """A parameter of a run (v2: a literal input; MLflow: a param; a sweep's hyperparameter). It never changes."""

    __tablename__ = "run_parameters"
    run_id: Mapped[str] = mapped_column(ForeignKey("runs.id"), primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[str]


class RunData(Base):
    """A named input or output of a run: its type and URI. ``asset_id`` is set where it is registered.

    Beside RunDataset, which is the lineage of SDK v1's datasets.
    """

    __tablename__ = "run_data"
    run_id: Mapped[str] = mapped_column(ForeignKey("runs.id"), primary_key=True)
    output: Mapped[bool] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    type: Mapped[str]
    uri: Mapped[str | None]
    asset_id: Mapped[str | None]


class RunEvent(Base):
    __tablename__ = "run_events"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    run_id: Mapped[str] = mapped_column(ForeignKey("runs.id"), index=True)
    name: Mapped[str]
    time: Mapped[str]
    data: Mapped[Json]


class Metric(Base):
    """A named metric of a run; its values are rows of MetricValue. One table for every kind of client."""

    __tablename__ = "metrics"
    __table_args__ = (UniqueConstraint("run_id", "name"),)
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    run_id: Mapped[str] = mapped_column(ForeignKey("runs.id"))
    name: Mapped[str]
    kind: Mapped[str]
    columns: Mapped[Json]


class MetricValue(Base):
    __tablename__ = "metric_values"
    __table_args__ = (
        Index("metric_values_of", "metric", "created", "id"),
        UniqueConstraint("metric", "client_id", "position"),
    )
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    metric: Mapped[int] = mapped_column(ForeignKey("metrics.id"))
    client_id: Mapped[str]
    position: Mapped[int]
    created: Mapped[str]
    step: Mapped[int | None]
    data: Mapped[Json]


class Blob(Base):
    """A committed blob: its bytes are the file ``file`` in the blob folder, independent of its name."""

    __tablename__ = "blobs"
    container: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    file: Mapped[str]
    size: Mapped[int]
    kind: Mapped[str]
    etag: Mapped[str]
    md5: Mapped[str | None]
    content_type: Mapped[str]
    created: Mapped[str]
    modified: Mapped[str]
    live: Mapped[bool]
    blocks: Mapped[int]
    # "metadata" and "headers" (as they are sent back), "blocks": the ids and sizes that a block list committed, and
    # "sealed": true for a blob that can't be changed any more (storage/sealed.py).
    extra: Mapped[Json | None]


class Block(Base):
    """An uploaded block that no block list has committed yet."""

    __tablename__ = "blocks"
    container: Mapped[str] = mapped_column(primary_key=True)
    blob: Mapped[str] = mapped_column(primary_key=True)
    id: Mapped[str] = mapped_column(primary_key=True)
    file: Mapped[str]
    size: Mapped[int]
    created: Mapped[str]


class Snapshot(Base):
    """A submitted folder: the tree as the client sent it, and the blob of each file, parents' files included."""

    __tablename__ = "snapshots"
    id: Mapped[str] = mapped_column(primary_key=True)
    parent_id: Mapped[str | None]
    created: Mapped[str]
    tree: Mapped[Json]
    files: Mapped[Json]


class Dataset(Base):
    __tablename__ = "datasets"
    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    kind: Mapped[str]
    created: Mapped[str]
    visible: Mapped[bool]


class DatasetVersion(Base):
    """``order`` counts a dataset's versions in the order in which they were registered."""

    __tablename__ = "dataset_versions"
    dataset_id: Mapped[str] = mapped_column(ForeignKey("datasets.id"), primary_key=True)
    version: Mapped[str] = mapped_column(primary_key=True)
    order: Mapped[int]
    saved_id: Mapped[str] = mapped_column(ForeignKey("saved_datasets.id"), index=True)
    description: Mapped[str | None]
    tags: Mapped[Json]
    created: Mapped[str]


class SavedDataset(Base):
    """A data flow that a run or a registration refers to; ``dataflow`` is the client's own JSON text."""

    __tablename__ = "saved_datasets"
    id: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str]
    dataflow: Mapped[str]
    properties: Mapped[Json]
    created: Mapped[str]


class RunDataset(Base):
    """Lineage: a dataset that a run read or wrote. ``kind`` is Azure's (RunInput, RunOutput, Reference)."""

    __tablename__ = "run_datasets"
    __table_args__ = (UniqueConstraint("run_id", "output", "name", "saved_id"),)
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    run_id: Mapped[str] = mapped_column(ForeignKey("runs.id"))
    output: Mapped[bool]
    name: Mapped[str]
    kind: Mapped[str]
    mechanism: Mapped[str | None]
    saved_id: Mapped[str] = mapped_column(ForeignKey("saved_datasets.id"))
    registered_id: Mapped[str | None]
    registered_version: Mapped[str | None]


class ArtifactList(Base):
    """The files of a model as SDK v1 names them: prefixes of artifacts. A model's URI is ``aml://asset/{id}`` then."""

    __tablename__ = "artifact_lists"
    id: Mapped[str] = mapped_column(primary_key=True)
    body: Mapped[Json]
    created: Mapped[str]


class AssetName(Base):
    """A name under which versions of one kind of asset are registered; MLflow's registered models have none at first.

    ``kind`` is environment, model, data or component. ``last_number`` is the highest number that was ever a version:
    numbers of deleted versions aren't reused.
    """

    __tablename__ = "asset_names"
    kind: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    last_number: Mapped[int]
    description: Mapped[str | None]
    tags: Mapped[Json]
    created: Mapped[str]
    modified: Mapped[str]
    archived: Mapped[str | None]


class AssetVersion(Base):
    """One version of an asset. Versions are texts; ``order`` counts them in the order in which they were registered.

    ``type`` is v2's (uri_folder, mlflow_model, ..), ``stage`` MLflow's, and ``body`` the fields of this kind of asset
    alone: an environment's definition, a component's specification, a model's framework and datasets.
    """

    __tablename__ = "asset_versions"
    __table_args__ = (
        ForeignKeyConstraint(["kind", "name"], ["asset_names.kind", "asset_names.name"]),
        Index("asset_versions_newest", "kind", "created", "order", "name"),
        Index("asset_versions_latest", "kind", "name", "order"),
    )
    kind: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[str] = mapped_column(primary_key=True)
    order: Mapped[int]
    type: Mapped[str | None]
    uri: Mapped[str | None]
    description: Mapped[str | None]
    tags: Mapped[Json]
    properties: Mapped[Json]
    stage: Mapped[str | None]
    run_id: Mapped[str | None] = mapped_column(index=True)
    body: Mapped[Json]
    created: Mapped[str]
    modified: Mapped[str]
    archived: Mapped[str | None]


class AssetLabel(Base):
    """A label that points to one version of an asset and can be moved to another (MLflow: an alias)."""

    __tablename__ = "asset_labels"
    kind: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    label: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[str]


class PipelinePart(Base):
    """What pipelines are made of and made from: ``kind`` is one of `pipeline_parts`.

    ``key`` is what a client finds it by (a module's hash); ``order`` counts them, and the newest of a key counts.
    """

    __tablename__ = "pipeline_parts"
    __table_args__ = (Index("pipeline_parts_by_key", "kind", "key"),)
    order: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    id: Mapped[str] = mapped_column(unique=True)
    kind: Mapped[str]
    key: Mapped[str | None]
    body: Mapped[Json]
    created: Mapped[str]


class Secret(Base):
    """A secret of the key vault, encrypted; ``key`` is its name in lower case, ``name`` as the client spelled it."""

    __tablename__ = "secrets"
    key: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    value: Mapped[str]
    content_type: Mapped[str | None]
    created: Mapped[str]


class DatastoreRow(Base):
    """A datastore that a client has registered. ``local`` is the container of this store that has its blobs; the
    ``settings``, JSON with its credentials, are encrypted.
    """

    __tablename__ = "datastores"
    name: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str]
    account: Mapped[str]
    container: Mapped[str]
    local: Mapped[str | None]
    settings: Mapped[str]
    created: Mapped[str]
    modified: Mapped[str]


class Compute(Base):
    __tablename__ = "computes"
    name: Mapped[str] = mapped_column(primary_key=True)
    location: Mapped[str]
    vm_size: Mapped[str]
    vm_priority: Mapped[str]
    min_nodes: Mapped[int]
    max_nodes: Mapped[int]
    idle_seconds: Mapped[float]
    tags: Mapped[Json]
    description: Mapped[str | None]
    extra: Mapped[Json]
    created: Mapped[str]
    modified: Mapped[str]
    # The provisioning error; a compute that has one has no nodes and accepts no runs.
    provisioning_error: Mapped[Json | None]
