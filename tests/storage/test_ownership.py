"""What another user of the machine owns is never used, and what is ours is closed to others."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest

from azureml_local.client.config import ConfigError, write_default
from azureml_local.client.instance import LocalServer
from azureml_local.storage.folder import FOLDER_NAME, StateFolder, StateFolderError
from azureml_local.storage.ownership import ForeignFolder, private_folder, trusted_users

OTHER = 31337
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to another user")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.case("planted-state")
@as_root
def test_locate_passes_over_another_users_state_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AZUREML_LOCAL_STATE", raising=False)
    planted, project = tmp_path / FOLDER_NAME, tmp_path / "home" / "project"
    planted.mkdir()
    os.chown(planted, OTHER, OTHER)
    project.mkdir(parents=True)
    assert StateFolder.locate(project).root == project / FOLDER_NAME
    os.chown(planted, 0, 0)
    assert StateFolder.locate(project).root == planted


@pytest.mark.case("planted-state")
@as_root
@pytest.mark.parametrize("planted", ["", "secrets.json", "tls", "workspace.sqlite3"])
def test_state_folder_with_something_of_another_user_is_refused(tmp_path: Path, planted: str) -> None:
    folder = StateFolder(tmp_path / "state")
    folder.create()
    secrets = folder.secrets()
    path = folder.root / planted
    path.touch()
    os.chown(path, OTHER, OTHER)
    for use in (folder.create, folder.secrets, lambda: LocalServer.find(folder)):
        with pytest.raises(StateFolderError, match=rf"{path} belongs to another user.*--state"):
            use()
    os.chown(path, 0, 0)
    assert StateFolder(folder.root).secrets() == secrets


def test_state_folder_is_checked_while_its_server_replaces_files(tmp_path: Path) -> None:
    folder = StateFolder(tmp_path / "state")
    folder.create()
    ended = threading.Event()

    def replace() -> None:
        while not ended.is_set():
            (folder.root / "server.json.new").write_text("{}")
            (folder.root / "server.json.new").replace(folder.root / "server.json")

    writer = threading.Thread(target=replace)
    writer.start()
    try:
        for _ in range(300):
            folder.create()
    finally:
        ended.set()
        writer.join()


@pytest.mark.case("planted-state")
@as_root
def test_state_folder_that_is_another_users_link_is_refused(tmp_path: Path) -> None:
    StateFolder(tmp_path / "real").create()
    link = tmp_path / "state"
    link.symlink_to(tmp_path / "real")
    os.chown(link, OTHER, OTHER, follow_symlinks=False)
    with pytest.raises(StateFolderError, match="another user"):
        StateFolder(link).create()


@as_root
def test_sudo_trusts_its_caller_and_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUDO_UID", str(OTHER))
    assert trusted_users() == {0, OTHER}
    monkeypatch.setenv("SUDO_UID", "-1")
    assert trusted_users() == {0}


@pytest.mark.case("planted-state")
@pytest.mark.parametrize("found", [0o755, 0o777, 0o750])
def test_state_folder_that_is_there_and_open_is_closed(tmp_path: Path, found: int) -> None:
    folder = StateFolder(tmp_path / "state")
    folder.root.mkdir()
    folder.root.chmod(found)
    folder.create()
    assert mode(folder.root) == 0o700
    folder.root.chmod(found)  # of a store that holds something
    folder.secrets()
    assert mode(folder.root) == 0o700


def test_open_folder_with_other_things_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    folder = StateFolder(tmp_path / "home")
    folder.root.mkdir()
    folder.root.chmod(0o755)
    (folder.root / "thesis.tex").touch()
    with pytest.raises(StateFolderError, match=r"is open to other users.*is no state folder.*--state"):
        folder.create()
    assert mode(folder.root) == 0o755
    assert [path.name for path in folder.root.iterdir()] == ["thesis.tex"]


@as_root
def test_cache_of_another_user_is_refused_and_an_open_one_closed(tmp_path: Path) -> None:
    cache = tmp_path / "cache" / "environments"
    assert mode(private_folder(cache)) == 0o700
    cache.chmod(0o777)
    assert mode(private_folder(cache)) == 0o700
    os.chown(cache, OTHER, OTHER)
    with pytest.raises(ForeignFolder, match="belongs to another user"):
        private_folder(cache)


def test_new_config_json_is_never_written_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "config.json").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigError, match="can't be written"):
        write_default(tmp_path)
    assert not (tmp_path / "elsewhere").exists()
