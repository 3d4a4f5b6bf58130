"""Jobs of every kind, through the real SDK: what is asked for is done, said, or refused."""

from __future__ import annotations

import gc
import io
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pytest

Start = Callable[..., Any]

SCRIPT = """
import os, sys
from azureml.core import Run
run = Run.get_context()
run.log("loss", 1)
run.log("loss", 2)
run.tag("words", "|".join(sys.argv[1:]))
os.makedirs("outputs", exist_ok=True)
open("outputs/model", "w").write(os.getcwd())
print("grüße", sys.executable)
"""

# The child waits until its parent's folder has gone, and not only the part of it that the parent deletes.
SUBMIT = """
import os, shutil
from azureml.core import Environment, Run, ScriptRunConfig
here = Environment("here")
here.python.user_managed_dependencies = True
wait = f"while test -e {os.path.dirname(os.getcwd())}; do sleep 0.1; done; ls *.py"
Run.get_context().submit_child(ScriptRunConfig(".", command=wait, compute_target="local", environment=here))
shutil.rmtree(os.getcwd())
"""


@pytest.fixture
def start(experiment: Any, compute: Any, here: Any, tmp_path: Path) -> Iterator[Start]:
    """Submit a ScriptRunConfig of the given parts, from a folder that holds train.py."""
    from azureml.core import ScriptRunConfig

    runs = []

    def submit(**parts: Any) -> Any:
        folder = tmp_path / "source"
        folder.mkdir(exist_ok=True)
        (folder / "train.py").write_text(SCRIPT)
        (folder / "submit.py").write_text(SUBMIT)
        if "run_config" not in parts:
            parts = {"compute_target": compute, "environment": here, **parts}
        runs.append(experiment.submit(ScriptRunConfig(str(folder), **parts)))
        return runs[-1]

    yield submit
    for run in runs:
        if run.get_status() not in ("Completed", "Failed", "Canceled"):
            run.cancel()
    # What the SDK leaves open warns when it is collected: here, where that is expected, and in no other test.
    gc.collect()


def text_of(run: Any, tmp_path: Path, name: str = "user_logs/std_log.txt") -> str:
    run.download_file(name, str(tmp_path / "file"))
    return (tmp_path / "file").read_text()


@pytest.mark.sdk(
    "ScriptRunConfig.command",
    "ScriptRunConfig.run_config",
    "DockerConfiguration",
    "RunConfiguration",
    "RunConfiguration.save",
    "RunConfiguration.load",
)
@pytest.mark.slow
def test_a_command_is_a_line_for_bash_and_what_it_logs_is_kept(
    start: Start, compute: Any, here: Any, tmp_path: Path
) -> None:
    from azureml.core import Dataset
    from azureml.core.runconfig import DockerConfiguration, RunConfiguration

    configuration = RunConfiguration()
    configuration.target = compute
    configuration.environment = here
    configuration.docker = DockerConfiguration(use_docker=True, shm_size="4g", arguments=["--gpus", "all"])
    configuration.environment_variables = {"GREETING": "good  day", "COUNT": 3}
    (tmp_path / ".azureml").mkdir()
    configuration.save(str(tmp_path), "mine")
    configuration = RunConfiguration.load(str(tmp_path), "mine")
    line = ["export", "HALF=$((COUNT/2))", "&&", "python", "train.py", '"$GREETING"', "$HALF", "|", "tee", "copy.txt"]
    data = Dataset.File.from_files("https://localhost/numbers", validate=False).as_named_input("numbers")
    run = start(run_config=configuration, command=[*line, "&&", "cat", "copy.txt", "&&", "echo", data])
    shown = io.StringIO()
    with redirect_stdout(shown):
        run.wait_for_completion(show_output=True)
    assert shown.getvalue().count(f"grüße {sys.executable}") == 2
    assert run.get_details()["inputDatasets"][0]["dataset"].id in shown.getvalue()
    assert run.get_metrics() == {"loss": [1, 2]}
    assert run.get_tags()["words"] == "good  day|1"
    assert "outputs/model" in run.get_file_names()
    node_log = text_of(run, tmp_path, "system_logs/local_node.txt")
    assert "Docker is not used" in node_log
    assert "--gpus" in node_log


