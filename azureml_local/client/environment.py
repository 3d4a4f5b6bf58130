"""The environment variables that point a process with the real SDK at a local workspace server.

Which variable does what was measured with azureml-core 1.61 (each dropped in turn).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from azureml_local.endpoints import CLOUD_NAME, Endpoints
from azureml_local.trust import Trust

STARTUP_FOLDER = Path(__file__).parent / "startup"

PROXIES = tuple(case for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY") for case in (name, name.lower()))


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
