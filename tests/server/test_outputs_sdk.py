"""Output datasets of jobs (OutputFileDatasetConfig), through the real SDK."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

WRITE = """
    import os, sys
    from pathlib import Path
    import pyarrow.parquet
    from azureml.core import Run

    uploaded, mounted, table, frame = map(Path, sys.argv[1:5])
    outputs = Run.get_context().output_datasets
    assert outputs == {
        "result": str(uploaded), "mounted": str(mounted), "table": str(table), "frame": str(frame)
    }, outputs
    assert os.environ["result"] == str(uploaded)
    (uploaded / "deep").mkdir()
    (uploaded / "deep" / "a.txt").write_text("first")
    (uploaded / "left.out").write_text("no")
    (mounted / "b.bin").write_bytes(bytes(1000))
    (table / "t.csv").write_text("name,height\\nann,1.70\\nbob,1.80\\n")
    pyarrow.parquet.write_table(pyarrow.table({"name": ["cyd"]}), frame / "part-0.parquet")
    os.symlink("/etc/passwd", mounted / "link")
"""


@pytest.mark.slow
@pytest.mark.sdk(
    "OutputFileDatasetConfig.as_upload",
    "OutputFileDatasetConfig.as_mount",
    "OutputFileDatasetConfig.register_on_complete",
    "OutputFileDatasetConfig.read_delimited_files",
    "OutputFileDatasetConfig.read_parquet_files",
    "Run.get_details",
)
def test_job_outputs_become_datasets(
    submit: Callable[..., Any], workspace: Any, tmp_path: Path, wait_for: Callable[..., Any]
) -> None:
    from azureml.core import Dataset
    from azureml.data import OutputFileDatasetConfig

    store = workspace.get_default_datastore()
    place = (store, "results/{run-id}/{output-name}")
    uploaded = OutputFileDatasetConfig("result", destination=place).as_upload(source_globs=["*.txt"])
    mounted = (
        OutputFileDatasetConfig("mounted").as_mount().register_on_complete("mounted-results", "what it is", {"a": "b"})
    )
    # In this order: the SDK forgets a registration that is asked for after read_delimited_files.
    table = OutputFileDatasetConfig("table").register_on_complete("heights").read_delimited_files()
    frame = OutputFileDatasetConfig("frame").register_on_complete("frame").read_parquet_files()
    run = submit(WRITE, [uploaded, mounted, table, frame])
    run.wait_for_completion()
    wait_for(lambda: run.get_status() == "Completed")

    lineage = {item["outputDetails"]["outputName"]: item for item in run.get_details()["outputDatasets"]}
    assert {name: item["outputDetails"]["mechanism"] for name, item in lineage.items()} == {
        "result": "Upload",
        "mounted": "Mount",
        "table": "Mount",
        "frame": "Mount",
    }
    assert lineage["result"]["dataset"].to_path() == ["/deep/a.txt"]
    assert lineage["result"]["identifier"].get("registeredId") is None
    assert store.download(str(tmp_path), f"results/{run.id}", show_progress=False) == 1
    assert (tmp_path / "results" / run.id / "result" / "deep" / "a.txt").read_text() == "first"

    registered = Dataset.get_by_name(workspace, "mounted-results")
    assert registered.id == lineage["mounted"]["identifier"]["savedId"]
    assert (registered.version, registered.description, registered.tags) == (1, "what it is", {"a": "b"})
    assert registered.to_path() == ["/b.bin"]
    heights = Dataset.get_by_name(workspace, "heights").to_pandas_dataframe()
    assert list(heights["name"]) == ["ann", "bob"]
    assert list(Dataset.get_by_name(workspace, "frame").to_pandas_dataframe()["name"]) == ["cyd"]


@pytest.mark.slow
@pytest.mark.sdk("OutputFileDatasetConfig.as_upload")
def test_job_output_of_a_failed_run_is_not_uploaded_and_overwriting_fails_the_run(
    submit: Callable[..., Any], workspace: Any
) -> None:
    from azureml.data import OutputFileDatasetConfig

    store = workspace.get_default_datastore()
    script = """
        import sys
        from pathlib import Path
        (Path(sys.argv[1]) / "a.txt").write_text("x")
        (Path("by-path") / "b.txt").write_text("x")
        sys.exit(int(sys.argv[3]))
    """
    first = OutputFileDatasetConfig("first", (store, "overwriting")).as_upload()
    second = OutputFileDatasetConfig("second", (store, "by-path"), source="by-path").as_mount()
    failed = submit(script, [first, second, 3])
    failed.wait_for_completion(raise_on_error=False)
    container = store.blob_service.get_container_client(store.container_name)
    names = [item["outputDetails"]["outputName"] for item in failed.get_details()["outputDatasets"]]
    assert (failed.get_status(), names) == ("Failed", ["second"])
    assert [blob.name for blob in container.list_blobs("by-path/")] == ["by-path/b.txt"]

    submit(script, [first, second, 0]).wait_for_completion()
    again = submit(script, [first, second, 0])
    again.wait_for_completion(raise_on_error=False)
    assert again.get_status() == "Failed"
    assert "as_upload(overwrite=True)" in again.get_details()["error"]["error"]["message"]
