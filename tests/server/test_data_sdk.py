"""Datasets and the datastore, through the real SDK and its Rust engine."""

from __future__ import annotations

import os
import textwrap
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
def test_the_open_datasets_mnist_and_diabetes_land_on_the_mirror(
    from_client: Callable[[str], str], tmp_path: Path
) -> None:
    out = from_client("""
from azureml.opendatasets import MNIST
dataset = MNIST.get_file_dataset()
print("\\n".join(dataset.to_path()))
print(len(MNIST.get_file_dataset(dataset_filter="test").to_path()), "for tests")
dataset.download("data", overwrite=True)
from azureml.opendatasets import Diabetes
frame = Diabetes.get_tabular_dataset().to_pandas_dataframe()
print("diabetes", frame.shape, int(frame["Y"].sum()), list(frame.columns)[0])
print("downloaded", len(Diabetes.get_file_dataset().download("diabetes")))
""")
    assert "diabetes (442, 11) 67243 AGE" in out
    assert "downloaded 1" in out
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


REFERENCES = """
    import os, pathlib, sys
    from azureml.core import Run

    run = Run.get_context(allow_offline=False)
    folder, part, file, whole, none = sys.argv[1:6]
    run.log("folder", int(pathlib.Path(folder, "deep", "n.txt").read_text()))
    run.log("part", int(pathlib.Path(part, "n.txt").read_text()))
    run.log("file", int(pathlib.Path(file).read_text()))
    run.log("whole", int(pathlib.Path(whole, "referred", "deep", "n.txt").read_text()))
    run.log("none", len(os.listdir(none)))
    run.log("placed", int(pathlib.Path("placed/n.txt").read_text()))
    run.log("variable", os.environ["AZUREML_DATAREFERENCE_folder"] == folder)
    pathlib.Path(folder, "deep", "new.txt").write_text("new")
    pathlib.Path(none, "first.txt").write_text("first")
    if len(sys.argv) > 6:
        made = pathlib.Path(sys.argv[6])
        made.mkdir(parents=True)
        (made / "made.txt").write_text("made")
        pathlib.Path("outputs/kept.txt").write_text("kept")
"""


@pytest.mark.sdk(
    "AzureBlobDatastore.path",
    "AzureBlobDatastore.as_mount",
    "AzureBlobDatastore.as_download",
    "AzureBlobDatastore.as_upload",
    "DataReference.path",
    "DataReference.as_mount",
    "DataReference.as_download",
    "DataReference.as_upload",
    "DataReference.to_config",
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_data_references_are_read_and_written(
    experiment: Any, compute: Any, here: Any, workspace: Any, tmp_path: Path
) -> None:
    from azureml.core import Datastore, RunConfiguration, ScriptRunConfig
    from azureml.train.estimator import Estimator

    (tmp_path / "data" / "deep").mkdir(parents=True)
    (tmp_path / "data" / "deep" / "n.txt").write_text("7")
    # A datastore of its own: a reference to the whole of one gets all that other tests have put there.
    store = Datastore.register_azure_blob_container(
        workspace, "referred_to", "referred", "anaccount", account_key="a2V5"
    )
    store.upload(str(tmp_path / "data"), "referred", show_progress=False)
    (tmp_path / "job").mkdir()
    (tmp_path / "job" / "script.py").write_text(textwrap.dedent(REFERENCES))
    read = [
        store.path("referred", data_reference_name="folder").as_mount(),
        store.path("referred/deep").as_download(),
        store.path("referred").path("deep/n.txt").as_download(),
        store.as_mount(),
        store.path("referred/nothing").as_mount(),
    ]
    placed = store.path("referred/deep").as_download(path_on_compute="placed")
    written = [
        store.path("uploaded/folder").as_upload(path_on_compute="made"),
        store.path("uploaded/kept.txt").as_upload(path_on_compute="outputs/kept.txt", overwrite=True),
    ]
    configuration = RunConfiguration()
    configuration.target, configuration.environment = compute.name, here
    configuration.data_references = {each.data_reference_name: each.to_config() for each in (*read, placed, *written)}
    arguments = [str(each) for each in (*read, written[0])]
    run = experiment.submit(
        ScriptRunConfig(str(tmp_path / "job"), "script.py", arguments=arguments, run_config=configuration)
    )
    estimator = Estimator(
        str(tmp_path / "job"),
        entry_script="script.py",
        inputs=[*read, placed],
        compute_target=compute,
        environment_definition=here,
    )
    estimator.run_config.arguments = arguments[:5]
    estimated = experiment.submit(estimator)
    expected = {"folder": 7, "part": 7, "file": 7, "whole": 7, "none": 0, "placed": 7, "variable": True}
    for each in (run, estimated):
        each.wait_for_completion()
        assert each.get_metrics() == expected
    # What was written to a mounted folder is in the datastore; what wasn't changed has not been copied again.
    assert store.download(str(tmp_path / "back"), "referred", show_progress=False) == 3
    assert (tmp_path / "back" / "referred" / "deep" / "new.txt").read_text() == "new"
    assert (tmp_path / "back" / "referred" / "nothing" / "first.txt").read_text() == "first"
    node = run.get_details_with_logs()["logFiles"]["system_logs/local_node.txt"]
    assert "Output folder: 1 files (mount) at referred_to/referred" in node
    assert store.download(str(tmp_path / "back"), "uploaded", show_progress=False) == 2
    assert (tmp_path / "back" / "uploaded" / "folder" / "made.txt").read_text() == "made"
    assert (tmp_path / "back" / "uploaded" / "kept.txt").read_text() == "kept"
    store.unregister()


def test_data_reference_to_a_datastore_that_is_not_there_is_refused_at_submission(
    experiment: Any, compute: Any, here: Any, workspace: Any, tmp_path: Path
) -> None:
    from azureml.core import RunConfiguration, ScriptRunConfig
    from azureml.core.runconfig import DataReferenceConfiguration

    (tmp_path / "script.py").write_text("")
    configuration = RunConfiguration()
    configuration.target, configuration.environment = compute.name, here
    for wrong, words in (
        ({"datastore_name": "elsewhere"}, "no datastore 'elsewhere'"),
        ({"datastore_name": store_name(workspace), "path_on_datastore": "a/../../b"}, "no path in a datastore"),
    ):
        configuration.data_references = {"wrong": DataReferenceConfiguration(**wrong)}
        with pytest.raises(Exception, match=words):
            experiment.submit(ScriptRunConfig(str(tmp_path), "script.py", run_config=configuration))


def store_name(workspace: Any) -> str:
    return str(workspace.get_default_datastore().name)


@pytest.mark.sdk_refused("FileDataset.as_hdfs", "DatasetConsumptionConfig.as_hdfs")
def test_hdfs_mode_is_refused(experiment: Any, compute: Any, here: Any, workspace: Any, tmp_path: Path) -> None:
    from azureml.core import Dataset, ScriptRunConfig

    (tmp_path / "script.py").write_text("")
    data = Dataset.File.from_files((workspace.get_default_datastore(), "parts/*"), validate=False)
    for given in (data.as_hdfs(), data.as_named_input("parts").as_hdfs()):
        job = ScriptRunConfig(str(tmp_path), "script.py", [given], compute_target=compute, environment=here)
        with pytest.raises(Exception, match="asks for 'hdfs'; it must be mount, download or direct"):
            experiment.submit(job)
