"""The state folder: paths of everything that a store keeps, and its secrets."""

from __future__ import annotations

import hmac
import json
import os
import secrets
import stat
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from platformdirs import user_cache_path

from azureml_local.storage.ownership import ForeignFolder, check_owner, close_to_others, is_ours

FOLDER_NAME = ".azureml-local"
# Prefix of the folder of a backup that is being made.
BACKUP_SCRATCH = ".backup-"


class StateFolderError(Exception):
    """The state folder cannot be used; the message says which folder, why, and what to do."""


@dataclass(frozen=True)
class Secrets:
    """The secrets from which this store's credentials are derived. Never logged; only the account key is ever part of a
    response.

    signing_key signs tokens and blob URLs; sign_in is the managed identity's secret (``MSI_SECRET``);
    account_key is the default datastore's (base64, 64 bytes, as Azure's are); view_key opens the run pages in
    a browser, read only.
    """

    signing_key: str
    sign_in: str
    account_key: str
    view_key: str

    def sign_in_key(self, run_id: str = "") -> str:
        """The part of a sign-in address that only its own processes know: those of clients, or of this run's job."""
        text = json.dumps(["sign-in address", run_id])
        digest = hmac.new(self.signing_key.encode(), text.encode(), "sha256").hexdigest()[:40]
        return f"{run_id}.{digest}" if run_id else digest

    @classmethod
    def fresh(cls) -> Secrets:
        import base64

        return cls(
            signing_key=secrets.token_hex(32),
            sign_in=secrets.token_hex(24),
            account_key=base64.b64encode(secrets.token_bytes(64)).decode(),
            view_key=secrets.token_urlsafe(18),
        )


class StateFolder:
    """Paths inside one store's folder.

    Raises:
        StateFolderError: the folder can't be made or written.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()

    @classmethod
    def locate(cls, start: Path | None = None) -> StateFolder:
        """``$AZUREML_LOCAL_STATE``, else the nearest ``.azureml-local`` upward that is this user's, else one in the
        current folder.
        """
        chosen = os.environ.get("AZUREML_LOCAL_STATE")
        if chosen:
            return cls(Path(chosen).expanduser())
        here = (start or Path.cwd()).absolute()
        for folder in (here, *here.parents):
            if (folder / FOLDER_NAME).is_dir() and is_ours(folder / FOLDER_NAME):
                return cls(folder / FOLDER_NAME)
        return cls(here / FOLDER_NAME)

    def check(self, *, making: bool = False) -> None:
        """Close the folder to other users, if it is there.

        Raises:
            StateFolderError: it, or something in it, is another user's; or it is open to others and holds other things.
        """
        try:
            if not self.root.exists() and not self.root.is_symlink():
                return
            check_owner(self.root)
            entries = list(self.root.iterdir())
            for entry in entries:
                check_owner(entry)
            known = self.root.name == FOLDER_NAME or self.database.exists() or (self.root / ".gitignore").exists()
            if entries and not known:
                # Somebody's home, or /tmp: not ours to close.
                if making and stat.S_IMODE(self.root.stat().st_mode) & 0o077:
                    raise ForeignFolder(f"{self.root} is open to other users of this machine and is no state folder.")
                return
            close_to_others(self.root)
        except ForeignFolder as error:
            raise StateFolderError(
                f"{error} Choose another state folder with --state FOLDER or AZUREML_LOCAL_STATE=FOLDER."
            ) from None
        except (NotADirectoryError, PermissionError):
            return  # whoever reads or writes there says so
        except OSError as error:
            raise self._unusable(error) from error

    def create(self) -> None:
        self.check(making=True)
        try:
            self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
            for folder in (self.blobs, self.runs, self.tls, self.client_home, *self.client_folders):
                folder.mkdir(exist_ok=True)
            ignore = self.root / ".gitignore"
            if not ignore.exists():
                ignore.write_text("*\n")
        except OSError as error:
            raise self._unusable(error) from error

    def _unusable(self, error: OSError) -> StateFolderError:
        return StateFolderError(
            f"The state folder {self.root} can't be written ({error.strerror or error}). "
            "Choose another with AZUREML_LOCAL_STATE=FOLDER or --state FOLDER."
        )

    @property
    def database(self) -> Path:
        return self.root / "workspace.sqlite3"

    @property
    def blobs(self) -> Path:
        return self.root / "blobs"

    @property
    def runs(self) -> Path:
        return self.root / "runs"

    @property
    def services(self) -> Path:
        """The folders of deployed models' processes: code, models, sockets and logs."""
        return self.root / "services"

    @property
    def datasets(self) -> Path:
        """Dataset files that jobs share, read-only; a cache, each can be fetched again."""
        return self.root / "datasets"

    @property
    def tls(self) -> Path:
        return self.root / "tls"

    @property
    def client_home(self) -> Path:
        """Folder of the SDK's caches in client processes; one per store, because they go stale across servers."""
        return self.root / "client"

    @property
    def client_folders(self) -> tuple[Path, Path]:
        """AZURE_CONFIG_DIR and AZUREML_AUTH_CONFIG_DIR of client processes. azureml-core 1.47 (Python 3.6) and earlier
        write to the first one without making it (azure_cli_core._session).
        """
        return self.client_home / "azure", self.client_home / "auth"

    @property
    def log(self) -> Path:
        return self.root / "server.log"

    @property
    def instance(self) -> Path:
        """The file in which a running server publishes its process id and ports (JSON)."""
        return self.root / "server.json"

    @property
    def sign_in_page(self) -> Path:
        """The page through which `azureml-local open` signs the browser in."""
        return self.root / "sign-in.html"

    @property
    def lock(self) -> Path:
        return self.root / "server.lock"

    @property
    def start_lock(self) -> Path:
        """Lock file held while looking for a server and starting one."""
        return self.root / "start.lock"

    @property
    def users(self) -> Path:
        return self.root / "server.users"

    def secrets(self) -> Secrets:
        """This store's secrets, generated on first use, readable by their owner only."""
        path = self.root / "secrets.json"
        self.check()
        if path.exists():
            try:
                found = Secrets(**json.loads(path.read_text()))
                if not all(isinstance(value, str) and len(value) >= 16 for value in asdict(found).values()):
                    raise ValueError("a secret in it is too short")
                return found
            except (OSError, ValueError, TypeError) as error:
                raise StateFolderError(
                    f"{path} can't be read or is damaged ({error}). Delete it to have new secrets made; clients then "
                    "need a new `azureml-local env`, and the key vault's secrets have to be set again."
                ) from error
        made = Secrets.fresh()
        write_private(path, json.dumps(asdict(made)))
        return made


def cache_folder() -> Path:
    """Cache folder of job environments and MNIST, shared by all stores of a user: ``$AZUREML_LOCAL_CACHE``, else the
    platform's cache directory.
    """
    chosen = os.environ.get("AZUREML_LOCAL_CACHE")
    return Path(chosen).expanduser().absolute() if chosen else user_cache_path("azureml-local")


def write_private(path: Path, text: str) -> None:
    """Atomically write a file that only its owner may read."""
    # A new file (O_EXCL) with an unpredictable name and the mode 0600 from its creation.
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
