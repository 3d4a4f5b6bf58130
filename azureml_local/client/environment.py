"""The environment variables that point a process with a real client, of either SDK or of MLflow, at a local workspace
server.

Which variable does what was measured with azureml-core 1.61, azure-ai-ml 1.35 and mlflow 2.22 (each dropped in turn).
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from urllib.parse import urlsplit

from azureml_local.endpoints import CLIENT_CLOUD_NAME, Endpoints, authority, metadata_url, mlflow_tracking_uri
from azureml_local.names import WorkspaceName
from azureml_local.trust import Trust

STARTUP_FOLDER = Path(__file__).parent / "startup"

# Where both clients report to Microsoft by themselves, and MLflow to its makers; what no variable stops, the start-up
# hook does (startup/sitecustomize.py).
NO_TELEMETRY = {
    **dict.fromkeys(("OTEL_LOGS_EXPORTER", "OTEL_METRICS_EXPORTER", "OTEL_TRACES_EXPORTER"), "none"),
    "APPLICATIONINSIGHTS_STATSBEAT_DISABLED_ALL": "true",
    "APPLICATIONINSIGHTS_CONTROLPLANE_DISABLED": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}

PROXIES = tuple(case for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY") for case in (name, name.lower()))


def client_variables(
    endpoints: Endpoints,
    *,
    trust: Trust,
    sign_in_secret: str,
    sign_in_key: str,
    client_folders: tuple[Path, Path],
    workspace: WorkspaceName,
    tracking_token: str,
    inherited: Mapping[str, str],
    mirrors: Mapping[str, str] = MappingProxyType({}),
) -> dict[str, str]:
    """For a process that uses an SDK or MLflow as a person does: a notebook, a script, a test.

    Args:
        sign_in_key: of the address at which a service principal signs in (`Secrets.sign_in_key`).
        client_folders: of the caches of sign-ins, the Azure CLI's and the SDK's.
        workspace: the one that MLflow logs to where nobody has set a tracking URI.
        mirrors: addresses of the web that a folder stands for, and where the server serves its files.
        tracking_token: for MLflow, where it is given a plain ``https://`` URI of this server.
    """
    python_path = [str(STARTUP_FOLDER), *filter(None, inherited.get("PYTHONPATH", "").split(os.pathsep))]
    return {
        "ARM_CLOUD_METADATA_URL": metadata_url(endpoints, sign_in_key),
        "AZUREML_CURRENT_CLOUD": CLIENT_CLOUD_NAME,
        "MSI_ENDPOINT": f"{endpoints.plain}/msi/token",
        "MSI_SECRET": sign_in_secret,
        # With this, msrestazure sends the secret with each request for a token (get_msi_token_webapp).
        "APPSETTING_WEBSITE_SITE_NAME": "azureml-local",
        # azure-identity's (ClientSecretCredential, EnvironmentCredential), which doesn't read the cloud's addresses.
        "AZURE_AUTHORITY_HOST": authority(endpoints, sign_in_key),
        # How InteractiveLoginAuthentication(tenant_id=...) signs in: the managed identity is of another tenant, and a
        # service principal of these names is what it tries next.
        "AZUREML_SERVICE_PRINCIPAL_ID": "azureml-local",
        "AZUREML_SERVICE_PRINCIPAL_PASSWORD": "not-needed",
        **trust.variables(),
        # Caches of earlier servers and of the real cloud would be wrong here; ours would be wrong there.
        "AZURE_CONFIG_DIR": str(client_folders[0]),
        "AZUREML_AUTH_CONFIG_DIR": str(client_folders[1]),
        "AZUREML_LOCAL_MIRROR": f"{endpoints.api}/opendata",
        **({"AZUREML_LOCAL_MIRRORS": json.dumps(dict(mirrors))} if mirrors else {}),
        # As a compute instance has it; for processes that have azureml-mlflow, and the start-up hook knows which do.
        "AZUREML_LOCAL_MLFLOW": mlflow_tracking_uri(endpoints, workspace),
        "MLFLOW_TRACKING_TOKEN": tracking_token,
        # Else MLClient(registry_name=...) looks for a host of Azure's; here it is refused in words.
        "REGISTRY_DISCOVERY_ENDPOINT_URL": f"{endpoints.api}/registrymanagement/v1.0",
        **NO_TELEMETRY,
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
