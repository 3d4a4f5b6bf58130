"""The environment variables that point a process with the real SDK, client or job, at a local workspace
server.

Which variable does what was measured with azureml-core 1.61 (each dropped in turn).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from azureml_local.names import WorkspaceName
from azureml_local.trust import Trust

STARTUP_FOLDER = Path(__file__).parent / "startup"

# The name of the cloud must be this one: a job's sign-in asks for it by this name whatever
# AZUREML_CURRENT_CLOUD says.
CLOUD_NAME = "AzureCloud"

PROXIES = tuple(case for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY") for case in (name, name.lower()))


@dataclass(frozen=True)
class Endpoints:
    """Where a server listens. ``api`` is https (Azure's clients send tokens nowhere else); ``plain`` is http
    on loopback, whatever the host, for sign-in and for the pages that a person opens in a browser, which does not
    know our certificate.
    """

    api: str
    plain: str

    @classmethod
    def at(cls, api_port: int, plain_port: int, host: str = "localhost") -> Endpoints:
        return cls(api=f"https://{host}:{api_port}", plain=f"http://localhost:{plain_port}")


def client_variables(
    endpoints: Endpoints,
    *,
    trust: Trust,
    sign_in_secret: str,
    client_home: Path,
    inherited: Mapping[str, str],
) -> dict[str, str]:
    """For a process that uses the SDK as a person does: a notebook, a script, a test."""
    python_path = [str(STARTUP_FOLDER), *filter(None, inherited.get("PYTHONPATH", "").split(os.pathsep))]
    return {
        "ARM_CLOUD_METADATA_URL": f"{endpoints.api}/metadata/endpoints",
        "AZUREML_CURRENT_CLOUD": CLOUD_NAME,
        "MSI_ENDPOINT": f"{endpoints.plain}/msi/token",
        "MSI_SECRET": sign_in_secret,
        # With this, msrestazure sends the secret with each request for a token (get_msi_token_webapp).
        "APPSETTING_WEBSITE_SITE_NAME": "azureml-local",
        **trust.variables(),
        # Caches of earlier servers and of the real cloud would be wrong here; ours would be wrong there.
        "AZURE_CONFIG_DIR": str(client_home / "azure"),
        "AZUREML_AUTH_CONFIG_DIR": str(client_home / "auth"),
        "AZUREML_LOCAL_MIRROR": f"{endpoints.api}/opendata",
        "PYTHONPATH": os.pathsep.join(dict.fromkeys(python_path)),
        **_around_proxies(inherited, str(urlsplit(endpoints.api).hostname)),
    }


def _around_proxies(inherited: Mapping[str, str], host: str) -> dict[str, str]:
    """Where a proxy is set, requests to the server must not go to it. Libraries read either spelling."""
    if not any(inherited.get(name) for name in PROXIES):
        return {}
    known = [word for name in ("NO_PROXY", "no_proxy") for word in inherited.get(name, "").split(",") if word.strip()]
    value = ",".join(dict.fromkeys([*(word.strip() for word in known), "localhost", "127.0.0.1", host]))
    return {"NO_PROXY": value, "no_proxy": value}


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
) -> dict[str, str]:
    """For the process of a run; without any one of the first six, Run.get_context() gives an offline run and
    says nothing.

    Args:
        workspace: the name that the run was submitted under: the SDK's data engine refuses to read what is of another.
        experiment: its name and its id.
        token_expiry: ISO 8601, UTC: the SDK takes a number for local time.
    """
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
        # The SDK's own switch for jobs whose data must not leave the workspace (azureml.telemetry HBI_MODE):
        # no telemetry.
        "HBI_WORKSPACE_JOB": "true",
    }
