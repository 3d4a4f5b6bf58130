"""What a server that was killed left behind is cleared away when the next one starts."""

from __future__ import annotations

import contextlib
import time
from datetime import datetime, timedelta, timezone

from sqlalchemy import delete, select

from azureml_local.storage.clock import text_of
from azureml_local.storage.inspection import blob_files_in
from azureml_local.storage.tables import Blob, Block, Run
from azureml_local.storage.trees import remove_tree
from azureml_local.workspace import Workspace
from azureml_local.workspace.runs import FINAL

# As the blob service: blocks that no block list has committed are dropped after a week.
BLOCKS_KEPT = timedelta(days=7)
BACKUP_TAKES = timedelta(days=1)


def clean(workspace: Workspace) -> None:
    """Remove uncommitted blocks that are older than a week, files of no blob, and folders of ended runs.

    Only while nobody writes to the store: a file that is being uploaded has no row yet.
    """
    with workspace.database.write() as session:
        session.execute(delete(Block).where(Block.created < text_of(datetime.now(timezone.utc) - BLOCKS_KEPT)))
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
            remove_tree(folder)
    for scratch in workspace.folder.root.glob(".backup-*"):  # of a backup that was killed
        with contextlib.suppress(FileNotFoundError):
            if scratch.stat().st_mtime < time.time() - BACKUP_TAKES.total_seconds():
                remove_tree(scratch)
