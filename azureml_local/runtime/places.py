"""Where built environments are kept: in folders of the cache, named by the digest of the definition.

A folder has the virtual environment, ``venv``; ``files.json``, what that looked like as it was built; and, last of all,
``environment.json``, without which it is half-built. Virtual environments hold absolute paths, so each is made where it
stays. One that isn't as it was built is not used: it is built again in the same folder, or in ``DIGEST-1`` while jobs
run there still.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from azureml_local.runtime.layers import damage, remove_added, write_look
from azureml_local.storage.locks import try_lock
from azureml_local.storage.trees import remove_tree

ENVIRONMENT, LOOK, MARKER = "venv", "files.json", "environment.json"


@dataclass
class Place:
    """A folder, and the lock of those who use it: shared while its environment is looked at or a job runs in it (the
    job's supervisor has the descriptor open too), exclusive while it is changed."""

    folder: Path
    descriptor: int

    @classmethod
    def open(cls, folder: Path) -> Place:
        lock = folder.with_name(f"{folder.name}.use")
        return cls(folder, os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))

    @property
    def environment(self) -> Path:
        return self.folder / ENVIRONMENT

    def share(self) -> bool:
        return try_lock(self.descriptor, shared=True)

    def take(self) -> bool:
        return try_lock(self.descriptor)

    def close(self) -> None:
        os.close(self.descriptor)

    @contextmanager
    def closed_on_error(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self.close()
            raise

    def trouble(self) -> str | None:
        """Why this is no environment as it was built; None where it is."""
        if not (self.folder / MARKER).is_file():
            return "it is half-built"
        if not (self.environment / "bin" / "python").exists():
            return "its Python has gone"
        try:
            changed, added = damage(self.environment, self.folder / LOOK)
        except (OSError, ValueError) as error:
            return f"whether it was changed can't be known ({error})"
        if changed or added:
            return f"{len(changed)} of its files were changed or removed and {len(added)} added, by a job perhaps"
        return None

    def mend(self, say: Callable[[str], None]) -> bool:
        """Remove what was added, where that is all; else the whole folder. True where the environment is as it was
        built, and this place shared. Nothing is done while others use it.
        """
        if not self.take():
            return False
        with suppress(OSError, ValueError):
            changed, added = damage(self.environment, self.folder / LOOK)
            if not changed:
                remove_added(self.environment, added)
                if self.trouble() is None:
                    more = " ..." if len(added) > 5 else ""
                    say(f"Removed what is not the environment's: {', '.join(added[:5])}{more}")
                    return self.share()
        remove_tree(self.folder)
        return False


@dataclass(frozen=True)
class Places:
    """Those of one definition's digest."""

    cache: Path
    digest: str

    def intact(self, say: Callable[[str], None]) -> Place | None:
        """One with the environment as it was built, shared; None where there is none, or it is being built."""
        others = [path for path in sorted(self.cache.glob(f"{self.digest}-*")) if path.is_dir()]
        for folder in (self._folder(0), *others):
            if not folder.is_dir():
                continue
            place = Place.open(folder)
            with place.closed_on_error():
                if place.share():
                    trouble = place.trouble()
                    if trouble is None:
                        return place
                    say(f"{folder} is not used as it is: {trouble}.")
                    if place.mend(say):
                        return place
            place.close()
        return None

    def free(self) -> Place:
        """One that nobody uses, taken, to build in."""
        for number in itertools.count():
            place = Place.open(self._folder(number))
            if place.take():
                break
            place.close()
        return place

    def _folder(self, number: int) -> Path:
        return self.cache / (f"{self.digest}-{number}" if number else self.digest)


def complete(folder: Path, marker: str) -> None:
    """What was built in a folder is an environment from now on; ``marker`` says which (JSON)."""
    write_look(folder / ENVIRONMENT, folder / LOOK)
    unfinished = folder / f"{MARKER}.part"
    unfinished.write_text(marker, encoding="utf-8")
    unfinished.replace(folder / MARKER)
