"""Collection of the files in a job's folders: which can be stored, and why the others can't.

A job may leave anything there: links, pipes, folders without permissions, names that aren't UTF-8. None of it may
affect other files, or block the reader.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from azureml_local.storage.trees import open_regular

# Limit of names in one message, which only counts the others.
NAMED = 10


@dataclass
class Left:
    """Files found in a job's folder: ``files`` by their paths below it; ``odd``: the reason why each other entry can't
    be stored.
    """

    files: dict[str, Path] = field(default_factory=dict)
    odd: dict[str, str] = field(default_factory=dict)

    def add(self, prefix: str, other: Left) -> None:
        self.files |= {prefix + name: path for name, path in other.files.items()}
        self.odd |= {prefix + name: reason for name, reason in other.odd.items()}


def left_in(base: Path, folder: str) -> Left:
    """Find the regular files of a folder, sorted by their paths below ``base``. No link is followed, neither in the
    folder nor on the way to it.
    """
    found = Left()
    place = base
    for part in ("", *Path(folder).parts):
        place = place / part
        try:
            mode = place.lstat().st_mode
        except FileNotFoundError:
            return found
        except OSError as error:
            found.odd[folder] = error.strerror or str(error)
            return found
        if stat.S_ISLNK(mode):
            found.odd[folder] = f"{place.name} is a link"
            return found
        open_up(place)
    folders = [str(place)]
    while folders:
        _look_into(folders.pop(), str(base), found, folders)
    found.files = dict(sorted(found.files.items()))
    return found


def open_left(path: Path) -> BinaryIO:
    """Open a file for reading, even if its job removed the read permission. Raises OSError."""
    try:
        return open_regular(path)
    except PermissionError:
        if not stat.S_ISREG(path.lstat().st_mode):
            raise
        path.chmod(0o600)
        return open_regular(path)


def told(odd: Mapping[str, str]) -> str:
    """Warning text that lists what wasn't stored and why."""
    names = [f"{shown(name)} ({reason})" for name, reason in list(odd.items())[:NAMED]]
    rest = f", and {len(odd) - NAMED} more" if len(odd) > NAMED else ""
    what = "1 file" if len(odd) == 1 else f"{len(odd)} files"
    return f"{what} of the job could not be stored: {', '.join(names)}{rest}."


def shown(name: str) -> str:
    """Printable form of a file name, shortened; bytes that aren't UTF-8 and control characters are escaped."""
    text = repr(name.encode("utf-8", "backslashreplace").decode())
    return text if len(text) <= 200 else f"{text[:200]}...'"


def _look_into(folder: str, base: str, found: Left, folders: list[str]) -> None:
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                name = os.path.relpath(entry.path, base)
                if entry.is_symlink():
                    found.odd[name] = "a link"
                elif entry.is_dir(follow_symlinks=False):
                    open_up(Path(entry.path))
                    folders.append(entry.path)
                elif not entry.is_file(follow_symlinks=False):
                    found.odd[name] = "no regular file"
                elif not _is_text(name):
                    found.odd[name] = "its name is not UTF-8"
                else:
                    found.files[name] = Path(entry.path)
    except OSError as error:
        found.odd[os.path.relpath(folder, base)] = error.strerror or str(error)


def open_up(folder: Path) -> None:
    """Restore the owner's permissions of a folder; where that fails, reading it gives the reason."""
    try:
        mode = folder.lstat().st_mode
        if stat.S_ISDIR(mode) and mode & 0o700 != 0o700 and not os.access(folder, os.R_OK | os.X_OK):
            folder.chmod(stat.S_IMODE(mode) | 0o700)
    except OSError:
        return


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeError:
        return False
    return True
