"""Datastores that a client registers: containers of this store, and accounts elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from azureml_local.client.instance import LocalServer
from azureml_local.storage.folder import StateFolder
from azureml_local.workspace import Workspace
from azureml_local.workspace.errors import Conflict

KEY = "c2VjcmV0IG9mIGFuYWNjb3VudA=="
NOWHERE = "azureml-local.invalid"


@pytest.fixture
def blob_container(workspace: Any) -> Iterator[Callable[..., Any]]:
    """Register one; all go at the end."""
    from azureml.core import Datastore

    def register(name: str, container: str = "data", account: str = "anaccount", **options: Any) -> Any:
        return Datastore.register_azure_blob_container(workspace, name, container, account, **options)

    yield register
    workspace.set_default_datastore("workspaceblobstore")
    for name, store in workspace.datastores.items():
        if name != "workspaceblobstore":
            store.unregister()


def text_of(store: Any, folder: Path) -> str:
    """What the file ``x/t.csv`` of a datastore holds."""
    store.download(str(folder), "x", overwrite=True, show_progress=False)
    return (folder / "x" / "t.csv").read_text()


@pytest.mark.sdk("Datastore.register_azure_blob_container", "Datastore.unregister", "AzureBlobDatastore.unregister")
def test_registered_container_is_apart_from_others_and_is_found_again(
    workspace: Any, blob_container: Callable[..., Any], tmp_path: Path
) -> None:
    from azureml.core import Dataset, Datastore

    def put(store: Any, text: str) -> None:
        (tmp_path / "t.csv").write_text(text)
        store.upload_files([str(tmp_path / "t.csv")], target_path="x", overwrite=True, show_progress=False)

    default = workspace.get_default_datastore()
    second = blob_container("second", account_key=KEY)
    other = blob_container("other_account", account="another", sas_token="sv=1&sig=x")
    for store, text in ((default, "n\n0\n"), (second, "n\n1\n2\n"), (other, "n\n9\n")):
        put(store, text)
    assert (second.account_name, second.container_name) == ("anaccount", "data")
    assert [text_of(store, tmp_path / store.name) for store in (default, second, other)] == [
        "n\n0\n",
        "n\n1\n2\n",
        "n\n9\n",
    ]
    table = Dataset.Tabular.from_delimited_files((Datastore.get(workspace, "second"), "x/*.csv"))
    assert int(table.to_pandas_dataframe()["n"].sum()) == 3
    assert sorted(workspace.datastores) == ["other_account", "second", "workspaceblobstore"]

    with pytest.raises(Exception, match="Another datastore with the same name already exists"):
        blob_container("second", account_key=KEY)
    assert blob_container("SECOND", "more", account_key=KEY, overwrite=True).container_name == "more"
    same = blob_container("same_container", account_key=KEY)
    assert text_of(same, tmp_path / "same") == "n\n1\n2\n"
    same.unregister()
    with pytest.raises(Exception, match=r"no datastore 'same_container'.*'second'"):
        Datastore.get(workspace, "same_container")
    with pytest.raises(Exception, match=r"no 'workspacefilestore', which is a file share"):
        Datastore.get(workspace, "workspacefilestore")


def test_container_of_the_workspaces_own_account_works_and_its_own_datastores_stay(
    workspace: Any, blob_container: Callable[..., Any]
) -> None:
    own = workspace.get_default_datastore()
    mine = blob_container("mine", "second-container", own.account_name, account_key=own.account_key)
    assert (mine.account_name, mine.container_name) == (own.account_name, "second-container")
    for name, container, words in (
        ("workspaceblobstore", "data", "the workspace's own"),
        ("runs", "azureml", "has the files of runs"),
        ("odd", "Data!", "no name of a container"),
    ):
        with pytest.raises(Exception, match=words):
            blob_container(name, container, own.account_name, account_key=KEY)
    with pytest.raises(Exception, match="default; it can't be unregistered"):
        own.unregister()


@pytest.mark.sdk("AzureBlobDatastore.set_as_default", "Workspace.set_default_datastore")
def test_default_datastore_can_be_another_one(workspace: Any, blob_container: Callable[..., Any]) -> None:
    store = blob_container("chosen", account_key=KEY)
    store.set_as_default()
    assert workspace.get_default_datastore().name == "chosen"
    with pytest.raises(Exception, match="default; it can't be unregistered"):
        store.unregister()


@pytest.mark.slow
def test_a_job_reads_from_and_writes_to_a_registered_container(
    workspace: Any, blob_container: Callable[..., Any], submit: Callable[..., Any], tmp_path: Path
) -> None:
    from azureml.core import Dataset
    from azureml.data import OutputFileDatasetConfig

    store = blob_container("jobs_own", account_key=KEY)
    (tmp_path / "t.csv").write_text("n\n1\n2\n")
    store.upload_files([str(tmp_path / "t.csv")], target_path="x", show_progress=False)
    files = Dataset.File.from_files((store, "x/*.csv"))
    result = OutputFileDatasetConfig("result", destination=(store, "made/{run-id}")).as_upload()
    run = submit(
        """
        import sys
        from pathlib import Path
        [file] = Path(sys.argv[1]).rglob("*.csv")
        Path(sys.argv[2], "out.txt").write_text(file.read_text().replace("1", "4"))
        """,
        [files.as_named_input("given").as_mount(), result],
    )
    run.wait_for_completion()
    assert store.download(str(tmp_path / "back"), f"made/{run.id}", show_progress=False) == 1
    assert (tmp_path / "back" / "made" / run.id / "out.txt").read_text() == "n\n4\n2\n"
    [made] = run.get_details()["outputDatasets"]
    assert [path.rpartition("/")[2] for path in made["dataset"].to_path()] == ["out.txt"]


@pytest.mark.slow
def test_job_that_reads_from_an_account_out_of_reach_fails_with_the_datastores_name(
    workspace: Any, blob_container: Callable[..., Any], submit: Callable[..., Any]
) -> None:
    from azureml.core import Dataset
    from azureml.data import OutputFileDatasetConfig

    far = blob_container("far_away", account_key=KEY, endpoint=NOWHERE)
    assert (far.account_key, far.endpoint) == (KEY, NOWHERE)
    assert blob_container("public").endpoint == "core.windows.net"  # without a credential it is a public one
    files = Dataset.File.from_files((far, "x/*"), validate=False)
    run = submit("", [files.as_named_input("given").as_download()])
    run.wait_for_completion(raise_on_error=False)
    message = run.get_details()["error"]["error"]["message"]
    assert rf"The input 'given' of the datastore far_away (data at anaccount.{NOWHERE}) could not be" in message
    with pytest.raises(Exception, match=r"'far_away' are in the account 'anaccount'"):
        submit("", [OutputFileDatasetConfig("result", destination=(far, "made"))])


@pytest.mark.sdk("Datastore.register_azure_file_share", "Datastore.register_azure_data_lake_gen2")
@pytest.mark.sdk("Datastore.register_azure_data_lake")
@pytest.mark.case("secrets-unseen")
def test_credentials_of_accounts_elsewhere_are_kept_encrypted(
    workspace: Any, blob_container: Callable[..., Any], server: LocalServer
) -> None:
    from azureml.core import Datastore

    secret, lake = "sEcReT-of-a-lake", {"tenant_id": "t", "client_id": "c"}
    Datastore.register_azure_data_lake_gen2(workspace, "lake_two", "files", "anaccount", client_secret=secret, **lake)
    Datastore.register_azure_data_lake(workspace, "lake_one", "astore", client_secret=secret, **lake)
    Datastore.register_azure_file_share(workspace, "shares", "share", "anaccount", account_key=KEY)
    blob_container("far", account_key=KEY, endpoint=NOWHERE)
    assert Datastore.get(workspace, "lake_two").client_secret == secret
    assert Datastore.get(workspace, "lake_one").client_secret == secret
    assert Datastore.get(workspace, "shares").account_key == KEY
    for file in server.folder.root.glob("workspace.sqlite3*"):
        assert not [word for word in (secret, KEY) if word.encode() in file.read_bytes()], file.name
    assert not [word for word in (secret, KEY) if word in server.folder.log.read_text()]


@pytest.mark.sdk_refused(
    "Datastore.register_azure_sql_database",
    "Datastore.register_azure_my_sql",
    "Datastore.register_azure_postgre_sql",
    "Datastore.register_dbfs",
)
def test_datastores_that_are_no_files_are_refused_by_their_kind(workspace: Any) -> None:
    from azureml.core import Datastore

    for kind, act in {
        "AzureSqlDatabase": lambda: Datastore.register_azure_sql_database(
            workspace, "mine", "server", "db", tenant_id="t", client_id="c", client_secret="s", endpoint="e"
        ),
        "AzureMySql": lambda: Datastore.register_azure_my_sql(workspace, "mine", "server", "db", "user", "password"),
        "AzurePostgreSql": lambda: Datastore.register_azure_postgre_sql(
            workspace, "mine", "server", "db", "user", "password"
        ),
        "DBFS": lambda: Datastore.register_dbfs(workspace, "mine"),
    }.items():
        with pytest.raises(Exception, match=f"The {kind} datastore 'mine' can't be registered"):
            act()


def test_datastores_outlive_the_server_but_not_the_key_of_their_credentials(tmp_path: Path) -> None:
    from azureml_local.workspace.registered_datastores import Datastore, local_container

    folder = StateFolder(tmp_path / "state")
    folder.create()
    kept = Datastore("kept", account="anaccount", local=local_container("anaccount", "data"), container="data")
    far = Datastore("far", account="anaccount", container="data", local=None, settings={"credential": KEY})
    first = Workspace(folder)
    for each in (kept, far):
        first.datastores.register(each)
    first.datastores.set_default("kept")
    first.close()
    again = Workspace(folder)
    assert (again.datastores.get("kept"), again.datastores.get("far")) == (kept, far)
    assert (again.datastores.default, again.datastores.physical("anaccount", "data")) == ("kept", "anaccount-data")
    again.close()
    (folder.root / "secrets.json").unlink()
    anew = Workspace(folder)
    with pytest.raises(Conflict, match=r"'far' were encrypted with a key.*Register it again"):
        anew.datastores.get("far")
    anew.close()
