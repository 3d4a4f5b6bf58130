"""Datasets, their versions and their files, through the real SDK: no job is needed for any of it."""

from __future__ import annotations

import os
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="module")
def files(workspace: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Six small files in the datastore, as a dataset that `upload_directory` made."""
    from azureml.core import Dataset

    folder = tmp_path_factory.mktemp("files")
    for name in ("a.csv", "b.csv", "notes.txt", "deep/c.csv", "deep/d.csv", "deep/er/e.csv"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(f"name,height\n{name[0]},1.5\n")
    store = workspace.get_default_datastore()
    return Dataset.File.upload_directory(str(folder), (store, "sets/six"), overwrite=True, show_progress=False)


@pytest.mark.sdk(
    "Dataset.File.upload_directory",
    "Dataset.File.from_files",
    "FileDataset.to_path",
    "FileDataset.skip",
    "FileDataset.take",
    "FileDataset.take_sample",
    "FileDataset.random_split",
    "FileDataset.download",
    "FileDataset.file_metadata",
    "FileDataset.filter",
)
def test_files_are_found_by_pattern_taken_and_downloaded(workspace: Any, files: Any, tmp_path: Path) -> None:
    from azureml.core import Dataset

    everything = ["/a.csv", "/b.csv", "/deep/c.csv", "/deep/d.csv", "/deep/er/e.csv", "/notes.txt"]
    assert sorted(files.to_path()) == everything
    store = workspace.get_default_datastore()
    assert sorted(Dataset.File.from_files((store, "sets/six/*.csv")).to_path()) == ["/a.csv", "/b.csv"]
    tables = Dataset.File.from_files([(store, "sets/six/**/*.csv")])
    assert len(tables.to_path()) == 5
    assert len(tables.skip(2).to_path()) == 3
    assert len(tables.take(2).to_path()) == 2
    assert len(tables.take_sample(0.5, seed=1).to_path()) < 5
    first, second = tables.random_split(0.5, seed=1)
    assert sorted(first.to_path() + second.to_path()) == sorted(tables.to_path())

    assert len(files.filter(files.file_metadata("Size") > 5).to_path()) == 6
    assert files.filter(files.file_metadata("Size") > 5000).to_path() == []

    one = Dataset.File.from_files((store, "sets/six/deep/c.csv"))
    [path] = one.download(str(tmp_path / "one"))
    assert Path(path).read_text() == "name,height\nd,1.5\n"
    assert len(files.download(str(tmp_path / "all"))) == 6
    assert files.download(str(tmp_path / "all"), overwrite=True)
    with pytest.raises(Exception, match="already exist"):
        files.download(str(tmp_path / "all"))


@pytest.mark.skipif(not os.access("/dev/fuse", os.W_OK), reason="this machine has no FUSE that this user may use")
@pytest.mark.sdk("FileDataset.mount")
def test_files_are_mounted_where_the_machine_can(files: Any) -> None:
    with files.mount() as mounted:
        assert (Path(mounted.mount_point) / "deep" / "er" / "e.csv").read_text() == "name,height\nd,1.5\n"


@pytest.mark.sdk(
    "FileDataset.register",
    "Dataset.get_by_name",
    "Dataset.get_by_id",
    "Dataset.get_all",
    "FileDataset.unregister_all_versions",
    "FileDataset.update",
    "FileDataset.add_tags",
    "FileDataset.remove_tags",
    "FileDataset.id",
    "FileDataset.name",
    "FileDataset.version",
    "FileDataset.description",
    "FileDataset.tags",
    "FileDataset.data_changed_time",
    "Workspace.datasets",
)
def test_a_dataset_is_registered_versioned_described_and_forgotten(workspace: Any, files: Any) -> None:
    from azureml.core import Dataset

    store = workspace.get_default_datastore()
    first = files.register(workspace, "six", "six files", {"made": "by hand"})
    assert (first.version, first.description, first.tags) == (1, "six files", {"made": "by hand"})
    with pytest.raises(Exception, match="create_new_version=True"):
        Dataset.File.from_files((store, "sets/six/*.csv")).register(workspace, "six")
    second = Dataset.File.from_files((store, "sets/six/*.csv")).register(workspace, "six", create_new_version=True)
    assert (second.name, second.version) == ("six", 2)
    assert second.data_changed_time <= datetime.now(timezone.utc).replace(tzinfo=None)
    assert Dataset.get_by_name(workspace, "six").id == second.id
    assert Dataset.get_by_name(workspace, "six", version=1).id == first.id == Dataset.get_by_id(workspace, first.id).id
    with pytest.raises(Exception, match="version: 3"):
        Dataset.get_by_name(workspace, "six", version=3)

    changed = second.update(description="fewer", tags={"a": "1"})
    assert (changed.description, changed.tags) == ("fewer", {"a": "1"})
    assert second.add_tags({"b": "2"}).tags == {"a": "1", "b": "2"}
    assert second.remove_tags(["a"]).tags == {"b": "2"}
    again = Dataset.get_by_name(workspace, "six")
    assert (again.version, again.description, again.tags) == (2, "fewer", {"b": "2"})
    assert Dataset.get_by_name(workspace, "six", version=1).tags == {"made": "by hand"}

    assert Dataset.get_all(workspace)["six"].id == second.id
    assert workspace.datasets["six"].version == 2
    assert "six" in [found.name for found in workspace.datasets.registrations]
    again.unregister_all_versions()
    assert "six" not in workspace.datasets
    with pytest.raises(Exception, match="six"):
        Dataset.get_by_name(workspace, "six")
    # Runs that used it can still say what it was, and its name is free.
    assert len(Dataset.get_by_id(workspace, first.id).to_path()) == 6
    assert Dataset.File.from_files((store, "sets/six/*.csv")).register(workspace, "six").version == 1


def test_a_workspace_with_more_datasets_than_a_page(workspace: Any, files: Any) -> None:
    from azureml.data._dataset_rest_helper import _restclient

    for number in range(3):
        files.register(workspace, f"page-{number}", create_new_version=True)
    names, token = [], None
    while True:
        page = _restclient(workspace).dataset.list(
            workspace.subscription_id,
            workspace.resource_group,
            workspace.name,
            page_size=2,
            continuation_token=token,
            include_latest_definition=True,
        )
        names += [found.name for found in page.value]
        assert len(page.value) <= 2
        if (token := page.continuation_token) is None:
            break
    assert len(names) == len(set(names)) == len(workspace.datasets.registrations)
    assert {"page-0", "page-1", "page-2"} <= set(names)


@pytest.mark.sdk(
    "Workspace.get_default_datastore",
    "Workspace.datastores",
    "Workspace.set_default_datastore",
    "Datastore.get",
    "Datastore.get_default",
    "Datastore.set_as_default",
    "AzureBlobDatastore.upload",
    "AzureBlobDatastore.upload_files",
    "AzureBlobDatastore.download",
    "AzureBlobDatastore.name",
    "AzureBlobDatastore.workspace",
    "AzureBlobDatastore.datastore_type",
)
def test_default_datastore_is_found_and_transfers_files(workspace: Any, tmp_path: Path) -> None:
    from azureml.core import Datastore

    store = workspace.get_default_datastore()
    assert list(workspace.datastores) == [store.name] == ["workspaceblobstore"]
    assert Datastore.get(workspace, store.name).container_name == Datastore.get_default(workspace).container_name
    assert (store.workspace.name, store.datastore_type) == (workspace.name, "AzureBlob")
    store.set_as_default()
    workspace.set_default_datastore(store.name)
    for act in (lambda: Datastore.get(workspace, "other"), lambda: workspace.set_default_datastore("other")):
        with pytest.raises(Exception, match="no datastore 'other'"):
            act()

    (tmp_path / "up" / "deep").mkdir(parents=True)
    for number in range(3):
        (tmp_path / "up" / "deep" / f"{number}.bin").write_bytes(bytes([number]) * 5000)
    store.upload(str(tmp_path / "up"), "the-datastore", overwrite=True, show_progress=False)
    (tmp_path / "up" / "deep" / "0.bin").write_bytes(b"changed")
    changed = [str(tmp_path / "up" / "deep" / "0.bin")]
    store.upload_files(changed, str(tmp_path / "up"), "the-datastore", overwrite=True, show_progress=False)
    assert store.download(str(tmp_path / "down"), "the-datastore/deep", show_progress=False) == 3
    assert (tmp_path / "down" / "the-datastore" / "deep" / "0.bin").read_bytes() == b"changed"
    assert (tmp_path / "down" / "the-datastore" / "deep" / "2.bin").read_bytes() == bytes([2]) * 5000


@pytest.mark.sdk_refused("FileDataset.as_cache", "FileDataset.hydrate")
def test_data_caches_are_refused(workspace: Any) -> None:
    from azureml.data.datacache import DatacacheStore

    with pytest.raises(Exception, match=r"Caches of data .* are not built in azureml-local.*as_mount"):
        DatacacheStore.list(workspace)


def test_dataset_calls_retired_by_the_sdk_raise_without_a_request(workspace: Any) -> None:
    """docs/coverage.md leaves the class `azureml.core.Dataset` out for this reason, but for what it has of others."""
    from azureml.core import Dataset

    for act in (lambda: Dataset.get(workspace, "six"), lambda: Dataset.list(workspace)):
        with pytest.raises(NotImplementedError, match="no longer supported"):
            act()
