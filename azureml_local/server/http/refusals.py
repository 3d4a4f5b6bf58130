"""What of Azure is not built, by the name that a user knows it by: who publishes a pipeline has never heard of
Pipelines/Create. The first word of an address is the service, and most services are one such thing.
"""

from __future__ import annotations

import re

COVERAGE = "the README lists what works"
WORKSPACE = r"/subscriptions/[^/]+/resourceGroups/[^/]+/providers/Microsoft\.MachineLearningServices/workspaces/[^/]+"

# The first that matches the path. What to do instead stands in the sentence where there is something.
KINDS = tuple(
    (re.compile(pattern, re.IGNORECASE | re.DOTALL), sentence)
    for pattern, sentence in (
        (
            r"/pipelines/.*",
            "This part of pipelines (azureml.pipeline) is not built in azureml-local",
        ),
        (
            r"/(?:jasmine|automl)/.*",
            "Automated machine learning (azureml.train.automl) is not built in azureml-local. A HyperDrive sweep tries "
            "a script's parameters: HyperDriveConfig",
        ),
        (
            r"/datacache/.*",
            "Caches of data (FileDataset.as_cache, hydrate) are not built in azureml-local. Jobs that read the same "
            "files share them: as_mount()",
        ),
        (
            r"/dataset/.*/(?:actions/.*|profile[^/]*)",
            "Profiles of tables (TabularDataset.get_profile, submit_profile_run) are not built in azureml-local. Use "
            "to_pandas_dataframe().describe()",
        ),
        (r"/modelregistry/.*", "The model registry of v2 is not built in azureml-local. Use Model.register of SDK v1"),
        (
            rf"(?:/rp/workspaces)?{WORKSPACE}/linkedServices.*",
            "Linked services of a workspace (Synapse) are not built in azureml-local",
        ),
        (
            rf"(?:/rp/workspaces)?{WORKSPACE}/privateEndpointConnections.*|.*/virtualNetworks/.*",
            "Private endpoints and virtual networks are not built in azureml-local, which serves this machine",
        ),
        (r".*/(?:usages|quotas|updateQuotas)", "Usages and quotas are not built in azureml-local, where none are"),
        (
            rf"{WORKSPACE}/components.*",
            "Components, and the pipeline jobs that are made of them, are not built in azureml-local yet. Submit each "
            "step as a command job: ml_client.jobs.create_or_update(command(...))",
        ),
        (
            rf"{WORKSPACE}/schedules.*",
            "Schedules of SDK v2 are not built in azureml-local. Submit the job when it is to run",
        ),
        (
            r".*/batchEndpoints.*",
            "Batch endpoints of SDK v2 are not built in azureml-local. Score the files in a command job, or in a "
            "ParallelRunStep of SDK v1",
        ),
        (r".*/onlineEndpoints.*", "Online endpoints of SDK v2 are not built in azureml-local"),
        (
            r".*/(?:serverlessEndpoints|marketplaceSubscriptions).*",
            "Serverless endpoints and subscriptions to models of a marketplace are not built in azureml-local",
        ),
        (
            r"/registrymanagement/.*|.*/registries/.*",
            "Registries are not built in azureml-local, whose workspace keeps models, environments and data itself",
        ),
        (
            r".*/(?:featuresets|featurestoreEntities|featurestores).*",
            "Feature stores are not built in azureml-local. Keep the features as a data asset",
        ),
        (r"/genericasset/.*/indexes.*", "Indexes (of prompt flow) are not built in azureml-local"),
        (
            rf"{WORKSPACE}/outboundRules.*",
            "Managed networks and their outbound rules are not built in azureml-local, which serves this machine",
        ),
    )
)


def sentence(method: str, path: str) -> str:
    """Why a request that no route takes is refused."""
    what = f"{method} {path} is not built in azureml-local; {COVERAGE}."
    return next((f"{kind}. ({what})" for pattern, kind in KINDS if pattern.fullmatch(path)), what)
