"""Addresses of the web that a folder of this machine stands for: in clients, in jobs, and on the command line."""

from __future__ import annotations

import os
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from azureml_local.client.instance import LocalServer, ServerError

HOST = "https://data.azureml-local.invalid"
CLIENT = """
from azureml.core import Dataset, Workspace
ws = Workspace(*{names!r})
table = Dataset.Tabular.from_delimited_files({host!r} + "/sets/t.csv")
print("sum", int(table.to_pandas_dataframe()["n"].sum()))
table.register(ws, "mirrored-table", create_new_version=True)
files = Dataset.File.from_files("wasbs://sets@data.azureml-local.invalid/deep/*.csv")
print("files", len(files.to_path()))
files.register(ws, "mirrored-files", create_new_version=True)
Dataset.File.from_files({host!r} + "/sets/t.csv").register(ws, "mirrored-file", create_new_version=True)
"""
JOB = """
    import sys
    from pathlib import Path
    from azureml.core import Run

    run = Run.get_context(allow_offline=False)
    run.log("file", Path(sys.argv[1]).read_text())
    run.log("place", "/".join(Path(sys.argv[1]).parts[-3:]))
    run.log("files", " ".join(sorted(path.name for path in Path(sys.argv[2]).rglob("*.csv"))))
    run.log("table", int(run.input_datasets["table"].to_pandas_dataframe()["n"].sum()))
"""


@pytest.fixture
def mirror(server: LocalServer, tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "mirror"
    (folder / "sets" / "deep").mkdir(parents=True)
    for name in ("t.csv", "deep/a.csv", "deep/b.csv"):
        (folder / "sets" / name).write_text("n\n1\n2\n")
    command = [Path(sys.executable).with_name("azureml-local"), "up", "--state", server.folder.root]
    subprocess.run([*command, "--mirror", f"{HOST}={folder}"], cwd=tmp_path, check=True, capture_output=True)
    yield folder
    subprocess.run([*command, "--mirror", f"{HOST}="], cwd=tmp_path, check=True, capture_output=True)
    assert server.mirrors() == []


@pytest.mark.slow
def test_clients_and_jobs_read_a_mirrored_address_from_the_folder(
    server: LocalServer, workspace: Any, mirror: Path, submit: Callable[..., Any], tmp_path: Path
) -> None:
    from azureml.core import Dataset

    status = [Path(sys.executable).with_name("azureml-local"), "status", "--state", server.folder.root]
    said = subprocess.run(status, check=True, capture_output=True, text=True).stdout
    assert f"{HOST} is read from {mirror}" in " ".join(said.split())

    names = workspace.subscription_id, workspace.resource_group, workspace.name
    program = CLIENT.format(names=names, host=HOST)
    environment = {**os.environ, **server.variables(os.environ)}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program], env=environment, check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert {"sum 3", "files 2"} <= set(done.stdout.splitlines())

    table, files, file = (Dataset.get_by_name(workspace, f"mirrored-{kind}") for kind in ("table", "files", "file"))
    run = submit(JOB, [file.as_mount(), files.as_download(), table.as_named_input("table")])
    run.wait_for_completion()
    assert run.get_metrics() == {
        "file": "n\n1\n2\n",
        "place": f"{'%2F'}{HOST.partition('//')[2]}/sets/t.csv",
        "files": "a.csv b.csv",
        "table": 3,
    }
    # The datasets have the address itself: without the mirror it is the web's.
    for saved in server.folder.root.glob("workspace.sqlite3*"):
        assert b"/opendata/mirror/" not in saved.read_bytes()


@pytest.mark.case("sign-in-address", "path-traversal")
def test_files_of_a_mirror_are_only_for_who_knows_the_address(server: LocalServer, mirror: Path) -> None:
    import httpx

    [served] = [each["served"] for each in server.mirrors()]
    trust = ssl.create_default_context(cafile=str(server.folder.tls / "ca.pem"))
    with httpx.Client(verify=trust, trust_env=False) as anonymous:
        assert anonymous.get(f"{served}/sets/t.csv").text == "n\n1\n2\n"
        assert anonymous.get(f"{served}/sets/t.csv", headers={"Range": "bytes=2-2"}).text == "1"
        key = served.split("/")[-2]
        for other in (key[:-1], "x", key[::-1]):
            assert anonymous.get(f"{served.replace(key, other)}/sets/t.csv").status_code == 401
        for rest in ("sets/none.csv", "..%2f..%2fetc%2fpasswd", "%2e%2e/x", "sets", ""):
            assert anonymous.get(f"{served}/{rest}").status_code == 404, rest
        assert anonymous.get(f"{served[:-1]}/sets/t.csv").status_code == 404
    with pytest.raises(ServerError, match="no address that a folder can stand for"):
        server.mirror("ftp://x", mirror)
    with pytest.raises(ServerError, match="no folder of this machine"):
        server.mirror(HOST, mirror / "none")


def test_up_with_a_mirror_that_is_none_is_refused_before_it_starts(tmp_path: Path) -> None:
    program, state = Path(sys.executable).with_name("azureml-local"), tmp_path / "state"
    command = [program, "up", "--state", state, "--mirror", "folder"]
    done = subprocess.run(command, cwd=tmp_path, check=False, capture_output=True, text=True)
    assert done.returncode == 2
    assert "URL=FOLDER" in done.stderr
    assert not state.exists()
