"""Short folders of runs: private, found again, and removed, but nothing else."""

from __future__ import annotations

import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from azureml_local.runtime.supervisor import remove_short_folder
from azureml_local.storage import short_folders


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary files are; its own path may be long."""
    place = tmp_path / "temporary"
    place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    monkeypatch.setattr(short_folders, "LONGEST_BASE", 1000)
    return place


def test_short_folder_is_private_and_goes_with_all_that_is_in_it(tmp_path: Path, place: Path) -> None:
    made = short_folders.make(tmp_path)
    assert made.parent == place
    assert stat.S_IMODE(made.stat().st_mode) == 0o700
    assert short_folders.find(tmp_path) == made
    (made / "deep").mkdir()
    (made / "deep" / "file").touch()
    (made / "deep").chmod(0o555)
    assert short_folders.make(tmp_path) != made  # that of a server that was killed
    assert not made.exists()
    short_folders.remove(tmp_path)
    assert list(place.iterdir()) == []
    assert not (tmp_path / "short").is_symlink()


def test_long_place_of_temporary_files_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / ("x" * 50)))
    made = short_folders.make(tmp_path)
    assert len(str(made)) < 30
    short_folders.remove(tmp_path)
    assert not made.exists()


def test_name_that_is_taken_is_left_alone(tmp_path: Path, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (place / "azl-00000000").mkdir(mode=0o755)
    names = iter(["00000000", "11111111"])
    monkeypatch.setattr("secrets.token_hex", lambda _: next(names))
    assert short_folders.make(tmp_path).name == "azl-11111111"
    assert (place / "azl-00000000").exists()


@pytest.mark.parametrize("elsewhere", ["{}/other", "{}/link/azl-00000000", "azl-00000000", "{}/x/../azl-00000000/"])
def test_link_that_a_job_has_changed_removes_nothing(tmp_path: Path, place: Path, elsewhere: str) -> None:
    for name in ("other", "azl-00000000"):
        (place / name).mkdir()
    (place / "link").mkdir()
    (place / "link" / "azl-00000000").symlink_to(place / "other")
    (tmp_path / "short").symlink_to(elsewhere.format(place))
    remove_short_folder(str(tmp_path))
    assert short_folders.find(tmp_path) is None
    short_folders.remove(tmp_path)
    assert (place / "other").exists()
    assert (place / "azl-00000000").exists()


def test_short_folder_of_a_run_that_is_gone_is_swept_and_others_stay(tmp_path: Path, place: Path) -> None:
    gone, used, alive = (tmp_path / name for name in ("gone", "used", "alive"))
    made = []
    for folder in (gone, used, alive):
        folder.mkdir()
        made.append(short_folders.make(folder))
    (place / "azl-0000000x").mkdir()
    (place / "azl-00000000").mkdir()  # no run's: somebody else's of that name
    for folder in (gone, used):
        short_folders.remove_tree(folder)
    with short_folders.in_use(made[1]):
        assert short_folders.sweep() == 1
    assert [each.exists() for each in made] == [False, True, True]
    assert short_folders.sweep() == 1
    assert sorted(each.name for each in place.iterdir()) == sorted([made[2].name, "azl-00000000", "azl-0000000x"])


def test_short_folder_of_a_job_that_never_began_goes_with_its_killed_server(tmp_path: Path, place: Path) -> None:
    """Its supervisor is told by the end of the pipe, and removes it; a later server may never come."""
    run = tmp_path / "run"
    run.mkdir()
    made = short_folders.make(run)
    code = (
        "import os, sys\nfrom pathlib import Path\nfrom azureml_local.runtime.process import JobProcess\n"
        "run = Path(sys.argv[1])\n"
        "JobProcess.spawn(['true'], cwd=run, environment={}, log=run / 'log', status_file=run / 'exit_status')\n"
        "os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code, str(run)], check=False)
    deadline = time.monotonic() + 30
    while made.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not made.exists()
    assert not (run / "exit_status").exists()
