"""``azureml-local doctor``: what is wrong with the installation or a workspace, and what to do about it.

It changes nothing, and works whether a server runs or not.
"""

from __future__ import annotations

import contextlib
import datetime
import importlib
import importlib.metadata
import importlib.util
import json
import os
import platform
import shutil
import socket
import sqlite3
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from azureml_local.cli.terminal import shown
from azureml_local.client.environment import PROXIES
from azureml_local.client.instance import LocalServer
from azureml_local.storage.folder import StateFolder, StateFolderError, cache_folder
from azureml_local.storage.inspection import compare_blobs, damage, lost_parts, open_read_only

PYTHONS = ((3, 10), (3, 12))
SERVER_NEEDS = ("cryptography", "fastapi", "OpenSSL", "psutil", "sqlalchemy", "uvicorn", "uv", "jwt", "filelock")
CLIENT_NEEDS = ("azureml-core", "azureml-dataprep", "azureml-dataprep-rslex")
LITTLE_ROOM, NO_ROOM = 2 << 30, 100 << 20
DEFAULT_PORT = 8843


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at. Without ``advice`` it is in order; ``serious`` is what keeps it from working."""

    what: str
    found: str
    advice: str = ""
    serious: bool = False


def examine(folder: StateFolder, variables: Mapping[str, str] = os.environ) -> list[Finding]:
    """Look at everything, however much of it is broken."""
    looks: list[Callable[[], Iterator[Finding]]] = [
        python,
        lambda: proxies(variables),
        lambda: room(folder),
        caches,
        lambda: permissions(folder),
        lambda: instance(folder),
        lambda: ports(folder),
        lambda: certificates(folder),
        lambda: secrets(folder),
        lambda: database(folder),
        lambda: shared(folder),
        lambda: leftovers(folder),
    ]
    if platform.system() == "Windows":
        return list(python())  # it says that the rest needs another system
    findings: list[Finding] = []
    for look in looks:
        try:
            findings += look()
        except OSError as error:
            findings.append(Finding("files", str(error), "See to the permissions of this file or folder.", True))
    return findings


def show(findings: list[Finding], out: Console) -> int:
    """Print a table and one sentence to act on. Returns the exit code: 1 when something keeps it from working."""
    table = Table(box=None, show_header=False, pad_edge=False)
    for _ in range(3):
        table.add_column(overflow="fold")  # a path that is longer than the column is wide stays whole
    for finding in findings:
        word, colour = (
            ("wrong", "red") if finding.serious else ("note", "yellow") if finding.advice else ("ok", "green")
        )
        table.add_row(Text(word, colour), Text(finding.what), Text(shown(finding.found)))
        if finding.advice:
            table.add_row("", "", Text(shown(finding.advice), "bold"))
    out.print(table)
    wrong = [finding for finding in findings if finding.serious]
    if wrong:
        out.print(f"\n{len(wrong)} to mend. Begin with this: {shown(wrong[0].advice)}", markup=False)
        return 1
    noted = sum(bool(finding.advice) for finding in findings)
    out.print(f"\nEverything works{f'; {noted} to know of' if noted else ''}.", markup=False)
    return 0


# The installation --------------------------------------------------------------------------------------------------


def python(system: str | None = None) -> Iterator[Finding]:
    system = system or platform.system()
    version, machine = platform.python_version(), platform.machine()
    if system == "Windows":
        yield Finding("system", "Windows", "The server forks and locks files as Unix does: use WSL 2.", True)
    fits = PYTHONS[0] <= sys.version_info[:2] < PYTHONS[1]
    advice = "" if fits else "Use Python 3.10 or 3.11: the SDK's data engine has no build for others."
    yield Finding("Python", f"{version} on {machine}, {sys.executable}", advice, not fits)
    missing = [name for name in SERVER_NEEDS if not _importable(name)]
    if missing:
        yield Finding("packages", f"not importable: {', '.join(missing)}", "Install again: make setup.", True)
    yield sdk(system, machine)


def sdk(system: str, machine: str) -> Finding:
    """Whether clients of this Python have the SDK, and its data engine (a binary) one that loads.

    Which builds there are: the package index's files of azureml-dataprep-rslex and azureml-dataprep-native, by
    November 2026.
    """
    absent = [name for name in CLIENT_NEEDS if not _installed(name)]
    if absent and system == "Darwin" and machine == "arm64":
        advice = "The SDK's data engine has no build for Apple's chips: use an Intel Python (Rosetta), or a container."
    else:
        advice = "Clients of this Python need `pip install azureml-core`; the server does without."
    if absent:
        return Finding("SDK", f"not here: {', '.join(absent)}", advice)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # older releases make Python warn of their own code
            importlib.import_module("azureml.dataprep.rslex")
    except Exception as error:
        # A binary of another system, or a library of the system that is missing: the reason is shown.
        again = "Install it again: `make setup`, or `pip install --force-reinstall azureml-dataprep-rslex`."
        return Finding("SDK", f"its data engine doesn't load: {error}", again, True)
    return Finding("SDK", "azureml-core, and its data engine, which loads")


def proxies(variables: Mapping[str, str]) -> Iterator[Finding]:
    chosen = [name for name in PROXIES if variables.get(name)]
    if not chosen:
        yield Finding("proxy", "none is set")
        return
    past = ",".join(variables.get(name, "") for name in ("NO_PROXY", "no_proxy"))
    if {"localhost", "*"} & {word.strip() for word in past.split(",")}:
        yield Finding("proxy", f"{', '.join(chosen)}; NO_PROXY leaves localhost out")
    else:
        yield Finding(
            "proxy",
            f"{', '.join(chosen)}, and NO_PROXY doesn't name localhost",
            "Start clients through `azureml-local run` or `env`, which add it, or set NO_PROXY=localhost,127.0.0.1.",
        )


def room(folder: StateFolder) -> Iterator[Finding]:
    for what, path in (("disk of the workspace", folder.root), ("disk of the caches", cache_folder())):
        there = next(parent for parent in (path, *path.parents) if parent.exists())
        free = shutil.disk_usage(there).free
        advice = "" if free > LITTLE_ROOM else f"Make room: jobs and their environments need gigabytes ({there})."
        yield Finding(what, f"{free / (1 << 30):,.1f} GiB free in {there}", advice, free < NO_ROOM)


def caches() -> Iterator[Finding]:
    """Where environments and MNIST are kept; nothing is wrong with a folder that can be made."""
    cache = cache_folder()
    for path in (cache, cache / "environments", cache / "mnist"):
        there = next(parent for parent in (path, *path.parents) if parent.exists())
        if not os.access(there, os.R_OK | os.W_OK | os.X_OK):
            advice = f"Give it to you (chown, chmod u+rwx {there}), or choose another with AZUREML_LOCAL_CACHE=FOLDER."
            yield Finding("caches", f"{there} can't be read and written", advice, True)
            return
    yield Finding("caches", str(cache))


# The workspace -----------------------------------------------------------------------------------------------------


def permissions(folder: StateFolder) -> Iterator[Finding]:
    root = folder.root
    if not root.exists():
        yield Finding("state folder", f"{root} does not exist yet; `azureml-local up` makes it")
        return
    choose = "or choose another folder with --state FOLDER or AZUREML_LOCAL_STATE."
    if not root.is_dir():
        yield Finding("state folder", f"{root} is no folder", f"Move it out of the way, {choose}", True)
    elif fixed := [path for path in _parts(folder) if os.statvfs(path).f_flag & os.ST_RDONLY]:
        yield Finding(
            "state folder", f"{fixed[0]} is on a disk that is mounted read-only", f"Remount it, {choose}", True
        )
    elif locked := [path for path in _parts(folder) if not os.access(path, os.R_OK | os.W_OK)]:
        owner = locked[0].stat().st_uid
        mine = "it is yours" if owner == os.geteuid() else f"it belongs to user {owner}, and you are {os.geteuid()}"
        advice = f"Give it to you (chown, chmod u+rw), {choose}"
        yield Finding("state folder", f"{locked[0]} can't be read and written; {mine}", advice, True)
    else:
        open_to = [path for path in (root / "secrets.json",) if path.exists() and path.stat().st_mode & 0o077]
        advice = f"Others can read {open_to[0]}: chmod 600 it." if open_to else ""
        yield Finding("state folder", str(root), advice)


def _parts(folder: StateFolder) -> list[Path]:
    inside = [folder.database, folder.blobs, folder.runs, folder.services, folder.datasets, folder.tls]
    files = [folder.root / "secrets.json", folder.log]
    return [path for path in (folder.root, *inside, *files) if path.exists()]


def instance(folder: StateFolder) -> Iterator[Finding]:
    server = LocalServer.find(folder)
    if server is None:
        stale = folder.instance.exists()
        found = "stopped" if not stale else f"stopped; the one that wrote {folder.instance.name} was killed"
        yield Finding("server", f"{found}; `azureml-local up` starts it")
        return
    where = f"process {server.instance.pid}, port {server.instance.api_port}"
    try:
        server.status()
    except Exception as error:
        # Whatever it is that keeps it from answering: the reason is shown.
        advice = "Stop it with `azureml-local down`, start it with `up`; `azureml-local logs` has its last words."
        yield Finding("server", f"{where}, doesn't answer as it should: {error}", advice, True)
    else:
        yield Finding("server", f"up: {where}")


def ports(folder: StateFolder) -> Iterator[Finding]:
    if LocalServer.find(folder) is not None or lost_parts(folder):
        return
    wanted = [DEFAULT_PORT, DEFAULT_PORT + 1]
    try:
        with open_read_only(folder.database) as connection:
            row = connection.execute("SELECT value FROM store WHERE key = 'ports'").fetchone()
            wanted = json.loads(row[0]) if row else wanted
    except (sqlite3.Error, ValueError):
        pass  # said where the database is looked at
    taken = [port for port in wanted if not _free(port)]
    advice = "The next start takes another one; clients then need a new `azureml-local env`." if taken else ""
    found = f"{', '.join(map(str, taken))} taken by another program" if taken else f"{wanted[0]} and {wanted[1]} free"
    yield Finding("ports", found, advice)


def certificates(folder: StateFolder) -> Iterator[Finding]:
    from cryptography import x509

    from azureml_local.server.access.certificates import Certificates

    if not folder.tls.exists() or not (folder.tls / "ca.pem").exists():
        yield Finding("certificates", "none yet; the next start makes them")
        return
    again = "Stop the server and start it again (azureml-local down; up): it makes new ones."
    try:
        ends = x509.load_pem_x509_certificate((folder.tls / "ca.pem").read_bytes()).not_valid_after_utc
    except ValueError as error:
        yield Finding("certificates", f"damaged ({error})", again, True)
        return
    days = (ends - datetime.datetime.now(datetime.timezone.utc)).days
    fresh = Certificates(folder.tls).are_good()
    until = f"valid until {ends:%Y-%m-%d}" if days >= 0 else f"expired on {ends:%Y-%m-%d}"
    if fresh:
        yield Finding("certificates", until)
    else:
        yield Finding("certificates", f"{until}, or its key and its certificate don't fit together", again, days < 0)


def secrets(folder: StateFolder) -> Iterator[Finding]:
    if not (folder.root / "secrets.json").exists():
        return
    try:
        folder.secrets()
    except StateFolderError as error:
        yield Finding("secrets", str(error), "Restore a backup, or delete the file as it says.", True)
    else:
        yield Finding("secrets", "readable")


def database(folder: StateFolder) -> Iterator[Finding]:
    from azureml_local.storage.database import SCHEMA_VERSION

    if lost := lost_parts(folder):
        yield Finding("database", lost, "Put it back, or restore a backup (azureml-local restore).", True)
        return
    if not folder.database.exists():
        return
    bring_back = (
        "Restore a backup to a new folder (azureml-local restore FILE --state FOLDER). Without one: stop the server, "
        "copy the folder, and try `sqlite3 workspace.sqlite3 .recover`."
    )
    try:
        with open_read_only(folder.database) as connection:
            problems = damage(connection)
            if problems:
                yield Finding("database", f"damaged: {problems[0]}", bring_back, True)
                return
            row = connection.execute("SELECT value FROM store WHERE key = 'schema_version'").fetchone()
            version = int(row[0])
            if version > SCHEMA_VERSION:
                found = f"of format {version}; this azureml-local reads up to {SCHEMA_VERSION}"
                yield Finding("database", found, "Install the newer version.", True)
                return
            size = folder.database.stat().st_size
            yield Finding("database", f"sound, {size:,} bytes")
            yield from blobs(connection, folder)
    except (sqlite3.Error, TypeError, ValueError) as error:
        yield Finding("database", f"can't be read ({error})", bring_back, True)


def blobs(connection: sqlite3.Connection, folder: StateFolder) -> Iterator[Finding]:
    found = compare_blobs(connection, folder.blobs)
    for what, names in (("gone", found.missing), ("too short", found.short)):
        if names:
            listed = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
            advice = "Upload them again, or restore a backup; everything else works."
            yield Finding("blobs", f"the files of {len(names)} are {what}: {listed}", advice, True)
    if not found.missing and not found.short:
        yield Finding("blobs", f"{found.count:,} with {found.size:,} bytes, each with its file")
    if found.orphaned and LocalServer.find(folder) is None:
        yield Finding(
            "blobs",
            f"{len(found.orphaned)} files of no blob, which a killed server left",
            "The next start removes them.",
        )


def shared(folder: StateFolder) -> Iterator[Finding]:
    found = [path for path in folder.datasets.glob("*") if path.is_dir()]
    if found:
        size = 0
        for path in (Path(root, name) for each in found for root, _, names in os.walk(each) for name in names):
            with contextlib.suppress(FileNotFoundError):  # a server that runs has just removed it
                size += path.stat().st_size
        yield Finding("shared datasets", f"{len(found)} with {size:,} bytes, which jobs fetch again when they are gone")


def leftovers(folder: StateFolder) -> Iterator[Finding]:
    for path in sorted(folder.root.glob(folder.database.name + ".version-*")) if folder.root.is_dir() else ():
        yield Finding("copy", f"{path}, from before the format changed", "Delete it when all is well.")


def _importable(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        return False


def _installed(name: str) -> bool:
    try:
        importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
