"""A workspace under the names of a user's own config.json: all that a job sees, reads and writes has them too."""

from __future__ import annotations

import gc
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from azureml_local.client.instance import LocalServer
from azureml_local.names import WorkspaceName

# Of the same workspace: two clones of a project, each with a config.json of its own. A resource group may have letters
# of any language, and more signs than a workspace.
ONE = WorkspaceName("11111111-2222-3333-4444-555555555555", "Größe-(1).test", "my-workspace")
OTHER = WorkspaceName("99999999-8888-7777-6666-555555555555", "other-group", "other_workspace")

READ = """
    import sys
    from pathlib import Path
    from azureml.core import Dataset, Run, Workspace

    run = Run.get_context(allow_offline=False)
    workspace = run.experiment.workspace
    for way, given in zip(sys.argv[1::2], sys.argv[2::2]):
        way = way.lstrip("-")
        if way == "output":
            Path(given, "out.csv").write_text("n\\n4\\n")
            continue
        if way in ("mount", "download"):
            files = [Path(given)] if Path(given).is_file() else sorted(Path(given).rglob("*.csv"))
            numbers = [int(line) for file in files for line in file.read_text().split()[1:]]
        else:
            asked = Workspace.from_config() if way == "from_config" else workspace
            table = run.input_datasets["direct"] if way == "direct" else Dataset.get_by_name(asked, given)
            numbers = [int(number) for number in table.to_pandas_dataframe()["n"]]
        run.log(way, sum(numbers))
    run.log("workspace", "/".join([workspace.subscription_id, workspace.resource_group, workspace.name]))
"""


def client(server: LocalServer, name: WorkspaceName) -> Any:
    from azureml.core import Workspace

    server.answer_to(name)
    return Workspace(name.subscription_id, name.resource_group, name.name)


def words(name: WorkspaceName) -> str:
    return "/".join([name.subscription_id, name.resource_group, name.name])


@pytest.fixture
def one(server: LocalServer, workspace: Any) -> Any:
    """A client's second name for it; `workspace` has the first."""
    return client(server, ONE)


@pytest.fixture
def other(server: LocalServer, one: Any) -> Any:
    return client(server, OTHER)


@pytest.fixture
def table(one: Any, tmp_path: Path) -> Any:
    """Registered as ``own-numbers`` by the client of ONE."""
    from azureml.core import Dataset

    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "numbers.csv").write_text("n\n1\n2\n")
    store = one.get_default_datastore()
    store.upload(str(tmp_path / "data"), "own-names", show_progress=False)
    return Dataset.Tabular.from_delimited_files((store, "own-names/*.csv")).register(
        one, "own-numbers", create_new_version=True
    )


@pytest.fixture
def files(table: Any, one: Any) -> Any:
    from azureml.core import Dataset

    return Dataset.File.from_files((one.get_default_datastore(), "own-names/*.csv"))


@pytest.fixture
def script(tmp_path: Path, here: Any) -> Callable[..., Any]:
    """A configuration of READ."""
    from azureml.core import ScriptRunConfig

    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "read.py").write_text(textwrap.dedent(READ))

    def configured(*arguments: Any, **options: Any) -> Any:
        return ScriptRunConfig(str(folder), "read.py", arguments=list(arguments), environment=here, **options)

    return configured


def metrics(run: Any) -> dict[str, Any]:
    run.wait_for_completion()
    found: dict[str, Any] = run.get_metrics()
    return found


