"""Datastores that SDK v2 registers, and jobs that read from and write to them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

PROGRAM = """
    from azure.ai.ml.entities import AccountKeyConfiguration, AzureBlobDatastore, AzureFileDatastore
    stores = ml_client.datastores
    key = AccountKeyConfiguration(account_key="c2VjcmV0")
    where = dict(account_name="vtwoaccount", credentials=key)
    stores.create_or_update(AzureBlobDatastore(name="v2_store", container_name="data", **where))
    far = dict(container_name="data", endpoint="azureml-local.invalid", **where)
    stores.create_or_update(AzureBlobDatastore(name="v2_far", **far))
    share = AzureFileDatastore(name="v2_share", file_share_name="share", **where)
    path = "azureml://datastores/v2_store/paths/"
    job = ml_client.jobs.create_or_update(command(
        command="cp ${{inputs.given}} ${{outputs.made}}/b.csv", compute="tests", environment="ENVIRONMENT@latest",
        inputs={"given": Input(type="uri_file", path=path + "in/a.csv")},
        outputs={"made": Output(type="uri_folder", path=path + "out/${{name}}")},
    ))
    status = ended(job.name)
    ml_client.jobs.download(job.name, output_name="made", download_path=here / "back")
    far_away = Data(name="far", version="1", type="uri_file", path="azureml://datastores/v2_far/paths/a")
    found = {
        "job": job.name, "status": status, "files": files_below(here / "back"),
        "far": error_of(lambda: ml_client.data.create_or_update(far_away)),
        "names": sorted(each.name for each in stores.list()),
        "secret": stores.get("v2_far", include_secrets=True).credentials.account_key,
        "share": error_of(lambda: stores.create_or_update(share)),
    }
    for name in ("v2_store", "v2_far"):
        stores.delete(name)
    print(json.dumps({**found, "gone": error_of(lambda: stores.get("v2_store"))}))
"""


def test_registered_datastore_is_read_and_written_by_jobs_and_shared_with_sdk_v1(
    v2: Callable[[str], Any], workspace: Any, compute: Any, registered_here: str, tmp_path: Path
) -> None:
    from azureml.core import Datastore

    first = Datastore.register_azure_blob_container(
        workspace, "v1_store", "data", "vtwoaccount", account_key="c2VjcmV0"
    )
    (tmp_path / "a.csv").write_text("x,y")
    first.upload_files([str(tmp_path / "a.csv")], target_path="in", show_progress=False)
    found = v2(PROGRAM.replace("ENVIRONMENT", registered_here))
    assert found["status"] == "Completed"
    assert found["files"] == ["named-outputs/made/b.csv"]
    assert "'v2_far' are in the account 'vtwoaccount'" in found["far"]
    assert found["names"] == ["v1_store", "v2_far", "v2_store", "workspaceartifactstore", "workspaceblobstore"]
    assert found["secret"] == "c2VjcmV0"
    assert "SDK v2 registers blob containers" in found["share"]
    assert "There is no datastore 'v2_store'" in found["gone"]
    # The two names are of one container.
    first.download(str(tmp_path / "first"), f"out/{found['job']}", show_progress=False)
    assert [path.name for path in (tmp_path / "first").rglob("*.csv")] == ["b.csv"]
    first.unregister()
