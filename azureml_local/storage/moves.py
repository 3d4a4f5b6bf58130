"""Migration of rows whose tables were renamed or restructured.

`migration` adds what is declared and missing. Renames and moves to another table are these two steps before and after
it, in the same transaction.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from sqlalchemy import Connection, Table, insert, inspect

from azureml_local.storage.clock import now
from azureml_local.storage.tables import AssetLabel, AssetName, AssetVersion, DatasetVersion, RunParameter

# Format 4: renamed tables of format 3. A table that replaces a former one needs the names of its indexes too.
RENAMED = {"assets": "artifact_lists"}
REPLACED = {"dataset_versions": ("dataset_versions_3", "ix_dataset_versions_saved_id")}

# Keys of format 3's models (the SDK's), and the columns or keys of `body` that replace them.
MODEL_BODY = {
    "framework": "framework",
    "frameworkVersion": "framework_version",
    "experimentName": "experiment",
    "datasets": "datasets",
}
MODEL_COLUMNS = ("name", "url", "description", "kvTags", "properties", "runId")


def before(connection: Connection) -> None:
    """Rename former tables whose names the declared ones take. Does nothing in a store that is migrated already."""
    there = set(inspect(connection).get_table_names())
    for old, new in RENAMED.items():
        if old in there and new not in there:
            connection.exec_driver_sql(f'ALTER TABLE "{old}" RENAME TO "{new}"')
    for table, (former, index) in REPLACED.items():
        if table in there and "order" not in {column["name"] for column in inspect(connection).get_columns(table)}:
            connection.exec_driver_sql(f'DROP INDEX IF EXISTS "{index}"')
            connection.exec_driver_sql(f'ALTER TABLE "{table}" RENAME TO "{former}"')


def after(connection: Connection) -> None:
    """Move the rows of former tables to the declared ones, and drop the former tables."""
    there = set(inspect(connection).get_table_names())
    if "models" in there:
        counters = {row["name"]: row["last_version"] for row in _rows(connection, "model_names", there)}
        _add_versions(connection, "model", [_model(row) for row in _rows(connection, "models", there)], counters)
    if "environments" in there:
        _add_versions(
            connection, "environment", [_environment(row) for row in _rows(connection, "environments", there)]
        )
        labels = [{"kind": "environment", **row} for row in _rows(connection, "environment_labels", there)]
        _insert(connection, AssetLabel.__table__, labels)
    if "dataset_versions_3" in there:
        rows = _rows(connection, "dataset_versions_3", there)
        datasets = [
            {**row, "version": str(row["version"]), "order": row["version"], "tags": json.loads(row["tags"])}
            for row in rows
        ]
        _insert(connection, DatasetVersion.__table__, datasets)
        _insert(connection, RunParameter.__table__, _hyperparameters(connection))
    for table in ("models", "model_names", "environments", "environment_labels", "dataset_versions_3"):
        connection.exec_driver_sql(f'DROP TABLE IF EXISTS "{table}"')


def _rows(connection: Connection, table: str, there: set[str]) -> list[dict[str, Any]]:
    if table not in there:
        return []
    return [dict(row) for row in connection.exec_driver_sql(f'SELECT * FROM "{table}"').mappings()]


def _insert(connection: Connection, table: Any, rows: list[dict[str, Any]]) -> None:
    assert isinstance(table, Table)
    if rows:
        connection.execute(insert(table), rows)


def _add_versions(
    connection: Connection, kind: str, versions: list[dict[str, Any]], counters: Mapping[str, int] | None = None
) -> None:
    """``counters``: the highest number of each name, where it is more than that of its versions."""
    names: dict[str, dict[str, Any]] = {}
    for name in sorted({version["name"] for version in versions} | set(counters or {})):
        own = [version for version in versions if version["name"] == name]
        numbers = [int(version["version"]) for version in own if version["version"].isdecimal()]
        names[name] = {
            "kind": kind,
            "name": name,
            "last_number": max([*numbers, (counters or {}).get(name, 0)], default=0),
            "description": None,
            "tags": {},
            # Format 3 has no creation time of a name without versions.
            "created": min((version["created"] for version in own), default=now()),
            "modified": max((version["modified"] for version in own), default=now()),
            "archived": None,
        }
    _insert(connection, AssetName.__table__, list(names.values()))
    nothing = {"type": None, "stage": None, "archived": None}
    _insert(connection, AssetVersion.__table__, [{"kind": kind, **nothing, **version} for version in versions])


def _model(row: Mapping[str, Any]) -> dict[str, Any]:
    body = json.loads(row["body"])
    kept = {ours: body[key] for key, ours in MODEL_BODY.items() if key in body}
    client = {key: value for key, value in body.items() if key not in MODEL_BODY and key not in MODEL_COLUMNS}
    return {
        "name": row["name"],
        "version": str(row["version"]),
        "order": row["version"],
        "uri": body.get("url"),
        "description": body.get("description"),
        "tags": body.get("kvTags") or {},
        "properties": body.get("properties") or {},
        "run_id": row["run_id"],
        "body": {**kept, "client": client},
        "created": row["created"],
        "modified": row["modified"],
    }


def _environment(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "name": row["name"],
        "version": row["version"],
        "order": row["order"],
        "uri": None,
        "description": None,
        "tags": {},
        "properties": {},
        "run_id": None,
        "body": json.loads(row["definition"]),
        "created": row["created"],
        "modified": row["created"],
    }


def _hyperparameters(connection: Connection) -> list[dict[str, Any]]:
    """Hyperparameters of sweep runs, which format 3 kept in a tag alone."""
    runs = connection.exec_driver_sql(
        "SELECT runs.id, json_extract(runs.tags, '$.hyperparameters') FROM runs "
        "JOIN runs AS parents ON parents.id = runs.parent_id WHERE parents.run_type = 'hyperdrive'"
    )
    return [
        {"run_id": run_id, "name": name, "value": value if isinstance(value, str) else json.dumps(value)}
        for run_id, text in runs
        for name, value in _entries(text)
    ]


def _entries(text: object) -> Iterator[tuple[str, Any]]:
    """The entries of a tag's JSON object; the user can have changed the tag, so any content is possible."""
    try:
        found = json.loads(text) if isinstance(text, str) else None
    except ValueError:
        return
    yield from found.items() if isinstance(found, dict) else ()
