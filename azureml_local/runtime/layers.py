"""A run's own layer over a built environment: what its job installs, upgrades or adds is the run's, and goes with it.

In Azure each job has a container of its own over its environment's image. Here the layer is a virtual environment in
the run's folder, made in a few milliseconds: of the same Python, with programs of its own, and behind its own packages
those of the environment (site.addsitedir, which follows the environment's own .pth files too). So pip installs into the
layer, and what it finds in the environment it takes for another's, which it doesn't remove.

No mode keeps a job from writing to the environment's own files, root's least of all. That they are as they were built
is looked at before each use (`damage`).
"""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

from azureml_local.storage.trees import remove_tree

# Written by Python whenever it imports a module, and no reason to build an environment anew.
_BYTECODE = "__pycache__"
# Programs of more bytes are binaries.
_LONGEST_SCRIPT = 100_000
# A script's first line may have so many bytes on every Linux (execve(2)).
_LONGEST_LINE = 127


def lay(environment: Path, layer: Path) -> Path:
    """Make a layer over a virtual environment; what is there of an earlier one is removed. Returns its interpreter.

    Raises OSError.
    """
    remove_tree(layer)
    (packages,) = environment.glob("lib/python3*/site-packages")
    skipped = {packages, environment / "bin", environment / "pyvenv.cfg"}
    for root, folders, files in os.walk(environment):
        here, there = Path(root), layer / Path(root).relative_to(environment)
        there.mkdir(parents=True)
        for name in [*folders, *files]:
            path = here / name
            if path.is_symlink():
                (there / name).symlink_to(path.readlink())  # lib64, for example
            elif path.is_file() and path not in skipped:
                (there / name).symlink_to(path)
        folders[:] = [name for name in folders if not (here / name).is_symlink() and here / name not in skipped]
    (layer / "pyvenv.cfg").write_bytes((environment / "pyvenv.cfg").read_bytes())
    own = layer / packages.relative_to(environment)
    own.mkdir()
    (own / "_azureml_local.pth").write_text(f"import site; site.addsitedir({str(packages)!r})\n", encoding="utf-8")
    (layer / "bin").mkdir()
    for path in (environment / "bin").iterdir():
        _put_program(path, environment, layer)
    return layer / "bin" / "python"


def _put_program(path: Path, environment: Path, layer: Path) -> None:
    """The same program for the layer: it runs in the layer's Python, where it is a script."""
    target = layer / "bin" / path.name
    if path.is_symlink():
        target.symlink_to(path.readlink())
        return
    old, new = os.fsencode(environment), os.fsencode(layer)
    content = path.read_bytes() if path.stat().st_size <= _LONGEST_SCRIPT else b"\0"
    if b"\0" in content or old not in content:
        target.symlink_to(path)
        return
    content = content.replace(old, new)
    first, _, rest = content.partition(b"\n")
    if first.startswith(b"#!" + new) and (len(first) > _LONGEST_LINE or b" " in new):
        # A line for the shell, and a text without meaning for Python.
        content = b"#!/bin/sh\n'''exec' \"" + first[2:].rstrip() + b'" "$0" "$@"\n\' \'\'\'\n' + rest
    target.write_bytes(content)
    target.chmod(stat.S_IMODE(path.stat().st_mode))


def look(environment: Path) -> dict[str, str]:
    """What is in a folder but Python's bytecode: the names of all, and mode, size and time of each file."""
    found: dict[str, str] = {}

    def walk(folder: str, inside: str) -> None:
        with os.scandir(folder) as entries:
            for entry in entries:
                name = inside + entry.name
                if entry.is_dir(follow_symlinks=False):
                    if entry.name != _BYTECODE:
                        found[name] = ""
                        walk(entry.path, name + "/")
                else:
                    info = entry.stat(follow_symlinks=False)
                    found[name] = f"{info.st_mode:o} {info.st_size} {info.st_mtime_ns}"

    walk(str(environment), "")
    return found


def write_look(environment: Path, file: Path) -> None:
    """Keep what an environment looks like as it was built."""
    file.write_text(json.dumps(look(environment)), encoding="ascii")


def damage(environment: Path, file: Path) -> tuple[list[str], list[str]]:
    """What has been changed or removed since `write_look`, and what has been added: paths in the environment.

    Raises OSError, ValueError: that can't be known.
    """
    built: dict[str, str] = json.loads(file.read_text(encoding="ascii"))
    now = look(environment)
    if built == now:
        return [], []
    changed = [name for name, facts in built.items() if now.get(name) != facts]
    return changed, [name for name in now if name not in built]


def remove_added(environment: Path, added: list[str]) -> None:
    """Remove what has been added to an environment. Raises OSError."""
    for name in sorted(added, reverse=True):  # what is in a folder before the folder
        path = environment / name
        if path.is_dir() and not path.is_symlink():
            remove_tree(path)
        else:
            path.unlink(missing_ok=True)
