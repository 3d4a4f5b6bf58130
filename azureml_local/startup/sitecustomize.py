"""Points azureml-opendatasets' MNIST at the local workspace's mirror, in processes that `azureml-local` gave its variables to.

Python imports this at start-up because its folder stands in PYTHONPATH. The address of MNIST is fixed text inside the SDK's package, and
fetched by an engine that no proxy variable reaches, so here, and only here, a class of the SDK gets another answer to one question:
which files. Standard library only, and nothing happens until that module is imported.
"""

import importlib.abc
import importlib.machinery
import importlib.util
import json
import os
import sys
import urllib.request

MODULE = "azureml.opendatasets.dataaccess._mnist_blob_accessor"
MIRROR = os.environ.get("AZUREML_LOCAL_MIRROR")
PREFIXES = {"train": "train-", "test": "t10k-"}


def mirrored_files(dataset_filter):
    """The URLs of MNIST's files on the mirror; ``dataset_filter`` is all, train or test."""
    with urllib.request.urlopen(f"{MIRROR}/mnist", timeout=60) as answer:
        files = json.load(answer)["files"]
    prefix = PREFIXES.get(dataset_filter, "")
    return [url for url in files if url.rsplit("/", 1)[1].startswith(prefix)]


def redirect(module):
    def get_file_dataflow(self, **kwargs):
        from azureml.dataprep.api.readers import from_file_path

        return from_file_path(mirrored_files(kwargs.get("dataset_filter", "all")))

    module.MNISTFileBlobAccessor.get_file_dataflow = get_file_dataflow


class Loader(importlib.abc.Loader):
    def __init__(self, original):
        self.original = original

    def create_module(self, spec):
        return self.original.create_module(spec)

    def exec_module(self, module):
        self.original.exec_module(module)
        redirect(module)


class Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name != MODULE:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is not None:
            spec.loader = Loader(spec.loader)
        return spec


def run_the_next_one():
    """Another sitecustomize further down the path is hidden by this one; it has its turn all the same."""
    here = os.path.dirname(os.path.abspath(__file__))
    path = [entry for entry in sys.path if os.path.abspath(entry or os.curdir) != here]
    spec = importlib.machinery.PathFinder.find_spec("sitecustomize", path)
    if spec is not None and spec.loader is not None:
        spec.loader.exec_module(importlib.util.module_from_spec(spec))


if MIRROR:
    sys.meta_path.insert(0, Finder())
run_the_next_one()
