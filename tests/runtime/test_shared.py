"""Folders that several jobs share: made once, kept while somebody uses them, removed when nobody does."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from azureml_local.runtime.shared import FORMER_KEPT_SECONDS, KEPT_SECONDS, NotShared, SharedFolders, Use
from azureml_local.storage.trees import make_removable, remove_tree

KEY, NEWER, OTHER = "flow-1", "flow-2", "another-1"


class Folders:
    """Shared folders, and what a test does with them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.shared = SharedFolders(root)
        self.cancelled = threading.Event()
        self.waited = threading.Event()

    def use(self, stack: ExitStack, key: str = KEY) -> Use:
        use = stack.enter_context(self.shared.use(key, self.cancelled, self.waited.set))
        assert use is not None
        return use

    def make(self, key: str = KEY, text: str = "made") -> None:
        with ExitStack() as stack:
            use = self.use(stack, key)
            (use.unfinished / "deep").mkdir()
            (use.unfinished / "deep" / "file").write_text(text)
            use.publish()

    def found(self, key: str = KEY) -> bool:
        with ExitStack() as stack:
            return self.use(stack, key).found

    def age(self, seconds: float, key: str = KEY) -> None:
        os.utime(self.root / f"{key}.lock", (time.time() - seconds,) * 2)

    def names(self) -> set[str]:
        return {path.name for path in self.root.iterdir() if path.suffix != ".lock"}


@pytest.fixture
def folders(tmp_path: Path) -> Iterator[Folders]:
    yield Folders(tmp_path / "datasets")
    remove_tree(tmp_path / "datasets")


def test_shared_folder_is_made_once_while_others_wait(folders: Folders) -> None:
    found: list[bool] = []
    with ExitStack() as stack:
        use = folders.use(stack)
        assert not use.found
        others = [threading.Thread(target=lambda: found.append(folders.found())) for _ in range(3)]
        for other in others:
            other.start()
        assert folders.waited.wait(10)
        (use.unfinished / "file").write_text("once")
        assert (found, use.folder.exists()) == ([], False)
        use.publish()
        # Its maker goes on using it; so can all others.
        for other in others:
            other.join(10)
    assert found == [True] * 3
    assert (use.folder / "file").read_text() == "once"
    assert folders.names() == {KEY}


def test_shared_folder_waiter_can_be_cancelled(folders: Folders) -> None:
    with ExitStack() as stack:
        folders.use(stack)
        folders.cancelled.set()
        assert stack.enter_context(folders.shared.use(KEY, folders.cancelled, folders.waited.set)) is None


def test_shared_folder_failed_leaves_nothing_and_is_made_by_the_next(folders: Folders) -> None:
    def fail() -> None:
        with ExitStack() as stack:
            (folders.use(stack).unfinished / "half").write_text("")
            raise OSError("no network")

    with pytest.raises(OSError, match="no network"):
        fail()
    assert folders.names() == set()
    assert not folders.found()
    folders.make()
    assert folders.found()


KILLED = """
import sys, threading, time
from pathlib import Path
from azureml_local.runtime.shared import SharedFolders
with SharedFolders(Path(sys.argv[1])).use(sys.argv[2], threading.Event(), print) as use:
    (use.unfinished / "half").write_text("")
    print("begun", flush=True)
    time.sleep(600)
"""


def test_shared_folder_of_a_killed_process_is_released(folders: Folders) -> None:
    for key in (KEY, OTHER):
        words = [sys.executable, "-c", KILLED, str(folders.root), key]
        with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "begun\n"
            folders.shared.sweep()
            assert f"{key}.part" in folders.names()  # it is at work still
            process.kill()
    with ExitStack() as stack:
        use = folders.use(stack)
        assert not any(use.unfinished.iterdir())
        use.publish()
        folders.shared.sweep()
    assert folders.names() == {KEY}
    assert not (folders.root / f"{OTHER}.lock").exists()


def test_shared_folder_unused_for_long_is_removed(folders: Folders) -> None:
    for key in (KEY, NEWER, OTHER):
        folders.make(key)
    for key in (KEY, NEWER, OTHER):
        folders.age(FORMER_KEPT_SECONDS + (60 if key == KEY else 30), key)
    folders.shared.sweep()
    assert folders.names() == {NEWER, OTHER}  # the first one is the former state of the second
    assert folders.found(NEWER)
    folders.age(KEPT_SECONDS + 60, OTHER)
    folders.shared.sweep()
    assert folders.names() == {NEWER}
    assert sorted(path.name for path in folders.root.iterdir()) == [NEWER, f"{NEWER}.lock"]


def test_shared_folder_in_use_is_kept(folders: Folders) -> None:
    folders.make()
    with ExitStack() as stack:
        use = folders.use(stack)
        # A job's supervisor, whose server is killed: only the supervisor has the descriptor then.
        supervisor = subprocess.Popen(["sleep", "600"], pass_fds=[use.descriptor])
    try:
        folders.age(KEPT_SECONDS * 10)
        folders.shared.sweep()
        assert folders.names() == {KEY}
    finally:
        supervisor.kill()
        supervisor.wait()
    folders.shared.sweep()
    assert folders.names() == set()


def test_shared_folder_that_was_modified_is_not_shared_again(folders: Folders) -> None:
    folders.make(text="right")
    with ExitStack() as stack:
        use = folders.use(stack)
        make_removable(use.folder)
        (use.folder / "deep" / "file").chmod(0o600)
        (use.folder / "deep" / "file").write_text("wrong")
        with ExitStack() as another, pytest.raises(NotShared):
            folders.use(another)
    assert not folders.found()
    folders.make(text="right")
    (folders.root / KEY).chmod(0o700)
    (folders.root / KEY / "more").write_text("")
    assert not folders.found()


def test_shared_folder_is_read_only_removable_and_links_to_it_are_only_links(folders: Folders, tmp_path: Path) -> None:
    folders.make()
    shared = folders.root / KEY

    def modes() -> list[int]:
        return [path.stat().st_mode & 0o777 for path in (shared, shared / "deep", shared / "deep" / "file")]

    assert modes() == [0o555, 0o555, 0o444]
    if os.geteuid() != 0:
        with pytest.raises(PermissionError):
            (shared / "more").write_text("")
    run = tmp_path / "run"
    (run / "locked").mkdir(parents=True)
    for link in (run / "link", run / "locked" / "link"):
        link.symlink_to(shared)
    (run / "locked").chmod(0o555)
    remove_tree(run)
    assert not run.exists()
    assert modes() == [0o555, 0o555, 0o444]
    (tmp_path / "link").symlink_to(shared)
    remove_tree(tmp_path / "link")
    assert (modes(), (shared / "deep" / "file").read_text()) == ([0o555, 0o555, 0o444], "made")
    remove_tree(folders.root)
    assert not folders.root.exists()