@pytest.mark.slow
def test_a_job_reads_and_writes_under_the_names_that_it_was_submitted_under(
    one: Any, other: Any, table: Any, files: Any, compute: Any, script: Callable[..., Any]
) -> None:
    from azureml.core import Dataset, Experiment
    from azureml.data import OutputFileDatasetConfig

    result = OutputFileDatasetConfig("result").register_on_complete("own-result").read_delimited_files()
    inputs = {
        "mount": files.as_named_input("mount").as_mount(),
        "download": files.as_named_input("download").as_download(),
        "direct": table.as_named_input("direct"),
        "by_name": "own-numbers",
        "from_config": "own-numbers",
        "output": result,
    }
    arguments = [word for pair in inputs.items() for word in pair]
    configuration = script(*arguments, compute_target=compute)
    one.write_config(configuration.source_directory)
    run = Experiment(one, "own-names").submit(configuration)
    read = ["mount", "download", "direct", "by_name", "from_config"]
    assert metrics(run) == {**dict.fromkeys(read, 3), "workspace": words(ONE)}

    # What a job under the one name wrote, a client and a job under the other one read, and the other way round.
    again = Dataset.get_by_name(other, "own-result")
    assert list(again.to_pandas_dataframe()["n"]) == ["4"]
    arguments = ["direct", again.as_named_input("direct"), "by_name", "own-numbers"]
    child = Experiment(other, "own-names").submit(script(*arguments, compute_target=compute))
    assert metrics(child) == {"direct": 4, "by_name": 3, "workspace": words(OTHER)}
    [lineage] = run.get_details()["outputDatasets"]
    assert list(lineage["dataset"].to_pandas_dataframe()["n"]) == ["4"]


def test_the_same_data_registered_under_another_name_of_the_workspace_is_no_new_version(
    workspace: Any, other: Any, table: Any
) -> None:
    from azureml.core import Dataset

    store = other.get_default_datastore()
    same = Dataset.Tabular.from_delimited_files((store, "own-names/*.csv"))
    registered = same.register(other, "own-numbers", create_new_version=True)
    assert (registered.version, registered.id) == (table.version, Dataset.get_by_name(workspace, "own-numbers").id)
    assert list(Dataset.get_by_name(workspace, "own-numbers").to_pandas_dataframe()["n"]) == [1, 2]


@pytest.mark.slow
def test_a_sweeps_children_read_under_the_name_of_their_sweep(
    one: Any, other: Any, table: Any, files: Any, compute: Any, script: Callable[..., Any]
) -> None:
    from azureml.core import Experiment
    from azureml.train.hyperdrive import GridParameterSampling, HyperDriveConfig, PrimaryMetricGoal, choice

    arguments = ["direct", table.as_named_input("direct"), "download", files.as_named_input("d").as_download()]
    sweep = HyperDriveConfig(
        run_config=script(*arguments, compute_target=compute),
        hyperparameter_sampling=GridParameterSampling({"by_name": choice("own-numbers")}),
        primary_metric_name="direct",
        primary_metric_goal=PrimaryMetricGoal.MAXIMIZE,
        max_total_runs=1,
    )
    run = Experiment(one, "own-names-sweep").submit(sweep)
    run.wait_for_completion()
    [child] = run.get_children()
    assert child.get_metrics() == {"direct": 3, "download": 3, "by_name": 3, "workspace": words(ONE)}


# The SDK leaves its process of a local submission behind.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.slow
def test_a_job_on_the_clients_machine_reads_under_the_clients_own_names(
    one: Any, other: Any, table: Any, files: Any, script: Callable[..., Any]
) -> None:
    from azureml.core import Experiment

    ways = ["mount", files.as_named_input("mount").as_mount(), "by_name", "own-numbers", "from_config", "own-numbers"]
    configuration = script(*ways, compute_target="local")
    other.write_config(configuration.source_directory)
    run = Experiment(other, "own-names-local").submit(configuration)
    assert metrics(run) == {"mount": 3, "by_name": 3, "from_config": 3, "workspace": words(OTHER)}
    del run
    gc.collect()


def test_an_interactive_run_reads_under_its_clients_own_names(one: Any, other: Any, table: Any) -> None:
    from azureml.core import Dataset, Experiment

    run = Experiment(other, "own-names-interactive").start_logging()
    numbers = Dataset.get_by_name(run.experiment.workspace, "own-numbers").to_pandas_dataframe()["n"]
    run.log("sum", int(numbers.sum()))
    run.complete()
    assert run.get_metrics() == {"sum": 3}
    assert f"/runs/{run.id}?" in run.get_portal_url()
    assert "/other-group/workspaces/other_workspace" in run.get_portal_url()


def test_names_that_differ_by_case_only_are_one_name(server: LocalServer, one: Any, table: Any) -> None:
    from azureml.core import Dataset

    shouted = client(server, WorkspaceName(ONE.subscription_id.upper(), ONE.resource_group.upper(), ONE.name.upper()))
    assert list(Dataset.get_by_name(shouted, "own-numbers").to_pandas_dataframe()["n"]) == [1, 2]
