"""Tables, through the real SDK and its Rust engine: read, cut, and written again; no job is needed for any of it."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

VISITS = """day,visitors,place
2024-01-01,10,north
2025-01-01,20,south
2026-01-01,30,north
"""


@pytest.fixture(scope="module")
def visits(workspace: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A table of three days, two of them in the north."""
    from azureml.core import Dataset

    folder = tmp_path_factory.mktemp("visits")
    (folder / "visits.csv").write_text(VISITS)
    store = workspace.get_default_datastore()
    Dataset.File.upload_directory(str(folder), (store, "visits"), overwrite=True, show_progress=False)
    return Dataset.Tabular.from_delimited_files((store, "visits/*.csv"))


def visitors(table: Any) -> list[int]:
    return sorted(table.to_pandas_dataframe()["visitors"])


@pytest.mark.sdk(
    "Dataset.Tabular.from_delimited_files",
    "Dataset.Tabular.from_parquet_files",
    "Dataset.Tabular.from_json_lines_files",
    "Dataset.Tabular.register_pandas_dataframe",
    "TabularDataset.to_pandas_dataframe",
    "TabularDataset.filter",
    "TabularDataset.take",
    "TabularDataset.keep_columns",
    "TabularDataset.drop_columns",
    "TabularDataset.skip",
    "TabularDataset.random_split",
    "TabularDataset.id",
    "TabularDataset.name",
    "TabularDataset.version",
    "TabularDataset.description",
    "TabularDataset.tags",
)
def test_tabular_dataset_of_each_format_is_read(workspace: Any, tmp_path: Path) -> None:
    import pandas as pd
    from azureml.core import Dataset

    frame = pd.DataFrame({"name": ["ann", "bob", "cyd"], "height": [1.7, 1.8, 1.6]})
    frame.to_csv(tmp_path / "t.csv", index=False)
    frame.to_parquet(tmp_path / "t.parquet")
    frame.to_json(tmp_path / "t.jsonl", orient="records", lines=True)
    store = workspace.get_default_datastore()
    paths = [str(tmp_path / f"t.{kind}") for kind in ("csv", "parquet", "jsonl")]
    store.upload_files(paths, target_path="formats", overwrite=True, show_progress=False)
    tables = [
        Dataset.Tabular.from_delimited_files((store, "formats/t.csv")),
        Dataset.Tabular.from_parquet_files((store, "formats/t.parquet")),
        Dataset.Tabular.from_json_lines_files((store, "formats/t.jsonl")),
    ]
    for table in tables:
        pd.testing.assert_frame_equal(table.to_pandas_dataframe(), frame)
    tall = tables[0].filter(tables[0]["height"] > 1.65)
    assert list(tall.to_pandas_dataframe()["name"]) == ["ann", "bob"]
    assert len(tables[1].take(2).to_pandas_dataframe()) == 2
    assert len(tables[1].skip(1).to_pandas_dataframe()) == 2
    assert list(tables[0].keep_columns(["name"]).to_pandas_dataframe()) == ["name"]
    assert list(tables[0].drop_columns(["name"]).to_pandas_dataframe()) == ["height"]
    parts = [part.to_pandas_dataframe() for part in tables[0].random_split(0.5, seed=1)]
    assert sum(map(len, parts)) == 3

    registered = Dataset.Tabular.register_pandas_dataframe(
        frame, (store, "frames"), "heights-frame", show_progress=False
    )
    assert (registered.name, registered.version) == ("heights-frame", 1)
    pd.testing.assert_frame_equal(Dataset.get_by_name(workspace, "heights-frame").to_pandas_dataframe(), frame)
    described = tables[1].register(workspace, "three-people", "of three people", {"unit": "m"})
    again = Dataset.get_by_id(workspace, described.id)
    assert (again.id, again.description, again.tags) == (described.id, "of three people", {"unit": "m"})


@pytest.mark.sdk(
    "TabularDataset.with_timestamp_columns",
    "TabularDataset.timestamp_columns",
    "TabularDataset.time_after",
    "TabularDataset.time_before",
    "TabularDataset.time_between",
    "TabularDataset.time_recent",
    "TabularDataset.data_changed_time",
)
def test_tabular_dataset_is_filtered_by_time(workspace: Any, visits: Any) -> None:
    from azureml.core import Dataset

    visits.with_timestamp_columns("day").register(workspace, "visits")
    table = Dataset.get_by_name(workspace, "visits")
    assert table.timestamp_columns == ("day", None)
    middle = datetime(2024, 6, 1), datetime(2025, 6, 1)
    assert visitors(table.time_after(middle[0])) == [20, 30]
    assert visitors(table.time_before(middle[0])) == [10]
    assert visitors(table.time_between(*middle)) == [20]
    assert visitors(table.time_recent(timedelta(days=365 * 100))) == [10, 20, 30]
    assert table.time_recent(timedelta(days=1)).to_pandas_dataframe().empty
    assert isinstance(table.data_changed_time, datetime)


@pytest.mark.sdk(
    "TabularDataset.partition_by",
    "TabularDataset.partition_keys",
    "TabularDataset.get_partition_key_values",
    "FileDataset.partition_keys",
    "FileDataset.get_partition_key_values",
)
def test_tabular_dataset_is_partitioned(workspace: Any, visits: Any) -> None:
    from azureml.core import Dataset

    store = workspace.get_default_datastore()
    parts = visits.partition_by(["place"], target=(store, "parts"), show_progress=False)
    assert parts.partition_keys == ["place"]
    assert sorted(each["place"] for each in parts.get_partition_key_values()) == ["north", "south"]
    assert visitors(parts.filter(parts["place"] == "north")) == [10, 30]

    files = Dataset.File.from_files((store, "visits/*.csv"), partition_format="/{name}.csv")
    assert (files.partition_keys, files.get_partition_key_values()) == (["name"], [{"name": "visits"}])


@pytest.mark.sdk("TabularDataset.to_csv_files", "TabularDataset.to_parquet_files")
def test_tabular_dataset_is_written_to_files(visits: Any, tmp_path: Path) -> None:
    import pandas as pd

    [text] = visits.to_csv_files().download(str(tmp_path / "csv"))
    [parquet] = visits.to_parquet_files().download(str(tmp_path / "parquet"))
    for frame in (pd.read_csv(text), pd.read_parquet(parquet)):
        assert list(frame["visitors"]) == [10, 20, 30]


@pytest.mark.sdk_refused(
    "TabularDataset.get_profile", "TabularDataset.get_profile_runs", "TabularDataset.submit_profile_run"
)
def test_tabular_dataset_profiles_are_refused(workspace: Any, experiment: Any, visits: Any) -> None:
    table = visits.register(workspace, "unprofiled")
    for act in (
        lambda: table.get_profile(),
        lambda: list(table.get_profile_runs(workspace)),
        lambda: table.submit_profile_run("local", experiment),
    ):
        with pytest.raises(Exception, match=r"Profiles of tables .* are not built in azureml-local.*describe"):
            act()


@pytest.mark.sdk_refused("MNIST.get_tabular_dataset")
def test_tabular_mnist_fails_in_the_sdk_itself() -> None:
    """A fault of azureml-opendatasets with the azureml-dataprep that it asks for; no request is made."""
    from azureml.opendatasets import MNIST

    with pytest.raises(TypeError, match="include_path"):
        MNIST.get_tabular_dataset("train")
