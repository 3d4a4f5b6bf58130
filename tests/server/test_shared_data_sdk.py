"""Runs that read the same dataset share its files, through the real SDK: fetched once, read-only, never stale."""

from __future__ import annotations

import os
import re
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

# What a script sees of a folder: each file by what the ways to walk there agree on, with its identity on the disk.
LOOK = """
    import glob, os, subprocess, sys
    from pathlib import Path
    from azureml.core import Run

    run = Run.get_context()

    def look(name, folder):
        folder = str(folder)
        found = sorted(os.path.join(root, file) for root, _, files in os.walk(folder) for file in files)
        assert found == sorted(str(path) for path in Path(folder).rglob("*") if path.is_file())
        assert found == sorted(path for path in glob.glob(folder + "/**", recursive=True) if os.path.isfile(path))
        for path in found:
            run.log(f"{name} {os.path.relpath(path, folder)}", os.stat(path).st_ino)
            print(name, os.path.relpath(path, folder), open(path).read())
        return found
"""


@pytest.fixture
def upload(workspace: Any, tmp_path: Path, request: pytest.FixtureRequest) -> Callable[..., Any]:
    """Put files into the datastore, in a folder for each test. Returns a dataset of all of them."""
    from azureml.core import Dataset

    store, place = workspace.get_default_datastore(), f"shared/{request.node.name}"

    def put(**files: str) -> Any:
        (tmp_path / "files" / "deep").mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (tmp_path / "files" / "deep" / f"{name}.txt").write_text(text)
        store.upload(str(tmp_path / "files"), place, overwrite=True, show_progress=False)
        return Dataset.File.from_files((store, f"{place}/**"))

    return put


@pytest.fixture
def ended(submit: Callable[..., Any]) -> Callable[..., Any]:
    """Run a script to its end. Returns its metrics, what it printed, and what its node said of its inputs."""

    def run_it(text: str, *arguments: Any) -> tuple[dict[str, Any], str, list[str]]:
        run = submit(textwrap.dedent(LOOK) + textwrap.dedent(text), list(arguments))
        run.wait_for_completion(show_output=False, raise_on_error=False)
        logs = run.get_details_with_logs()["logFiles"]
        assert run.get_status() == "Completed", logs
        node = re.findall(r"^\S+ (Input .*)$", logs["system_logs/local_node.txt"], re.MULTILINE)
        return run.get_metrics(), logs["user_logs/std_log.txt"], node

    return run_it


@pytest.mark.slow
def test_two_runs_of_one_dataset_fetch_it_once(ended: Callable[..., Any], upload: Callable[..., Any]) -> None:
    data = upload(a="one", b="two")
    script = "look('x', sys.argv[1])"
    first, said, node = ended(script, data.as_named_input("x").as_mount())
    assert node[0] == "Input x"  # the SDK's engine fetches it
    assert re.fullmatch(r"Input x: 2 files \(mount\) at .*/datasets/.*, shared \(fetched now\)", node[-1])
    assert "x deep/a.txt one" in said
    again, _, node = ended(script, data.as_named_input("x").as_mount())
    assert len(node) == 1
    assert node[0].endswith("shared (fetched before)")
    assert set(first) == {"x deep/a.txt", "x deep/b.txt"}
    assert again == first  # one file on the disk, and no copy of it
    # What has changed is seen, and only that has to be fetched anew: not the dataset, which knows no files.
    upload(b="three")
    changed, said, node = ended(script, data.as_named_input("x").as_mount())
    assert node[-1].endswith("shared (fetched now)")
    assert "x deep/b.txt three" in said
    assert set(changed) == set(first)
    assert not {*changed.values()} & {*first.values()}


TRY_TO_WRITE = """
    for path in (sys.argv[1] + "/new.txt", look("x", sys.argv[1])[0]):
        try:
            open(path, "w").write("spoilt")
        except PermissionError:
            print("not allowed")
    copy = look("y", sys.argv[2])[0]
    open(copy, "a").write(" and mine")
    os.rename(copy, sys.argv[2] + "/renamed.txt")
    look("z", sys.argv[2])
"""


