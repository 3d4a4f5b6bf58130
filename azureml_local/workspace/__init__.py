"""The workspace's objects: experiments, runs, metrics, artifacts, snapshots, datasets, environments, models,
computes, and its key vault.

Plain Python on top of `storage`: no HTTP, no processes.
"""

from __future__ import annotations

from azureml_local.storage.blobs import BlobStore
from azureml_local.storage.database import Database
from azureml_local.storage.folder import StateFolder
from azureml_local.workspace.artifacts import Artifacts
from azureml_local.workspace.assets import CODE, COMPONENT, DATA, Assets
from azureml_local.workspace.changes import Changes
from azureml_local.workspace.comparison import Comparison
from azureml_local.workspace.computes import Computes
from azureml_local.workspace.datasets import Datasets
from azureml_local.workspace.environments import Environments
from azureml_local.workspace.experiments import Experiments
from azureml_local.workspace.followers import Followers
from azureml_local.workspace.identity import Identity
from azureml_local.workspace.keyvault import KeyVault
from azureml_local.workspace.metrics import Metrics
from azureml_local.workspace.mirrors import Mirrors
from azureml_local.workspace.models import Models
from azureml_local.workspace.parameters import Parameters
from azureml_local.workspace.pipeline_parts import PipelineParts
from azureml_local.workspace.registered_datastores import Datastores
from azureml_local.workspace.run_data import NamedDataOfRuns
from azureml_local.workspace.runs import Runs
from azureml_local.workspace.schedules import Schedules
from azureml_local.workspace.services import Services
from azureml_local.workspace.snapshots import Snapshots


class Workspace:
    """One workspace: each part under the name that Azure ML gives it."""

    def __init__(self, folder: StateFolder) -> None:
        self.folder = folder
        self.database = Database(folder.database)
        self.blobs = BlobStore(self.database, folder.blobs)
        self.identity = Identity(self.database)
        self.experiments = Experiments(self.database)
        self.runs = Runs(self.database)
        self.parameters = Parameters(self.database)
        self.pipeline_parts = PipelineParts(self.database)
        self.schedules = Schedules(self.pipeline_parts)
        self.followers = Followers()
        self.run_data = NamedDataOfRuns(self.database)
        self.metrics = Metrics(self.database)
        self.artifacts = Artifacts(self.blobs)
        self.snapshots = Snapshots(self.database, self.blobs)
        self.datasets = Datasets(self.database)
        self.environments = Environments(self.database)
        self.models = Models(self.database)
        self.data = Assets(self.database, DATA)
        self.components = Assets(self.database, COMPONENT)
        self.codes = Assets(self.database, CODE)
        self.computes = Computes(self.database)
        self.comparison = Comparison(self.database)
        self.changes = Changes(self.database)
        self.keyvault = KeyVault(self.database, folder.secrets().signing_key)
        self.mirrors = Mirrors(self.database)
        self.datastores = Datastores(self.database, folder.secrets().signing_key)
        self.services = Services(self.database, folder.secrets().signing_key)

    def close(self) -> None:
        self.changes.close()
        self.database.close()


__all__ = ["Workspace"]
