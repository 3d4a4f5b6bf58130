"""``azureml-local backup`` and ``restore``: a whole workspace in one file, taken while its server runs.

The files of blobs are never changed once they are written (an append blob only grows behind what its row counts), only
removed when no row names them any more. So they are kept by a second link: most of them while the server writes on, and
those that are new since then while nobody may write, which takes as long as reading their names. The database is copied
as it was in that moment, by SQLite's own backup.
"""

from __future__ import annotations

import contextlib
import errno
import gzip
import io
import json
import os
import re
import shutil
import sqlite3
import tarfile
import tempfile
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from urllib.parse import quote

from sqlalchemy import select

from azureml_local import __version__
from azureml_local.storage.clock import now
from azureml_local.storage.database import Database
from azureml_local.storage.folder import BACKUP_SCRATCH, StateFolder, StateFolderError
from azureml_local.storage.inspection import blob_files_in, compare_blobs, damage, lost_parts, open_read_only
from azureml_local.storage.locks import try_lock
from azureml_local.storage.tables import Blob, Run
from azureml_local.workspace.run_kinds import is_submitted
from azureml_local.workspace.runs import FINAL, user_error

FORMAT = 1
MANIFEST, DATABASE, SECRETS, BLOBS = "manifest.json", "workspace.sqlite3", "secrets.json", "blobs/"
MEMBER = re.compile(r"workspace\.sqlite3|secrets\.json|blobs(/[0-9A-Za-z_-]{1,64}){1,3}")
MAX_MANIFEST = 1 << 28
LOCK_SECONDS = 60.0
# A disk that knows no links, or not so many of one file, or not from one disk to another.
NO_LINK = (errno.EPERM, errno.EXDEV, errno.EMLINK, errno.EOPNOTSUPP)


class BackupError(StateFolderError):
    """A backup can't be made or restored; the message says why. Nothing was changed."""


@dataclass(frozen=True)
class Summary:
    blobs: int
    size: int


def backup(folder: StateFolder, target: Path) -> Summary:
    """Write a workspace to a new file. Raises BackupError, OSError, sqlite3.Error."""
    if not folder.database.exists():
        raise BackupError(f"There is no workspace in {folder.root}.")
    if lost := lost_parts(folder):
        raise BackupError(lost)
    if target.exists():
        raise BackupError(f"{target} exists already; a backup never overwrites one.")
    # Beside what it copies: links don't reach other disks.
    with _scratch(folder.root) as scratch:
        copy, kept = scratch / DATABASE, scratch / "blobs"
        _keep(folder.blobs, kept, blob_files_in(folder.blobs))
        with open_read_only(folder.database) as moment:
            with _nobody_writes(folder.database):
                sizes = _sizes(moment)
                missing = _keep(folder.blobs, kept, sizes)
            _copy_database(moment, copy)
        if missing:
            raise BackupError(
                f"{missing} files of blobs are gone from {folder.blobs}. `azureml-local doctor` says which."
            )
        # A name that nobody can know before: in a folder that others may write to, one could be a link.
        unfinished = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
        try:
            _write(unfinished, copy, (folder.root / SECRETS).read_bytes(), kept, sizes)
            unfinished.replace(target)
        finally:
            unfinished.unlink(missing_ok=True)
    return Summary(len(sizes), target.stat().st_size)