@pytest.mark.slow
def test_a_mount_is_read_only_and_a_download_is_the_jobs_own(
    ended: Callable[..., Any], upload: Callable[..., Any]
) -> None:
    data = upload(a="one")
    inputs = [data.as_named_input("x").as_mount(), data.as_named_input("y").as_download()]
    first, said, node = ended(TRY_TO_WRITE, *inputs)
    assert node[-1].endswith("a copy of what is shared (fetched now)")
    assert len(node) == 3  # both were fetched at once
    assert first["x deep/a.txt"] != first["y deep/a.txt"] == first["z renamed.txt"]
    assert "z renamed.txt one and mine" in said
    if os.geteuid() != 0:
        assert said.count("not allowed") == 2
    # Root isn't bound by modes: what it has written to is not used again.
    second, said, node = ended("look('x', sys.argv[1])", inputs[0])
    assert node[-1].endswith(f"shared (fetched {'now' if os.geteuid() == 0 else 'before'})")
    assert "x deep/a.txt one" in said
    assert set(second) == {"x deep/a.txt"}
    assert (second["x deep/a.txt"] == first["x deep/a.txt"]) == (os.geteuid() != 0)


PLACED = """
    assert sys.argv[1] == os.path.abspath("data/in") and os.path.islink("data/in")
    assert look("inside", "data/in") == ["data/in/deep/a.txt"]
    assert look("beside", sys.argv[2]) and not os.path.islink("data/beside")
    # Another input is in this one, and an output in that one: no shared folder can be there.
    assert sorted(os.listdir("data/beside")) == ["below", "deep"]
    look("below", "data/beside/below")
    assert os.listdir("outputs/in") == ["deep"]
    open("outputs/in/written.txt", "w").write("by the job")
    # The folder that the script itself is in.
    assert os.path.exists("script.py") and look("here", "deep")
    assert open(sys.argv[6]).read() == "one" and sys.argv[6].endswith("/a.txt")
    # Programs that don't follow links see the files too.
    found = subprocess.run(["find", sys.argv[7], "-type", "f"], capture_output=True, text=True).stdout
    assert found == sys.argv[7] + "/deep/a.txt\\n"
"""


@pytest.mark.slow
def test_mount_is_at_the_path_that_was_asked_for(
    ended: Callable[..., Any], upload: Callable[..., Any], workspace: Any
) -> None:
    from azureml.core import Dataset

    data = upload(a="one")
    store = workspace.get_default_datastore()
    file = Dataset.File.from_files((store, "shared/test_mount_is_at_the_path_that_was_asked_for/deep/a.txt"))
    places = ["data/in", "data/beside", "data/beside/below", "outputs/in", "."]
    inputs = [data.as_named_input(f"i{n}").as_mount(place) for n, place in enumerate(places)]
    inputs += [file.as_named_input("single").as_mount(), data.as_named_input("usual").as_mount()]
    metrics, _, node = ended(PLACED, *inputs)
    shared = [line.split(":")[0] for line in node if "shared (" in line and "copy" not in line]
    assert shared == ["Input i0", "Input single", "Input usual"]
    assert metrics["inside deep/a.txt"] != metrics["beside deep/a.txt"]


@pytest.mark.slow
def test_web_dataset_is_fetched_for_each_run(ended: Callable[..., Any], submit: Callable[..., Any]) -> None:
    """A URL's files can't be known to be unchanged, whoever serves them."""
    from azureml.core import Dataset

    run = submit("open('outputs/x.txt', 'w').write('one')")
    run.wait_for_completion()
    url = run._client.artifacts.get_artifact_uri("ExperimentRun", run._container, "outputs/x.txt")
    data = Dataset.File.from_files(url, validate=False).as_named_input("x").as_mount()
    for _ in range(2):
        _, said, node = ended("look('x', sys.argv[1])", data)
        assert node[0] == "Input x"
        assert node[-1].endswith("/inputs/x")
        assert re.search(r"^x x\.txt\S* one$", said, re.MULTILINE)


def test_input_unavailable_fails_the_run_with_its_name_and_the_reason(
    workspace: Any, submit: Callable[..., Any]
) -> None:
    from azureml.core import Dataset

    gone = Dataset.File.from_files((workspace.get_default_datastore(), "there/never/was.csv"), validate=False)
    run = submit("print('never printed')", [gone.as_named_input("table").as_mount()])
    run.wait_for_completion(show_output=False, raise_on_error=False)
    assert run.get_status() == "Failed"
    message = run.get_details()["error"]["error"]["message"]
    assert message.startswith("The input 'table' could not be downloaded for the job: ")
    assert "was.csv" in message or "NotFound" in message or "not found" in message.lower()
    assert "Cleanup" not in message
