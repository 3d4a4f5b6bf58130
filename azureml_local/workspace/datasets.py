"""Datasets: registered names with versions, and the data flows that runs refer to."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sqlalchemy import delete, func, select, text
from sqlalchemy.orm import Session

from azureml_local.storage.clock import now
from azureml_local.storage.database import Database
from azureml_local.storage.tables import Dataset, DatasetVersion, Json, RunDataset, SavedDataset
from azureml_local.workspace.assets import number_of
from azureml_local.workspace.errors import Conflict, Invalid, NotFound
from azureml_local.workspace.texts import check_name

# Data flows name files by URL. A server that moved to another port must still find its own, so they are kept
# with this in place of the server's address.
THIS_SERVER = "https://this-server.azureml-local.invalid"


@dataclass(frozen=True)
class DatasetDetail:
    """A registration, one of its versions, and what that version is."""

    dataset: Dataset
    version: DatasetVersion
    saved: SavedDataset


@dataclass(frozen=True)
class DatasetUse:
    """A dataset in a run's lineage.

    ``kind`` is RunInput, RunOutput or Reference (the script asked for it by itself); ``name`` the input's or
    output's, if it has one.
    """

    saved_id: str
    output: bool
    kind: str
    name: str = ""
    mechanism: str | None = None
    registered_id: str | None = None
    registered_version: str | None = None


def check_dataset_name(name: str) -> str:
    """The name itself. Raises Invalid for one that no dataset can have."""
    if not name or len(name) > 255:
        raise Invalid(f"{name[:80]!r} is no dataset name.")
    return check_name("A dataset's name", name)


class Datasets:
    def __init__(self, database: Database) -> None:
        self._database = database

    # Saved datasets -----------------------------------------------------------------------------------------

    def save(self, kind: str, dataflow: str, properties: Json) -> SavedDataset:
        """Keep a data flow; the same one again is the same saved dataset."""
        with self._database.write() as session:
            return self._save(session, kind, dataflow, properties)

    def saved(self, saved_id: str) -> SavedDataset:
        with self._database.read() as session:
            found = session.get(SavedDataset, saved_id)
        if found is None:
            raise NotFound(f"There is no dataset with the id {saved_id!r} in this workspace.")
        return found

    @staticmethod
    def _save(session: Session, kind: str, dataflow: str, properties: Json) -> SavedDataset:
        identity = json.dumps([kind, dataflow, properties], sort_keys=True)
        saved_id = str(uuid.uuid5(uuid.NAMESPACE_OID, identity))
        found = session.get(SavedDataset, saved_id)
        if found is None:
            found = SavedDataset(id=saved_id, kind=kind, dataflow=dataflow, properties=properties, created=now())
            session.add(found)
            session.flush()
        return found

    # Registrations ------------------------------------------------------------------------------------------

    def register(
        self,
        name: str,
        kind: str,
        dataflow: str,
        *,
        properties: Json,
        description: str | None = None,
        tags: Json | None = None,
        visible: bool = True,
        exist_ok: bool = True,
        new_version: bool = True,
    ) -> DatasetDetail:
        """Register a data flow under a name.

        Raises:
            Conflict: the name is taken and ``exist_ok`` is false. Invalid: no name, or a dataset of another
                type has it.
        """
        check_dataset_name(name)
        with self._database.write() as session:
            saved = self._save(session, kind, dataflow, properties)
            dataset = session.scalar(select(Dataset).where(Dataset.name == name))
            if dataset is None:
                dataset = Dataset(id=str(uuid.uuid4()), name=name, kind=kind, created=now(), visible=visible)
                session.add(dataset)
                session.flush()
            latest = self._version(session, dataset.id, None)
            if latest is not None:
                if not exist_ok:
                    raise Conflict(
                        f"There is a dataset named {name!r} already. Pass create_new_version=True to "
                        "register a new version of it."
                    )
                if dataset.kind != kind:
                    raise Invalid(f"The dataset {name!r} is a {dataset.kind} dataset; this one is {kind}.")
                if not new_version or latest.saved_id == saved.id:
                    # As in Azure, registering what is registered already makes no new version.
                    latest.description = description if description is not None else latest.description
                    latest.tags = tags if tags else latest.tags
                    return DatasetDetail(dataset, latest, saved)
            version = DatasetVersion(
                dataset_id=dataset.id,
                version=_next_number(session, dataset.id),
                order=latest.order + 1 if latest else 1,
                saved_id=saved.id,
                description=description,
                tags=tags or {},
                created=now(),
            )
            session.add(version)
            return DatasetDetail(dataset, version, saved)

    def get(self, name: str, version: str | None = None) -> DatasetDetail:
        with self._database.read() as session:
            dataset = session.scalar(select(Dataset).where(Dataset.name == name))
            found = self._version(session, dataset.id, version) if dataset else None
            if dataset is None or found is None:
                which = f"version {version} of the dataset" if version else "dataset"
                raise NotFound(f"There is no {which} {name!r} in this workspace.")
            return self._detail(session, dataset, found)

    def by_id(self, dataset_id: str, version: str | None = None) -> DatasetDetail:
        """A version (the latest, for None) of a registered dataset. Raises NotFound."""
        with self._database.read() as session:
            dataset = session.get(Dataset, dataset_id)
            found = self._version(session, dataset_id, version) if dataset else None
            if dataset is None or found is None:
                raise NotFound(f"There is no dataset with the id {dataset_id[:80]!r} (version {version or 'latest'}).")
            return self._detail(session, dataset, found)

    def versions(self, name: str, limit: int) -> Sequence[DatasetDetail]:
        """The versions of a name, newest first. Raises NotFound."""
        with self._database.read() as session:
            dataset = session.scalar(select(Dataset).where(Dataset.name == name))
            if dataset is None:
                raise NotFound(f"There is no dataset {name!r} in this workspace.")
            query = select(DatasetVersion).where(DatasetVersion.dataset_id == dataset.id)
            rows = session.scalars(query.order_by(DatasetVersion.order.desc()).limit(limit))
            return [self._detail(session, dataset, row) for row in rows]

    def by_saved_id(self, saved_id: str) -> DatasetDetail | None:
        """The newest registration of a saved dataset, if it was registered at all."""
        with self._database.read() as session:
            version = session.scalar(
                select(DatasetVersion)
                .where(DatasetVersion.saved_id == saved_id)
                .order_by(text("dataset_versions.rowid DESC"))  # the order in which they were made, whatever the clock
                .limit(1)
            )
            dataset = session.get(Dataset, version.dataset_id) if version else None
            return self._detail(session, dataset, version) if dataset and version else None

    def list(self, *, invisible: bool = False, after: str = "", limit: int | None = None) -> Sequence[DatasetDetail]:
        """The latest version of each, by name, from the first one after ``after``."""
        newest = (
            select(DatasetVersion.dataset_id, func.max(DatasetVersion.order).label("order"))
            .group_by(DatasetVersion.dataset_id)
            .subquery()
        )
        query = (
            select(Dataset, DatasetVersion, SavedDataset)
            .join(newest, newest.c.dataset_id == Dataset.id)
            .join(
                DatasetVersion,
                (DatasetVersion.dataset_id == Dataset.id) & (DatasetVersion.order == newest.c.order),
            )
            .join(SavedDataset, SavedDataset.id == DatasetVersion.saved_id)
            .where(Dataset.name > after)
            .order_by(Dataset.name)
            .limit(limit)
        )
        with self._database.read() as session:
            rows = session.execute(query if invisible else query.where(Dataset.visible))
            return [DatasetDetail(dataset, version, saved) for dataset, version, saved in rows]

    def update(
        self, dataset_id: str, version: str | None, *, description: str | None, tags: Json | None
    ) -> DatasetDetail:
        """Give a version (the latest, for None) another description and other tags; None leaves them as they are.

        Raises NotFound.
        """
        with self._database.write() as session:
            dataset = session.get(Dataset, dataset_id)
            found = self._version(session, dataset_id, version)
            if dataset is None or found is None:
                raise NotFound(f"There is no dataset with the id {dataset_id!r} (version {version or 'latest'}).")
            found.description = found.description if description is None else description
            found.tags = found.tags if tags is None else tags
            return self._detail(session, dataset, found)

    def unregister(self, name: str) -> None:
        """Forget a name and all its versions. What they stand for stays: runs refer to it. Raises NotFound."""
        with self._database.write() as session:
            dataset = session.scalar(select(Dataset).where(Dataset.name == name))
            if dataset is None:
                raise NotFound(f"There is no dataset {name!r} in this workspace.")
            session.execute(delete(DatasetVersion).where(DatasetVersion.dataset_id == dataset.id))
            session.delete(dataset)

    # Lineage ------------------------------------------------------------------------------------------------

    def note_use(self, run_id: str, use: DatasetUse) -> None:
        """Remember that a run read or wrote a dataset; once more is the same. Raises NotFound for an unknown one."""
        self.saved(use.saved_id)
        with self._database.write() as session:
            known = session.scalar(
                select(RunDataset.id).where(
                    RunDataset.run_id == run_id,
                    RunDataset.output == use.output,
                    RunDataset.name == use.name,
                    RunDataset.saved_id == use.saved_id,
                )
            )
            if known is None:
                session.add(RunDataset(run_id=run_id, **vars(use)))

    def uses(self, run_id: str, *, output: bool) -> Sequence[DatasetUse]:
        """The datasets that a run is known to have read, or written, in the order in which that became known."""
        query = select(RunDataset).where(RunDataset.run_id == run_id, RunDataset.output == output)
        with self._database.read() as session:
            return [
                DatasetUse(
                    row.saved_id,
                    row.output,
                    row.kind,
                    row.name,
                    row.mechanism,
                    row.registered_id,
                    row.registered_version,
                )
                for row in session.scalars(query.order_by(RunDataset.id))
            ]

    @staticmethod
    def _version(session: Session, dataset_id: str, version: str | None) -> DatasetVersion | None:
        query = select(DatasetVersion).where(DatasetVersion.dataset_id == dataset_id)
        if version is not None:
            query = query.where(DatasetVersion.version == version)
        return session.scalar(query.order_by(DatasetVersion.order.desc()).limit(1))

    @staticmethod
    def _detail(session: Session, dataset: Dataset, version: DatasetVersion) -> DatasetDetail:
        saved = session.get(SavedDataset, version.saved_id)
        assert saved is not None  # a foreign key: versions can't outlive what they are versions of
        return DatasetDetail(dataset, version, saved)


def _next_number(session: Session, dataset_id: str) -> str:
    versions = session.scalars(select(DatasetVersion.version).where(DatasetVersion.dataset_id == dataset_id))
    return str(max((number for each in versions if (number := number_of(each)) is not None), default=0) + 1)


def files_at(url: str, word: str = "pattern") -> str:
    """The data flow of the files at a place, as ``Dataset.File.from_files`` writes it; ``word`` is ``file`` for a URL
    of the web.
    """
    lines = ("---", "type: mltable", "paths:", f"  - {word}: {json.dumps(url)}", "metadata:")
    yaml = "\n".join((*lines, '  infer_column_types: "False"', ""))
    return json.dumps({"blocks": [], "meta": {"RsDataflow": yaml}})


def with_rust_dataflow(dataflow: str, change: Callable[[str], str]) -> str:
    """The client's JSON with its YAML changed; the very same text, where there is nothing to change. Raises Invalid."""
    before = rust_dataflow(dataflow)
    if (after := change(before)) == before:
        return dataflow
    body = json.loads(dataflow)
    return json.dumps({**body, "meta": {**body["meta"], "RsDataflow": after}})


def rust_dataflow(dataflow: str) -> str:
    """The YAML that the Rust engine reads, out of the client's JSON (``meta.RsDataflow``). Raises Invalid."""
    try:
        found = json.loads(dataflow)["meta"]["RsDataflow"]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise Invalid("The dataset's definition isn't one of azureml-dataprep 5 (no RsDataflow in it).") from error
    return str(found)
