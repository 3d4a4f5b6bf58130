"""Stores of earlier versions: every row is still there, and the schema is that of a fresh store."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, inspect

from azureml_local.server.http.odata import parse_filter
from azureml_local.storage.database import SCHEMA_VERSION, Database
from azureml_local.storage.folder import StateFolder, StateFolderError
from azureml_local.workspace import Workspace
from azureml_local.workspace.assets import NewVersion
from azureml_local.workspace.models import DatasetReference, ModelDetails, details_of

# Databases of earlier versions, as `sqlite3 workspace.sqlite3 .dump` writes them: made by those versions.
STORES = sorted((Path(__file__).parent / "stores").glob("version-*.sql"))

# Tables whose rows are in another one now, with other columns.
MOVED = {
    "assets": "artifact_lists",
    "dataset_versions": "dataset_versions",
    "environments": "asset_versions",
    "environment_labels": "asset_labels",
    "model_names": "asset_names",
    "models": "asset_versions",
}


@pytest.fixture(params=STORES, ids=lambda path: path.stem)
def old(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / "workspace.sqlite3"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(request.param.read_text())
    return path


def rows(path: Path) -> dict[str, list[dict[str, Any]]]:
    with closing(sqlite3.connect(path)) as connection:
        connection.row_factory = sqlite3.Row
        names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {name: [dict(row) for row in connection.execute(f'SELECT * FROM "{name}"')] for name in names}


def schema(path: Path) -> dict[str, Any]:
    """All that SQLAlchemy can say of each table, without regard to order, and the triggers."""
    inspector = inspect(create_engine(f"sqlite:///{path}"))
    with closing(sqlite3.connect(path)) as connection:
        triggers = dict(connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'"))
    return {"triggers": triggers} | {
        name: {
            "columns": {
                column["name"]: (str(column["type"]), column["nullable"], column["default"])
                for column in inspector.get_columns(name)
            },
            "key": inspector.get_pk_constraint(name)["constrained_columns"],
            "foreign": sorted(
                (key["constrained_columns"], key["referred_table"], key["referred_columns"])
                for key in inspector.get_foreign_keys(name)
            ),
            "unique": sorted(found["column_names"] for found in inspector.get_unique_constraints(name)),
            "indexes": sorted(
                (found["name"], found["column_names"], found["unique"]) for found in inspector.get_indexes(name)
            ),
        }
        for name in inspector.get_table_names()
    }


def test_an_old_store_keeps_every_row_and_gets_the_schema_of_a_fresh_one(old: Path, tmp_path: Path) -> None:
    before = rows(old)
    assert all(before.values()), "the old store should have a row in every table"
    Database(old).close()
    after = rows(old)
    for table, kept in before.items():
        if table == "store" or table in MOVED:
            continue
        known = kept[0].keys()
        assert [{key: row[key] for key in known} for row in after[table]] == kept
    for table, moved in MOVED.items():
        assert len(after[moved]) >= len(before.get(table, []))
    (tmp_path / "fresh").mkdir()
    Database(tmp_path / "fresh" / "workspace.sqlite3").close()
    assert schema(old) == schema(tmp_path / "fresh" / "workspace.sqlite3")
    with closing(sqlite3.connect(old)) as connection:
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_the_old_database_is_kept_beside_and_opening_again_changes_nothing(old: Path) -> None:
    before = rows(old)
    version = next(row["value"] for row in before["store"] if row["key"] == "schema_version")
    Database(old).close()
    copy = old.with_name(f"workspace.sqlite3.version-{version}")
    assert rows(copy) == before
    assert copy.stat().st_mode & 0o077 == 0
    migrated = rows(old)
    Database(old).close()
    assert rows(old) == migrated


def test_contents_of_an_old_store_are_read_as_before(old: Path) -> None:
    workspace = Workspace(StateFolder(old.parent))
    first, child, failed, open_run = sorted(workspace.runs.list(), key=lambda run: run.number)
    assert (first.status, child.parent_id, child.tags) == ("Completed", first.id, {"a": "1"})
    assert first.workspace == workspace.identity.first.arm_id
    assert failed.error is not None
    assert failed.error["error"]["message"] == "It failed."
    assert [run.id for run in workspace.runs.unfinished()] == [child.id, open_run.id]
    for filter_, found in (("Tags/a eq 1", [child.id]), ("Properties/p eq q", [child.id]), ("Tags/b eq 1", [])):
        assert [run.id for run in workspace.runs.page(parse_filter(filter_)).items] == found
    assert [value.data for value in workspace.metrics.get(first.id, "accuracy").values] == [
        {"accuracy": 0.5},
        {"accuracy": 0.75},
    ]
    newest, oldest = workspace.models.versions("digits-model")
    assert (newest.version, newest.run_id, oldest.version, oldest.run_id) == ("2", None, "1", first.id)
    assert newest.uri is not None
    assert workspace.models.artifact_list(newest.uri.removeprefix("aml://asset/")).body["artifacts"]
    assert workspace.models.register(NewVersion("digits-model")).version == "3"
    latest = workspace.datasets.get("mnist")
    assert (latest.version.version, latest.version.description, latest.saved.dataflow) == ("2", None, '{"blocks": [1]}')
    assert workspace.datasets.get("mnist", "1").version.tags == {"t": "1"}
    assert workspace.environments.get("here").version == "2"
    assert workspace.environments.get("here", "1").body == {"python": {"userManagedDependencies": True}}
    assert workspace.environments.register("here", {}).version == "3"
    assert workspace.computes.get("cpu-cluster").max_nodes == 4
    [model] = workspace.blobs.list("azureml", "ExperimentRun/dcid.digits_1/")
    assert (model.size, model.live, model.extra) == (15, False, None)
    [committed, waiting, _] = workspace.blobs.blocks("azureml-blobstore", "big.bin")
    assert (committed, waiting) == ([], [("AAAA", 5)])
    workspace.close()


def test_format_3_models_datasets_and_environments_keep_all_that_they_had(tmp_path: Path) -> None:
    path = tmp_path / "workspace.sqlite3"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript((Path(__file__).parent / "stores" / "version-3.sql").read_text())
    workspace = Workspace(StateFolder(tmp_path))
    model = workspace.models.get("digits-model", "1")
    assert (model.description, model.tags, model.properties) == (
        *("the first", {"area": "digits", "bare": None}, {"C": "0.5"}),
    )
    assert details_of(model) == ModelDetails(
        framework="ScikitLearn",
        framework_version="1.5",
        experiment="digits",
        datasets=[DatasetReference("training", workspace.datasets.get("mnist", "1").saved.id)],
        client={
            "mimeType": "application/x-python",
            "unpack": False,
            "resourceRequirements": {"cpu": 1.0, "memoryInGB": 0.5},
            "sampleInputData": "aml://artifact/x",
            "derivedModelIds": [],
        },
    )
    # Numbers in their order as numbers, and none of a deleted version's again.
    assert [row.version for row in workspace.models.versions("grown")] == [str(n) for n in range(11, 0, -1)]
    assert workspace.models.get("grown").tags == {"number": "11"}
    assert [workspace.models.register(NewVersion(name)).version for name in ("grown", "gone")] == ["13", "2"]
    assert [each.version.version for each in workspace.datasets.versions("grown", 20)] == [
        str(n) for n in range(11, 0, -1)
    ]
    assert workspace.datasets.get("grown").version.description == "state 10"
    definition = workspace.datasets.register("grown", "tabular", '{"blocks": []}', properties={})
    assert definition.version.version == "12"
    assert [row.version for row in workspace.environments.versions("named")] == ["beta.1", "9"]
    assert workspace.environments.labelled("here", "stable").version == "1"
    assert workspace.environments.register("named", {}).version == "10"
    workspace.close()


def test_a_migration_that_fails_leaves_the_store_as_it_was(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = rows(old)
    monkeypatch.setattr("azureml_local.storage.migration.DERIVED", ("UPDATE no_such_table SET x = 1",))
    with pytest.raises(StateFolderError):
        Database(old)
    assert rows(old) == before
    monkeypatch.undo()
    Database(old).close()


def test_migration_without_room_for_the_copy_leaves_the_store_as_it_was(
    old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = rows(old)

    def full(*_: object) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("azureml_local.storage.migration.set_aside", full)
    with pytest.raises(StateFolderError, match="Nothing was changed"):
        Database(old)
    assert rows(old) == before


@pytest.mark.case("disk-trouble")
@pytest.mark.parametrize("version", [SCHEMA_VERSION + 1, '"banana"'])
def test_a_newer_store_is_refused_and_left_alone(tmp_path: Path, version: object) -> None:
    path = tmp_path / "workspace.sqlite3"
    Database(path).close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE store SET value = ? WHERE key = 'schema_version'", (str(version),))
        connection.commit()
    before = rows(path)
    with pytest.raises(StateFolderError, match="newer version"):
        Database(path)
    assert rows(path) == before


def test_a_database_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "workspace.sqlite3"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE other (x)")
    with pytest.raises(StateFolderError, match="a database of another program"):
        Database(path)
    assert rows(path) == {"other": []}


@pytest.mark.parametrize(
    "lost",
    [
        "ALTER TABLE runs DROP COLUMN description",
        "DROP TABLE asset_labels",
        "DROP INDEX metric_values_of",
        "DROP INDEX ix_runs_status; CREATE INDEX ix_runs_status ON runs (created)",
        "CREATE INDEX of_no_use ON runs (created)",
        "DROP TRIGGER run_entries_made",
    ],
)
def test_schema_objects_missing_are_added(tmp_path: Path, lost: str) -> None:
    path, fresh = tmp_path / "workspace.sqlite3", tmp_path / "fresh.sqlite3"
    Database(path).close()
    Database(fresh).close()
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(f"UPDATE store SET value = 1 WHERE key = 'schema_version'; {lost}")
    assert schema(path) != schema(fresh)
    Database(path).close()
    assert schema(path) == schema(fresh)
