"""Answers for hosts whose names are fixed inside the clients, in processes that `azureml-local` gave its variables to.

Python imports this at start-up because its folder stands in PYTHONPATH. Standard library only; the modules below are
changed when they are imported, and nothing else is.

- Azure Open Datasets, for MNIST and Diabetes: fetched by an engine that no proxy variable reaches. The classes get
  another answer to one question, which files: those of the local workspace's mirror.
- Addresses of the web that the user has named a folder for (`azureml-local up --mirror`): a dataset that is made of one
  reads the folder's files from the server. Off where there is none.
- Application Insights: what happens in a local workspace is not reported anywhere (offline, each report of SDK v1 would
  end as a red "Upload failed" in the notebook). SDK v1's own switch is a file in its package, which would still be off
  in the cloud; SDK v2 has variables for all but its live metrics.

And MLFLOW_TRACKING_URI is set where azureml-mlflow is installed, as on a compute instance: without that package mlflow
doesn't know the scheme, and only the process itself knows its packages.
"""

import importlib.abc
import importlib.machinery
import importlib.util
import json
import os
import re
import sys
import types
import urllib.parse
import urllib.request
from typing import Any, Callable, List, Optional, Sequence  # as Python 3.6 knows them: the client's may be that old

MIRROR = os.environ.get("AZUREML_LOCAL_MIRROR")
MIRRORS = json.loads(os.environ.get("AZUREML_LOCAL_MIRRORS", "{}"))
PREFIXES = {"train": "train-", "test": "t10k-"}


def mirrored_files(dataset_filter: str) -> List[str]:
    """The URLs of MNIST's files on the mirror; ``dataset_filter`` is all, train or test."""
    with urllib.request.urlopen(f"{MIRROR}/mnist", timeout=60) as answer:
        files = json.load(answer)["files"]
    prefix = PREFIXES.get(dataset_filter, "")
    return [url for url in files if url.rsplit("/", 1)[1].startswith(prefix)]


def redirect_mnist(module: types.ModuleType) -> None:
    def get_file_dataflow(self: object, **kwargs: Any) -> Any:
        from azureml.dataprep.api.readers import from_file_path

        return from_file_path(mirrored_files(kwargs.get("dataset_filter", "all")))

    module.MNISTFileBlobAccessor.get_file_dataflow = get_file_dataflow


def redirect_diabetes(module: types.ModuleType) -> None:
    original = module.BlobAccessor.get_file_dataflow

    def get_file_dataflow(self: Any, **kwargs: Any) -> Any:
        if self.id != "sample-diabetes":
            return original(self, **kwargs)
        from azureml.dataprep.api.readers import from_file_path

        return from_file_path([f"{MIRROR}/diabetes/diabetes.parquet"])

    module.BlobAccessor.get_file_dataflow = get_file_dataflow


def mirrored_addresses(url: str) -> List[str]:
    """Where the files of an address are: on the server, where a folder stands for it (``up --mirror``)."""
    found = re.match(r"wasbs?://([^@/]+)@([^/]+)/(.*)", url, re.IGNORECASE | re.DOTALL)
    plain = "https://" + "/".join(found.group(2, 1, 3)) if found else url
    for prefix in sorted(MIRRORS, key=len, reverse=True):
        if plain.startswith(prefix + "/"):
            rest = plain[len(prefix) + 1 :]
            query = urllib.parse.urlencode({"match": rest})
            with urllib.request.urlopen(MIRRORS[prefix] + "?" + query, timeout=60) as answer:
                names = json.load(answer)["files"]
            return [MIRRORS[prefix] + "/" + name for name in names or [rest]]
    return [url]


def redirect_addresses(module: types.ModuleType) -> None:
    original = module._validate_and_normalize_path

    def normalize(path: Any) -> List[Any]:
        found = original(path)
        return [new for each in found for new in (mirrored_addresses(each) if isinstance(each, str) else [each])]

    setattr(module, "_validate_and_normalize_path", normalize)  # noqa: B010


def keep_telemetry_here(module: types.ModuleType) -> None:
    setattr(module, "_http_send", lambda *_, **__: module.SUCCESS)  # noqa: B010  (mypy knows no such name)


def keep_live_metrics_here(module: types.ModuleType) -> None:
    setattr(module, "setup_azure_monitor", lambda *_, **__: None)  # noqa: B010


CHANGES = {
    **({"azureml.data.dataset_factory": redirect_addresses} if MIRRORS else {}),
    "azure.ai.ml._telemetry.logging_handler": keep_live_metrics_here,
    "azureml.opendatasets.dataaccess._blob_accessor": redirect_diabetes,
    "azureml.opendatasets.dataaccess._mnist_blob_accessor": redirect_mnist,
    "azureml.telemetry.logging_handler": keep_telemetry_here,
}


class Loader(importlib.abc.Loader):
    def __init__(self, original: importlib.abc.Loader, change: Callable[[types.ModuleType], None]) -> None:
        self.original = original
        self.change = change

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> Optional[types.ModuleType]:
        return self.original.create_module(spec)

    def exec_module(self, module: types.ModuleType) -> None:
        self.original.exec_module(module)
        self.change(module)

    def __getattr__(self, name: str) -> Any:
        """What a module asks of its loader beside: pkgutil.get_data its ``get_data``, tracebacks its ``get_source``."""
        return getattr(self.original, name)


class Finder(importlib.abc.MetaPathFinder):
    def find_spec(
        self, name: str, path: Optional[Sequence[str]], target: Optional[types.ModuleType] = None
    ) -> Optional[importlib.machinery.ModuleSpec]:
        if name not in CHANGES:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = Loader(spec.loader, CHANGES[name])
        return spec


def choose_mlflow_tracking_uri(uri: str) -> None:
    """Set the workspace's own tracking URI where azureml-mlflow can read it; one of the user's own stays."""
    chosen = os.environ.get("MLFLOW_TRACKING_URI")
    installed = any(os.path.isfile(os.path.join(entry, "azureml", "mlflow", "__init__.py")) for entry in sys.path)
    if installed and chosen is None:
        os.environ["MLFLOW_TRACKING_URI"] = uri
    elif not installed and chosen == uri:  # of a parent process with other packages
        del os.environ["MLFLOW_TRACKING_URI"]


def run_the_next_one() -> None:
    """Another sitecustomize further down the path is hidden by this one; it has its turn all the same."""
    here = os.path.dirname(os.path.abspath(__file__))
    path = [os.path.abspath(entry or os.curdir) for entry in sys.path]
    if here in path:  # not what is before it: that may have called this one
        path = path[path.index(here) + 1 :]
    spec = importlib.machinery.PathFinder.find_spec("sitecustomize", path)
    if spec is not None and spec.loader is not None:
        spec.loader.exec_module(importlib.util.module_from_spec(spec))


if MIRROR:
    sys.meta_path.insert(0, Finder())
    choose_mlflow_tracking_uri(os.environ.get("AZUREML_LOCAL_MLFLOW", ""))
run_the_next_one()
