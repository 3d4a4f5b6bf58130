"""Mirrors: folders of this machine that stand for addresses of the web, where a user has asked for it.

An address below a mirrored one is read from the folder, by jobs and clients: public code can be run without its data's
host. ``wasbs://CONTAINER@HOST/PATH`` is the address ``https://HOST/CONTAINER/PATH``, as in Azure.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from azureml_local.storage.database import Database
from azureml_local.workspace.errors import Invalid, NotFound

SETTING = "mirrors"
MOST = 100
MOST_DEEP = 1  # of "**" in a pattern: pathlib looks through all below again for each
WASBS = re.compile(r"wasbs?://([^@/]+)@([^/]+)(/.*)?", re.IGNORECASE | re.DOTALL)
PATTERN = re.compile(r"[*?\[]")


@dataclass(frozen=True)
class Mirror:
    """An address, without a slash at its end, and the folder that stands for it."""

    prefix: str
    folder: Path

    def rest(self, url: str) -> str | None:
        """What of an address is below this one; None for another address."""
        plain = https_form(url)
        return plain[len(self.prefix) + 1 :] if plain.startswith(f"{self.prefix}/") else None

    def file(self, rest: str) -> Path | None:
        """The file of a path below the address; None where there is none, or it leads out of the folder."""
        if "\0" in (name := unquote(rest)):
            return None
        root = self.folder.resolve()
        found = (root / name.lstrip("/")).resolve()
        return found if found.is_relative_to(root) and found.is_file() else None

    @property
    def id(self) -> str:
        """What names it in an address of this server."""
        return hashlib.sha256(self.prefix.encode()).hexdigest()[:16]

    def files(self, rest: str) -> Mapping[str, Path]:
        """The files of a path, of a folder, or of a pattern (``*``, ``?``, ``**``), by their paths below the folder."""
        root, name = self.folder.resolve(), unquote(rest).strip("/")
        if (one := self.file(rest)) is not None:
            return {name: one}
        if ".." in name.split("/") or "\0" in name or name.count("**") > MOST_DEEP:
            return {}
        pattern = name if PATTERN.search(name) else f"{name}/**" if name else "**"
        pattern = f"{pattern}/*" if pattern.endswith("**") else pattern
        try:
            found = sorted(root.glob(pattern))
        except (ValueError, NotImplementedError):  # no pattern of pathlib's
            return {}
        inside = (path for path in found if path.is_file() and path.resolve().is_relative_to(root))
        return {path.relative_to(root).as_posix(): path for path in inside}


class Mirrors:
    """Those of a workspace; they are kept in its store."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._all = self._read()

    def list(self) -> Sequence[Mirror]:
        return self._all

    def set(self, url: str, folder: str | None) -> None:
        """Let a folder stand for an address; without one, the address is the web's again.

        Raises:
            Invalid: no address of the web, or no folder of this machine. NotFound: none to take back.
        """
        prefix = https_form(url).rstrip("/")
        parts = urlsplit(prefix)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or PATTERN.search(prefix):
            raise Invalid(f"{url[:200]!r} is no address that a folder can stand for: https://HOST/PATH or wasbs://.")
        kept = {each.prefix: str(each.folder) for each in self._all}
        if folder is None:
            if kept.pop(prefix, None) is None:
                raise NotFound(f"No folder stands for {prefix[:200]!r}.")
        else:
            place = Path(folder).expanduser()
            if not place.is_absolute() or not place.is_dir():
                raise Invalid(f"{folder[:200]!r} is no folder of this machine; a mirror needs an absolute path to one.")
            kept[prefix] = str(place)
        if len(kept) > MOST:
            raise Invalid(f"At most {MOST} addresses can have mirrors.")
        self._database.set_setting(SETTING, kept)
        self._all = self._read()

    def get(self, mirror_id: str) -> Mirror:
        """Raises NotFound."""
        found = next((each for each in self._all if each.id == mirror_id), None)
        if found is None:
            raise NotFound("No folder stands for this address any more (`azureml-local up --mirror`).")
        return found

    def find(self, url: str) -> tuple[Mirror, str] | None:
        """The mirror that an address is below, and the rest of it; the longest one where there are several."""
        found = [(each, rest) for each in self._all if (rest := each.rest(url)) is not None]
        return max(found, key=lambda each: len(each[0].prefix), default=None)

    def _read(self) -> Sequence[Mirror]:
        kept: dict[str, str] = self._database.setting(SETTING) or {}
        return [Mirror(prefix, Path(folder)) for prefix, folder in kept.items()]


def https_form(url: str) -> str:
    found = WASBS.fullmatch(url)
    return f"https://{found[2]}/{found[1]}{found[3] or ''}" if found else url