def restore(source: Path, folder: StateFolder) -> Summary:
    """Make a state folder out of a backup. Raises BackupError, OSError, StateFolderError."""
    if folder.root.exists() and (not folder.root.is_dir() or any(folder.root.iterdir())):
        raise BackupError(
            f"{folder.root} is not empty; a backup is only restored to a new state folder. Name one with --state "
            "FOLDER, or empty this one with `azureml-local reset`."
        )
    folder.root.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".restore-", dir=folder.root.parent) as scratch:
        made = StateFolder(Path(scratch) / "state")
        made.create()
        try:
            with tarfile.open(source, "r|gz") as archive:
                count = _unpack(archive, made.root)
        except (tarfile.TarError, EOFError, OSError, ValueError, KeyError, TypeError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise
            raise BackupError(f"{source} is no backup of azureml-local, or is damaged ({error}).") from error
        _check(made, source)
        _end_unfinished(made)
        if folder.root.exists():
            folder.root.rmdir()
        made.root.rename(folder.root)
    return Summary(count, source.stat().st_size)


# Making one --------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _scratch(root: Path) -> Iterator[Path]:
    """A folder that is locked as long as it is used: a server that starts meanwhile removes what killed ones left."""
    while True:
        with tempfile.TemporaryDirectory(prefix=BACKUP_SCRATCH, dir=root, ignore_cleanup_errors=True) as folder:
            descriptor = os.open(folder, os.O_RDONLY)
            try:
                if try_lock(descriptor) and Path(folder).exists():  # or a server was faster
                    yield Path(folder)
                    return
            finally:
                os.close(descriptor)


@contextlib.contextmanager
def _nobody_writes(database: Path) -> Iterator[None]:
    """The server's writers wait. Raises sqlite3.Error."""
    uri = f"file:{quote(os.fsencode(database))}?mode=rw"
    connect = sqlite3.connect(uri, uri=True, timeout=LOCK_SECONDS, isolation_level=None)
    with contextlib.closing(connect) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")


def _keep(blobs: Path, kept: Path, files: Iterable[str]) -> int:
    """Link what isn't yet. Returns how many weren't there, which is no loss while somebody replaces them."""
    missing = 0
    for file in files:
        link = kept / file
        if not os.path.lexists(link):
            link.parent.mkdir(parents=True, exist_ok=True)
            try:
                _link(blobs / file, link)
            except FileNotFoundError:
                missing += 1
    return missing


def _link(source: Path, link: Path) -> None:
    try:
        os.link(source, link)
    except OSError as error:
        if error.errno not in NO_LINK:
            raise
        shutil.copyfile(source, link)


def _copy_database(moment: sqlite3.Connection, copy: Path) -> None:
    """As the connection's transaction sees it, whatever was written since that was begun."""
    with contextlib.closing(sqlite3.connect(copy)) as to:
        moment.backup(to)
    moment.execute("ROLLBACK")


def _sizes(database: sqlite3.Connection) -> dict[str, int | None]:
    """The files that a database names, with their sizes; none for one that a job is writing.

    Begins a transaction: what the connection reads from now on is as it is now.
    """
    database.execute("BEGIN")
    rows = database.execute("SELECT file, size, live FROM blobs UNION ALL SELECT file, size, 0 FROM blocks")
    return {file: None if live else size for file, size, live in rows}


def _write(target: Path, copy: Path, secrets: bytes, kept: Path, named: dict[str, int | None]) -> None:
    sizes = {file: (kept / file).stat().st_size if size is None else size for file, size in named.items()}
    manifest = {
        "format": FORMAT,
        "azureml_local": __version__,
        "made": now(),
        "files": {
            DATABASE: copy.stat().st_size,
            SECRETS: len(secrets),
            **{BLOBS + file: size for file, size in sizes.items()},
        },
    }
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as raw:
        with (
            gzip.GzipFile(fileobj=raw, mode="wb", compresslevel=1) as packed,
            tarfile.open(None, "w|", packed) as archive,
        ):
            text = json.dumps(manifest).encode()
            _add(archive, MANIFEST, len(text), io.BytesIO(text))
            with copy.open("rb") as file:
                _add(archive, DATABASE, copy.stat().st_size, file)
            _add(archive, SECRETS, len(secrets), io.BytesIO(secrets))
            for name, size in sizes.items():
                with (kept / name).open("rb") as file:
                    _add(archive, BLOBS + name, size, file)
        raw.flush()
        os.fsync(raw.fileno())


def _add(archive: tarfile.TarFile, name: str, size: int, content: IO[bytes]) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode = size, 0o600
    archive.addfile(member, content)


# Restoring one -----------------------------------------------------------------------------------------------------


def _unpack(archive: tarfile.TarFile, root: Path) -> int:
    """Write what the manifest announces and nothing else. Never a path, link or size that it doesn't name."""
    expected: dict[str, int] | None = None
    seen: set[str] = set()
    for member in archive:
        content = archive.extractfile(member) if member.isreg() else None
        if content is None:
            raise BackupError(f"The backup has a member {member.name[:80]!r} that is no file.")
        if expected is None:
            expected = _manifest(member, content)
            continue
        if member.name in seen or expected.get(member.name) != member.size or not MEMBER.fullmatch(member.name):
            raise BackupError(f"The backup has a member {member.name[:80]!r} that doesn't belong to it.")
        seen.add(member.name)
        path = root / member.name
        path.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            shutil.copyfileobj(content, file, 1 << 20)
    if expected is None or (lacking := expected.keys() - seen):
        raise BackupError(f"The backup is incomplete: {len(lacking) if expected else 'all'} of its files are missing.")
    return sum(name.startswith(BLOBS) for name in seen)


def _manifest(member: tarfile.TarInfo, content: IO[bytes]) -> dict[str, int]:
    if member.name != MANIFEST or member.size > MAX_MANIFEST:
        raise BackupError("This is no backup of azureml-local: it doesn't begin with its manifest.")
    manifest = json.loads(content.read())
    if manifest["format"] != FORMAT:
        raise BackupError(f"The backup was made by a newer version of azureml-local ({manifest['azureml_local']}).")
    return {str(name): int(size) for name, size in manifest["files"].items()}


def _check(made: StateFolder, source: Path) -> None:
    made.secrets()
    with open_read_only(made.database) as database:
        problems = damage(database)
        if not problems:
            blobs = compare_blobs(database, made.blobs)
            problems = [*blobs.missing, *blobs.short, *blobs.orphaned]
    if problems:
        raise BackupError(f"The workspace in {source} is damaged: {problems[0]}.")


def _end_unfinished(made: StateFolder) -> None:
    """Jobs that waited or ran when the backup was made are no business of the new workspace: they have failed here."""
    database = Database(made.database)
    with database.write() as session:
        for blob in session.scalars(select(Blob).where(Blob.live)):
            blob.live, blob.size = False, (made.blobs / blob.file).stat().st_size
        for run in session.scalars(select(Run).where(Run.status.not_in(FINAL))):
            if is_submitted(run):
                reason = f"The run was {run.status} when the backup was made that this workspace was restored from."
                run.status, run.ended, run.process = "Failed", now(), None
                run.error = run.error or user_error(reason, "ServiceError")
    database.close()
