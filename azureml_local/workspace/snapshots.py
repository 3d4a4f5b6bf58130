"""Snapshots: the folder that a run was submitted from, as a tree of hashed files."""

from __future__ import annotations

import re
import shutil
import tempfile
import uuid
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from azureml_local.storage.blobs import BlobError, BlobStore
from azureml_local.storage.clock import now
from azureml_local.storage.database import Database
from azureml_local.storage.sealed import seal
from azureml_local.storage.tables import Snapshot
from azureml_local.workspace.errors import Conflict, Invalid, NotFound

CONTAINER = "snapshots"
# The snapshot of no files at all: clients are told that it is the latest one, and name it when they submit an empty
# folder, which has nothing to upload.
EMPTY = "00000000-0000-0000-0000-000000000000"
MAX_FILES = 100_000
MAX_DEPTH = 200
# The container of one upload of SDK v2, which goes once the upload is a snapshot.
UPLOAD = re.compile(r"code-[0-9a-f]{32}")


def new_upload() -> str:
    """The name of a container for one upload."""
    return f"code-{uuid.uuid4().hex}"


class Snapshots:
    def __init__(self, database: Database, blobs: BlobStore) -> None:
        self._database = database
        self._blobs = blobs

    def get(self, snapshot_id: str) -> Snapshot:
        if snapshot_id == EMPTY:
            return Snapshot(id=EMPTY, parent_id=None, created=now(), tree={}, files={})
        with self._database.read() as session:
            found = session.get(Snapshot, snapshot_id)
        if found is None:
            raise NotFound(
                f"There is no snapshot {snapshot_id!r} in this workspace: the folder's files must be uploaded again."
            )
        return found

    def create(
        self, snapshot_id: str, parent_id: str | None, tree: Mapping[str, Any], uploads: Mapping[str, str]
    ) -> Snapshot:
        """Keep a folder.

        Args:
            tree: the whole folder, as the client sends it (``DirTreeNode``).
            uploads: blob name by path, for the files that are new or changed; all others are the parent's.

        Raises:
            NotFound: the parent is unknown. Invalid: a path that leaves the folder, or a file that is
                nowhere. Conflict: the id is that of other files.
        """
        inherited: dict[str, Any] = dict(self.get(parent_id).files) if parent_id else {}
        files: dict[str, Any] = {}
        for path, digest in _files(tree):
            if len(files) >= MAX_FILES:
                raise Invalid(f"The snapshot has more than {MAX_FILES} files. Leave some out with an .amlignore file.")
            if path in uploads:
                if not self._blobs.exists(CONTAINER, uploads[path]):
                    raise Invalid(f"The snapshot's file {path!r} was announced but never uploaded.")
                files[path] = {"blob": uploads[path], "hash": digest}
            elif path in inherited:
                files[path] = {"blob": inherited[path]["blob"], "hash": digest}
            else:
                raise Invalid(f"The snapshot's file {path!r} is neither uploaded nor part of its parent {parent_id!r}.")
        row = Snapshot(id=snapshot_id, parent_id=parent_id, created=now(), tree=dict(tree), files=files)
        with self._database.write() as session:
            known = session.get(Snapshot, snapshot_id)
            # The client makes the id. The same folder may come again, as when an answer was lost; but what a run
            # was submitted with stays what it was.
            if known is not None and _hashes(known.files) != _hashes(files):
                raise Conflict(f"There is a snapshot {snapshot_id!r} already, of other files.")
            if known is None:
                session.add(row)
                # The addresses to which they were uploaded are good for a week; what a snapshot holds doesn't change.
                seal(session, CONTAINER, [entry["blob"] for entry in files.values()])
        return row

    def create_from(self, snapshot_id: str, container: str, path: str) -> Snapshot:
        """Keep a folder of uploaded blobs, or a single one, as it is now. Raises Invalid when there is none."""
        folder = f"{path}/" if path else ""
        found = {blob.name.removeprefix(folder): blob for blob in self._blobs.list(container, folder)}
        if not found and path and self._blobs.exists(container, path):
            found = {PurePosixPath(path).name: self._blobs.get(container, path)}
        if not found:
            raise Invalid(f"There are no files at {path[:200]!r} in the datastore: upload them again.")
        tree: dict[str, Any] = _node("", "Directory", "")
        uploads = {}
        for name, blob in found.items():
            uploads[name] = f"files/{uuid.uuid4().hex}"
            with self._blobs.open(container, blob.name)[1] as source:
                self._blobs.put_file(CONTAINER, uploads[name], source)
            *folders, file = safe_path(name).parts
            node = tree
            for folder in folders:
                node = node["children"].setdefault(folder, _node(folder, "Directory", ""))
            node["children"][file] = _node(file, "File", blob.md5 or blob.etag)
        return self.create(snapshot_id, None, tree, uploads)

    def write_to(self, snapshot_id: str, folder: Path) -> int:
        """Write the folder's files below ``folder``. Returns how many."""
        files = self.get(snapshot_id).files
        for path, entry in files.items():
            target = folder / safe_path(path)
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                shutil.copyfile(self._blobs.path(self._blobs.get(CONTAINER, entry["blob"])), target)
            except (BlobError, FileNotFoundError) as error:
                raise NotFound(
                    f"The file {path!r} of the snapshot {snapshot_id} is gone from the state folder."
                ) from error
        return len(files)

    def zipped(self, snapshot_id: str) -> str:
        """The name of the blob, in this container, that holds the folder as a zip file; made when first asked for."""
        name = f"zips/{self.get(snapshot_id).id}.zip"
        if not self._blobs.exists(CONTAINER, name):
            with tempfile.TemporaryDirectory(prefix="azureml-local-") as temporary:
                folder, archive = Path(temporary) / "files", Path(temporary) / "snapshot.zip"
                self.write_to(snapshot_id, folder)
                with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, strict_timestamps=False) as file:
                    for path in sorted(folder.rglob("*")):
                        file.write(path, path.relative_to(folder).as_posix())
                with archive.open("rb") as source:
                    self._blobs.put_file(CONTAINER, name, source)
        return name


