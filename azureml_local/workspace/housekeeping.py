"""Cleanup at a server's start of what a killed one left behind."""

from __future__ import annotations

import contextlib
import os
import time
from datetime import datetime, timezone

from sqlalchemy import delete, select

from azureml_local.storage import short_folders
from azureml_local.storage.clock import mark, seconds_since_mark, text_of
from azureml_local.storage.folder import BACKUP_SCRATCH
from azureml_local.storage.inspection import blob_files_in
from azureml_local.storage.locks import try_lock
from azureml_local.storage.tables import Blob, Block, Run
from azureml_local.storage.trees import remove_tree
from azureml_local.workspace import Workspace
from azureml_local.workspace.runs import FINAL

# As the blob service: blocks that no block list has committed are dropped after a week.
BLOCKS_KEPT = 7 * 24 * 3600.0
# When servers were started on this store, newest last (`clock.mark`), so far apart.
STARTS, STARTS_APART = "starts", 24 * 3600.0


def clean(workspace: Workspace) -> None:
    """Remove uncommitted blocks that are older than a week, files of no blob, folders of ended runs, short folders of
    runs that are gone, and what a backup left that was killed.

    Only while nobody writes to the store: a file that is being uploaded has no row yet.
    """
    if (before := _week_ago(workspace)) is not None:
        with workspace.database.write() as session:
            session.execute(delete(Block).where(Block.created < before))
    with workspace.database.read() as session:
        named = {*session.scalars(select(Blob.file)), *session.scalars(select(Block.file))}
        # Files of a job that could not be kept are the user's to move.
        ended = {
            run_id
            for run_id, process in session.execute(select(Run.id, Run.process).where(Run.status.in_(FINAL)))
            if not (process or {}).get("left")
        }
    for file in blob_files_in(workspace.folder.blobs):
        if file not in named:
            with contextlib.suppress(OSError):  # it is in nobody's way, and is tried again at the next start
                (workspace.folder.blobs / file).unlink()
    for folder in workspace.folder.runs.iterdir():
        if folder.name in ended:
            short_folders.remove(folder)
            remove_tree(folder)
    short_folders.sweep()
    for scratch in workspace.folder.root.glob(BACKUP_SCRATCH + "*"):
        try:
            descriptor = os.open(scratch, os.O_RDONLY)
        except FileNotFoundError:  # it has just been made
            continue
        try:
            if try_lock(descriptor):  # a backup that goes on has it
                remove_tree(scratch)
        finally:
            os.close(descriptor)


def _week_ago(workspace: Workspace) -> str | None:
    """What was made before this time is older than a week; None where nothing is known to be.

    It is the time of a start that was so long ago. The present minus a week would, after the clock has stepped forward
    by days, be later than the blocks of an upload that goes on.
    """
    # Those to come were noted while the clock was wrong.
    starts = [each for each in workspace.database.setting(STARTS) or [] if each["time"] <= time.time()]
    old = [each for each in starts if seconds_since_mark(each) > BLOCKS_KEPT]
    if not starts or seconds_since_mark(starts[-1]) >= STARTS_APART:
        young = [each for each in starts if each not in old]
        workspace.database.set_setting(STARTS, [*old[-1:], *young, mark()])
    return text_of(datetime.fromtimestamp(old[-1]["time"], timezone.utc)) if old else None