# The SDK starts the script of a local run and forgets it (start_background_process).
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.sdk(
    "ScriptRunConfig.script",
    "ScriptRunConfig.arguments",
    "ScriptRunConfig.compute_target",
    "ScriptRun.cancel",
    "Run.clean",
)
@pytest.mark.slow
def test_a_local_run_runs_in_the_clients_folder_and_interpreter(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wait_for: Callable[..., Any]
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))  # where the SDK copies the project to
    words = ["--a", 1, True, -0.5, "ü; $(id)", "x\ny", "-z", ""]
    run = start(script="train.py", arguments=words, compute_target=None)
    forever = start(command="echo up; sleep 600", compute_target="local")
    shown = io.StringIO()
    with redirect_stdout(shown):
        run.wait_for_completion(show_output=True)
    assert f"grüße {sys.executable}" in shown.getvalue()
    assert run.get_tags()["words"] == "|".join(str(word) for word in words)
    assert run.get_metrics() == {"loss": [1, 2]}
    folder = tmp_path / "azureml_runs" / run.id
    assert text_of(run, tmp_path, "outputs/model") == str(folder)
    assert (folder / "outputs" / "model").exists()
    details = run.get_details()
    assert (details["status"], details["target"]) == ("Completed", "local")
    assert details["properties"]["ContentSnapshotId"]
    [said] = run.clean()
    assert str(folder) in said
    assert not folder.exists()
    assert text_of(run, tmp_path, "outputs/model") == str(folder)  # the workspace's own copy

    wait_for(lambda: forever.get_details()["status"] == "Running")
    wait_for(lambda: "up" in text_of(forever, tmp_path))
    forever.cancel()
    wait_for(lambda: forever.get_status() == "Canceled")


@pytest.mark.sdk("Run.submit_child")
@pytest.mark.slow
def test_job_that_deletes_its_folder_and_submits_a_local_run_completes(start: Start, tmp_path: Path) -> None:
    parent = start(script="submit.py")
    parent.wait_for_completion(show_output=False)
    assert "The script has deleted its working folder" in text_of(parent, tmp_path)
    [child] = parent.get_children()
    child.wait_for_completion(show_output=False)
    assert child.parent.id == parent.id
    assert text_of(child, tmp_path).endswith("submit.py\ntrain.py\n")


# The SDK leaves its thread of a refused local submission behind.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_job_arguments_invalid_for_a_process_are_refused_at_submission(start: Start) -> None:
    from azureml.core.runconfig import RunConfiguration
    from azureml.exceptions import ExperimentExecutionException

    for arguments, words in (
        ([1, None], "argument 2 is None"),
        ([["a"]], "argument 1 .* neither text nor a number"),
        (["a\0b"], "null character"),
        ([float("nan")], "not JSON compliant"),
    ):
        with pytest.raises(ExperimentExecutionException, match=words):
            start(script="train.py", arguments=arguments, compute_target="local")
    configuration = RunConfiguration()
    configuration.target = "tests"
    configuration.environment_variables = {"A=B": "1"}
    with pytest.raises(ExperimentExecutionException, match="no name of an environment variable"):
        start(script="train.py", run_config=configuration)
    with pytest.raises(ExperimentExecutionException, match="no compute target 'nowhere'"):
        start(script="train.py", compute_target="nowhere")


def test_job_folder_paths_are_short_enough_for_unix_sockets(
    start: Start, tmp_path: Path, wait_for: Callable[..., Any]
) -> None:
    run = start(
        command="python - <<'END'\n"
        "import multiprocessing, os, pathlib, socket, stat, tempfile\n"
        "with multiprocessing.Manager() as manager:\n"
        "    print(dict(manager.dict(works=True)))\n"
        "for folder in (tempfile.gettempdir(), pathlib.Path.home()):\n"
        "    with socket.socket(socket.AF_UNIX) as made:\n"
        "        made.bind(os.path.join(folder, 'x' * 60))\n"
        "print(oct(stat.S_IMODE(os.stat(os.path.dirname(tempfile.gettempdir())).st_mode)))\n"
        "print('in', os.path.dirname(tempfile.gettempdir()))\n"
        "END"
    )
    run.wait_for_completion()
    text = text_of(run, tmp_path)
    assert "{'works': True}" in text
    assert "0o700" in text
    wait_for(lambda: not Path(text.rpartition("in ")[2].strip()).exists())
