"""Environment variables from which the SDK and MLflow in a job get their run.

Which variable does what was measured with azureml-core 1.61 (each dropped in turn).
"""

from __future__ import annotations

from azureml_local.endpoints import CLIENT_CLOUD_NAME, Endpoints, authority, metadata_url, mlflow_tracking_uri
from azureml_local.names import WorkspaceName
from azureml_local.trust import Trust


def job_variables(
    endpoints: Endpoints,
    *,
    trust: Trust,
    workspace: WorkspaceName,
    workspace_id: str,
    experiment: tuple[str, str],
    run_id: str,
    token: str,
    token_expiry: str,
    sign_in_key: str,
) -> dict[str, str]:
    """SDK variables for the process of a run; without any one of the first six, Run.get_context() silently gives an
    offline run.

    Args:
        workspace: the workspace name that the run was submitted under: the SDK's data engine refuses data of any other.
        experiment: its name and its id.
        sign_in_key: of the run's own sign-in address (`Secrets.sign_in_key`).
        token_expiry: ISO 8601, UTC: the SDK takes a number for local time.
    """
    tracking = mlflow_tracking_uri(endpoints, workspace)
    return {
        "AZUREML_ARM_SUBSCRIPTION": workspace.subscription_id,
        "AZUREML_ARM_RESOURCEGROUP": workspace.resource_group,
        "AZUREML_ARM_WORKSPACE_NAME": workspace.name,
        "AZUREML_ARM_PROJECT_NAME": experiment[0],
        "AZUREML_RUN_ID": run_id,
        "AZUREML_RUN_TOKEN": token,
        "AZUREML_RUN_TOKEN_EXPIRY": token_expiry,
        "AZUREML_SERVICE_ENDPOINT": endpoints.api,
        "AZUREML_EXPERIMENT_ID": experiment[1],
        "AZUREML_WORKSPACE_ID": workspace_id,
        # Not AZUREML_DISCOVERY_SERVICE_ENDPOINT: with it the SDK reads the location off the host name, and
        # "localhost" has none.
        **trust.variables(),
        # How Workspace.from_config() and azure-identity sign in, as on a cluster that has a managed identity: with the
        # run's own token, and to this server. Without them they ask Microsoft.
        "ARM_CLOUD_METADATA_URL": metadata_url(endpoints, sign_in_key),
        "AZUREML_CURRENT_CLOUD": CLIENT_CLOUD_NAME,
        "MSI_ENDPOINT": f"{endpoints.api}/msi/token",
        "MSI_SECRET": token,
        "APPSETTING_WEBSITE_SITE_NAME": "azureml-local",
        "AZURE_AUTHORITY_HOST": authority(endpoints, sign_in_key),
        # The SDK's own switch for jobs whose data must not leave the workspace (azureml.telemetry HBI_MODE):
        # no telemetry.
        "HBI_WORKSPACE_JOB": "true",
        # MLflow's own. Its first run in the process is the job's; the start-up hook (startup/sitecustomize.py) gives
        # the URI the scheme azureml:// in a process that has azureml-mlflow, as in Azure.
        "MLFLOW_TRACKING_URI": tracking.replace("azureml://", "https://", 1),
        "MLFLOW_TRACKING_TOKEN": token,
        "MLFLOW_RUN_ID": run_id,
        "MLFLOW_EXPERIMENT_ID": experiment[1],
        "MLFLOW_EXPERIMENT_NAME": experiment[0],
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "AZUREML_LOCAL_MLFLOW": tracking,
    }
