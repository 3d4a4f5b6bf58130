"""Storage of a job's files as artifacts, one by one, with retries while the store can't accept them."""

from __future__ import annotations

import errno
import os
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import BinaryIO

from azureml_local.cluster.runcontext import RunContext
from azureml_local.runtime.left import NAMED, open_left, shown, told
from azureml_local.runtime.patience import passing
from azureml_local.storage.blobs import BlobError
from azureml_local.storage.trouble import Trouble

# Seconds that a run retries at its end to store its files, if the rest of it can be written.
KEEP_SECONDS = 10.0


class OutputCollector:
    """Collector of one run's files. ``waits`` is called before each retry."""

    def __init__(self, record: RunContext, waits: Callable[[], None]) -> None:
        self._record = record
        self._waits = waits

    def keep(self, files: Mapping[str, Path], put: Callable[[str, BinaryIO], None], odd: Mapping[str, str]) -> bool:
        """Put each file under its name, and say in a warning of the run which can't be kept: those that are ``odd``,
        and those that the store has no place for.

        False when the store could not take them all: then the run has failed for that, and its folder stays.
        """
        lost = dict(odd)
        waiting, since = dict(files), time.monotonic()
        while True:
            trouble: Trouble | None = None
            for name, path in list(waiting.items()):
                self._record.patience.check()
                said = self._put(name, path, put, lost)
                if said is None:
                    del waiting[name]
                trouble = said or trouble
            if trouble is None:
                break
            self._waits()
            if time.monotonic() - since > KEEP_SECONDS and self._give_up(waiting, trouble):
                break
            self._record.patience.pause()
        if lost:
            self._record.warn(told(lost))
        return not waiting

    def _put(self, name: str, path: Path, put: Callable[[str, BinaryIO], None], lost: dict[str, str]) -> Trouble | None:
        """None when it is kept, or never can be; else why not now."""
        try:
            source = open_left(path)
        except OSError as error:
            lost[name] = error.strerror or str(error)
            return None
        with source:
            try:
                self._room_for(source)
                put(name, source)
            except (BlobError, UnicodeError) as error:  # a name longer than a blob's can be, for example
                lost[name] = str(error)
            except Exception as error:
                trouble = passing(error)
                if trouble is None and not isinstance(error, OSError):
                    raise
                if trouble is None:
                    lost[name] = str(error)
                return trouble
        return None

    def _room_for(self, source: BinaryIO) -> None:
        """Not tried where it can't end well: half of a large file would take the room that others need."""
        blobs = self._record.workspace.folder.blobs
        if os.fstat(source.fileno()).st_size > shutil.disk_usage(blobs).free:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(blobs))

    def _give_up(self, waiting: Mapping[str, Path], trouble: Trouble) -> bool:
        """Fail the run for lack of disk space, if that can be written; True then."""
        names = [shown(name) for name in list(waiting)[:NAMED]]
        rest = f", and {len(waiting) - NAMED} more" if len(waiting) > NAMED else ""
        what = "1 file" if len(waiting) == 1 else f"{len(waiting)} files"
        reason = f"{what} of the job could not be stored: {', '.join(names)}{rest}. {trouble}"
        first = next(iter(waiting.values()))
        where = self._record.folder if first.is_relative_to(self._record.folder) else first.parent
        said = f"{reason} They still lie in {where}; copy them from there, and remove that folder."
        if not self._record.try_to_fail(said):
            return False
        self._record.say(said)
        self._record.left = True
        return True