def _node(name: str, kind: str, digest: str) -> dict[str, Any]:
    return {"name": name, "type": kind, "hash": digest, "timestamp": now(), "children": {}}


def _hashes(files: Mapping[str, Any]) -> dict[str, Any]:
    return {path: entry["hash"] for path, entry in files.items()}


def safe_path(path: str) -> PurePosixPath:
    """A relative path that stays in its folder. Raises Invalid otherwise."""
    pure = PurePosixPath(path)
    if not path or "\0" in path or "\\" in path or pure.is_absolute() or ".." in pure.parts:
        raise Invalid(f"{path[:200]!r} is no path inside a snapshot.")
    return pure


def _files(tree: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """(path, hash) of every file of a tree, without recursion: a client decides how deep it is."""
    pending: list[tuple[str, Any, int]] = [("", tree, 0)]
    while pending:
        path, node, depth = pending.pop()
        if not isinstance(node, Mapping) or depth > MAX_DEPTH:
            raise Invalid(f"The snapshot's tree is malformed at {path[:200]!r}.")
        if str(node.get("type", "Directory")).lower() == "file":
            safe_path(path)
            yield path, str(node.get("hash") or "")
            continue
        children = node.get("children") or {}
        if not isinstance(children, Mapping):
            raise Invalid(f"The snapshot's tree is malformed at {path[:200]!r}.")
        for name, child in sorted(children.items(), reverse=True):
            if not isinstance(name, str) or "/" in name or name in ("", ".", ".."):
                raise Invalid(f"{str(name)[:200]!r} is no file name inside a snapshot.")
            pending.append((f"{path}/{name}" if path else name, child, depth + 1))
