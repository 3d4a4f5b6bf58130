"""Datasets and the datastore, through the real SDK and its Rust engine."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from azureml_local.opendata import idx

FILES = {idx.TRAIN_IMAGES, idx.TRAIN_LABELS, idx.TEST_IMAGES, idx.TEST_LABELS}

LIST_INPUT = """
    import os, sys
    for root, _, names in os.walk(sys.argv[1]):
        for name in sorted(names):
            print("found", name, os.path.getsize(os.path.join(root, name)))
"""


@pytest.fixture
def from_client(server: Any, tmp_path: Path) -> Callable[[str], str]:
    """Run a script as a client of its own: the start-up hook works at the start of a process."""
    import subprocess
    import sys

    def run(text: str) -> str:
        done = subprocess.run(
            [sys.executable, "-c", text],
            env={**os.environ, **server.variables()},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        assert "Upload failed" not in done.stderr
        return done.stdout

    return run


def test_the_open_dataset_mnist_lands_on_the_mirror(from_client: Callable[[str], str], tmp_path: Path) -> None:
    out = from_client("""
from azureml.opendatasets import MNIST
dataset = MNIST.get_file_dataset()
print("\\n".join(dataset.to_path()))
print(len(MNIST.get_file_dataset(dataset_filter="test").to_path()), "for tests")
dataset.download("data", overwrite=True)
""")
    assert {path.name for path in (tmp_path / "data").rglob("*.gz")} == FILES
    assert "/opendata/mnist/" in out
    assert "2 for tests" in out


def test_a_job_gets_the_mirrors_files_as_a_mount(
    submit: Callable[..., Any], workspace: Any, server: Any, from_client: Callable[[str], str]
) -> None:
    from azureml.core import Dataset

    from_client(f"""
from azureml.core import Workspace
from azureml.opendatasets import MNIST
ws = Workspace({workspace.subscription_id!r}, {workspace.resource_group!r}, {workspace.name!r})
MNIST.get_file_dataset().register(ws, "digits", create_new_version=True)
""")
    run = submit(LIST_INPUT, [Dataset.get_by_name(workspace, "digits").as_mount()])
    run.wait_for_completion()
    log = run.get_details_with_logs()["logFiles"]["user_logs/std_log.txt"]
    assert all(f"found {name}" in log for name in FILES)


def test_the_datastore_takes_and_gives_files(workspace: Any, tmp_path: Path) -> None:
    (tmp_path / "up" / "deep").mkdir(parents=True)
    (tmp_path / "up" / "a.txt").write_text("first")
    (tmp_path / "up" / "deep" / "b.bin").write_bytes(bytes(range(256)) * 4096)
    store = workspace.get_default_datastore()
    store.upload(str(tmp_path / "up"), "there", overwrite=True, show_progress=False)
    assert store.download(str(tmp_path / "down"), "there", show_progress=False) == 2
    assert (tmp_path / "down" / "there" / "a.txt").read_text() == "first"
    assert (tmp_path / "down" / "there" / "deep" / "b.bin").read_bytes() == bytes(range(256)) * 4096


def test_a_dataset_on_the_datastore_is_versioned_and_reaches_a_job(
    submit: Callable[..., Any], workspace: Any, tmp_path: Path
) -> None:
    from azureml.core import Dataset

    store = workspace.get_default_datastore()
    for number in (1, 2):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / f"part-{number}.csv").write_text("a,b\n1,2\n" * number)
        store.upload(str(folder), f"parts-{number}", overwrite=True, show_progress=False)
        dataset = Dataset.File.from_files((store, f"parts-{number}/*.csv"))
        registered = dataset.register(workspace, "parts", create_new_version=True)
        assert registered.version == number
    assert Dataset.get_by_name(workspace, "parts", version=1).to_path() == ["/part-1.csv"]
    again = Dataset.File.from_files((store, "parts-2/*.csv")).register(workspace, "parts", create_new_version=True)
    assert again.version == 2
    run = submit(LIST_INPUT, [Dataset.get_by_name(workspace, "parts").as_named_input("parts").as_download()])
    run.wait_for_completion()
    assert "found part-2.csv 16" in run.get_details_with_logs()["logFiles"]["user_logs/std_log.txt"]


def test_a_table_is_read_from_the_datastore(workspace: Any, tmp_path: Path) -> None:
    from azureml.core import Dataset

    (tmp_path / "table.csv").write_text("name,height\nann,1.70\nbob,1.80\n")
    store = workspace.get_default_datastore()
    store.upload_files([str(tmp_path / "table.csv")], target_path="tables", overwrite=True, show_progress=False)
    frame = Dataset.Tabular.from_delimited_files((store, "tables/table.csv")).to_pandas_dataframe()
    assert list(frame["name"]) == ["ann", "bob"]
    assert frame["height"].sum() == pytest.approx(3.5)


def test_a_dataset_that_is_not_there(workspace: Any) -> None:
    from azureml.core import Dataset

    with pytest.raises(Exception, match="nowhere"):
        Dataset.get_by_name(workspace, "nowhere")
