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


@pytest.mark.sdk("MNIST.get_file_dataset", "FileDataset.to_path", "FileDataset.download")
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


SHOW_INPUTS = """
    import os, sys
    from azureml.core import Run, Dataset

    run = Run.get_context()
    folder, file, placed, direct = sys.argv[1:5]
    inputs = run.input_datasets
    assert inputs["folder"] == folder == os.environ["folder"] == os.environ["AZUREML_DATAREFERENCE_folder"]
    assert sorted(os.listdir(folder)) == ["part-1.csv", "part-2.csv"], os.listdir(folder)
    assert open(file).read() == "a,b\\n1,2\\n", file
    assert placed == os.path.abspath("data/here") and os.listdir("data/here") == ["part-2.csv"]
    assert inputs["table"].id == direct
    print("rows", len(inputs["table"].to_pandas_dataframe()))
    Dataset.get_by_name(run.experiment.workspace, "parts", version=1)
"""


@pytest.mark.slow
@pytest.mark.sdk(
    "FileDataset.as_mount",
    "FileDataset.as_download",
    "FileDataset.as_named_input",
    "DatasetConsumptionConfig.as_mount",
    "DatasetConsumptionConfig.as_download",
    "Run.get_details",
    "Run.get_details",
)
def test_job_inputs_in_every_mode_are_read(submit: Callable[..., Any], workspace: Any, tmp_path: Path) -> None:
    from azureml.core import Dataset

    store = workspace.get_default_datastore()
    (tmp_path / "parts").mkdir()
    for number in (1, 2):
        (tmp_path / "parts" / f"part-{number}.csv").write_text("a,b\n1,2\n" * number)
    store.upload(str(tmp_path / "parts"), "parts", overwrite=True, show_progress=False)
    parts = Dataset.File.from_files((store, "parts/*.csv")).register(workspace, "parts", create_new_version=True)
    arguments = [
        parts.as_named_input("folder").as_mount(),
        # The mount of one file is that file, not the folder around it.
        Dataset.File.from_files((store, "parts/part-1.csv")).as_named_input("file").as_mount(),
        Dataset.File.from_files((store, "parts/part-2.csv")).as_named_input("placed").as_download("data/here"),
        Dataset.Tabular.from_delimited_files((store, "parts/part-2.csv")).as_named_input("table"),
    ]
    run = submit(SHOW_INPUTS, arguments)
    run.wait_for_completion()
    details = run.get_details_with_logs()
    assert "rows 3" in details["logFiles"]["user_logs/std_log.txt"]
    lineage = [item["consumptionDetails"] for item in details["inputDatasets"]]
    assert [(item["type"], item.get("inputName"), item.get("mechanism")) for item in lineage] == [
        ("RunInput", "folder", "Mount"),
        ("RunInput", "file", "Mount"),
        ("RunInput", "placed", "Download"),
        ("RunInput", "table", "Direct"),
        ("Reference", None, None),  # what the script asked for by itself
    ]
    assert details["inputDatasets"][4]["dataset"].id == parts.id


@pytest.mark.sdk("AzureBlobDatastore.path")
@pytest.mark.sdk_refused("DataReference.as_mount", "AzureBlobDatastore.as_mount")
def test_data_references_are_refused(experiment: Any, compute: Any, here: Any, workspace: Any, tmp_path: Path) -> None:
    from azureml.core import RunConfiguration, ScriptRunConfig

    (tmp_path / "script.py").write_text("")
    reference = workspace.get_default_datastore().path("parts").as_mount()
    configuration = RunConfiguration()
    configuration.target, configuration.environment = compute.name, here
    configuration.data_references = {reference.data_reference_name: reference.to_config()}
    with pytest.raises(Exception, match="Data references"):
        experiment.submit(ScriptRunConfig(str(tmp_path), "script.py", [str(reference)], run_config=configuration))


@pytest.mark.sdk_refused("FileDataset.as_hdfs", "DatasetConsumptionConfig.as_hdfs")
def test_hdfs_mode_is_refused(experiment: Any, compute: Any, here: Any, workspace: Any, tmp_path: Path) -> None:
    from azureml.core import Dataset, ScriptRunConfig

    (tmp_path / "script.py").write_text("")
    data = Dataset.File.from_files((workspace.get_default_datastore(), "parts/*"), validate=False)
    for given in (data.as_hdfs(), data.as_named_input("parts").as_hdfs()):
        job = ScriptRunConfig(str(tmp_path), "script.py", [given], compute_target=compute, environment=here)
        with pytest.raises(Exception, match="asks for 'hdfs'; it must be mount, download or direct"):
            experiment.submit(job)
