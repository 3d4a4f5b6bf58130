"""Models, through the real SDK."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from azureml_local.client.instance import LocalServer


@pytest.fixture
def run(experiment: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """An interactive run with a file and a folder among its outputs, in an empty current folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.pkl").write_bytes(b"not really a pickle: nobody here may load it")
    run = experiment.start_logging(snapshot_directory=None)
    run.upload_files(["outputs/model.pkl", "outputs/folder/one.txt"], ["model.pkl", "model.pkl"])
    yield run
    run.complete()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net" / "weights").mkdir(parents=True)
    (tmp_path / "net" / "weights" / "1.bin").write_bytes(b"weights")
    (tmp_path / "net" / "net.json").write_text("{}")
    return tmp_path


@pytest.mark.sdk(
    "Run.register_model", "Model.list", "Model.download", "Model", "Model.get_sas_urls", "Workspace.get_run"
)
def test_a_model_of_a_run_has_versions_and_its_bytes(run: Any, workspace: Any, tmp_path: Path) -> None:
    from azureml.core import Dataset, Model

    data = Dataset.File.from_files(workspace.get_default_datastore().path("no/such/*.csv"), validate=False)
    first = run.register_model(
        "of-a-run",
        model_path="outputs/model.pkl",
        tags={"kind": "test"},
        properties={"from": "here"},
        description="of a run",
        datasets=[("training", data)],
        model_framework="ScikitLearn",
        model_framework_version="1.5.1",
    )
    second = run.register_model("of-a-run", model_path="outputs/folder")
    assert (first.id, second.id) == ("of-a-run:1", "of-a-run:2")
    assert Model(workspace, "of-a-run").version == 2
    found = Model(workspace, "of-a-run", version=1)
    assert (found.tags, found.properties, found.run_id, found.run.id) == (
        {"kind": "test"},
        {"from": "here"},
        run.id,
        run.id,
    )
    assert (found.description, found.model_framework, found.model_framework_version) == (
        "of a run",
        "ScikitLearn",
        "1.5.1",
    )
    assert [one.id for one in found.datasets["training"]] == [first.datasets["training"][0].id]
    assert [model.version for model in Model.list(workspace, name="of-a-run", expand=False)] == [2, 1]
    assert [model.id for model in Model.list(workspace, run_id=run.id, expand=False)] == ["of-a-run:2", "of-a-run:1"]
    assert b"nobody here may load it" in Path(first.download(str(tmp_path / "a"))).read_bytes()
    assert Path(second.download(str(tmp_path / "b"))).name == "one.txt"  # the common path of all its files
    assert list(second.get_sas_urls()) == ["folder/one.txt"]
    assert workspace.get_run(run.id).id == found.run.id


def test_model_registered_from_a_missing_run_file_is_refused(run: Any) -> None:
    with pytest.raises(Exception, match=r"outputs/nothing\.pkl"):
        run.register_model("nothing", model_path="outputs/nothing.pkl")


@pytest.mark.sdk("Model.register")
def test_model_attributes_round_trip(workspace: Any, folder: Path) -> None:
    from azureml.core import Dataset, Model
    from azureml.core.resource_configuration import ResourceConfiguration

    data = Dataset.File.from_files(workspace.get_default_datastore().path("no/such/*.csv"), validate=False)
    registered = Model.register(
        workspace,
        "net",
        "described",
        tags={"a": "1", "b": "x y"},
        properties={"p": "q"},
        description="a folder",
        datasets=[("training", data)],
        model_framework=Model.Framework.SCIKITLEARN,
        model_framework_version="1.5.1",
        sample_input_dataset=data,
        sample_output_dataset=data,
        resource_configuration=ResourceConfiguration(cpu=1, memory_in_gb=0.5),
    )
    model = Model(workspace, id=registered.id)
    assert (model.tags, model.properties, model.description) == ({"a": "1", "b": "x y"}, {"p": "q"}, "a folder")
    assert (model.model_framework, model.model_framework_version) == ("ScikitLearn", "1.5.1")
    assert (model.resource_configuration.cpu, model.resource_configuration.memory_in_gb) == (1, 0.5)
    saved = registered.datasets["training"][0].id
    assert [one.id for one in model.datasets["training"]] == [saved]
    assert (model.sample_input_dataset.id, model.sample_output_dataset.id) == (saved, saved)
    assert model.created_by["userName"] == "azureml-local"


@pytest.mark.sdk(
    "Model.update",
    "Model.add_tags",
    "Model.remove_tags",
    "Model.add_properties",
    "Model.add_dataset_references",
    "Model.update_tags_properties",
)
def test_a_model_is_changed_and_its_properties_only_grow(workspace: Any, folder: Path) -> None:
    from azureml.core import Dataset, Model
    from azureml.core.resource_configuration import ResourceConfiguration

    data = Dataset.File.from_files(workspace.get_default_datastore().path("no/such/*.csv"), validate=False)
    model = Model.register(workspace, "net/net.json", "changed", tags={"a": "1"}, properties={"p": "q"})
    model.update(tags={"b": "2"}, description="new", resource_configuration=ResourceConfiguration(cpu=2))
    model.add_tags({"c": "3", "d": "4"})
    model.remove_tags("d")
    model.add_properties({"p2": "q2"})
    model.add_dataset_references([("scoring", data)])
    model.add_dataset_references([("training", data)])
    found = Model(workspace, "changed")
    assert (found.tags, found.properties, found.description) == ({"b": "2", "c": "3"}, {"p": "q", "p2": "q2"}, "new")
    assert sorted(found.datasets) == ["scoring", "training"]
    assert found.resource_configuration.cpu == 2
    stale = Model(workspace, "changed")
    stale.properties = {}  # the SDK compares with what it last read; so does the server, with what there is
    with pytest.raises(Exception, match="'p' is set already"):
        stale.add_properties({"p": "other"})
    assert Model(workspace, "changed").properties["p"] == "q"


@pytest.mark.sdk("Model.list")
def test_models_are_found_by_tag_property_framework_and_dataset(workspace: Any, folder: Path) -> None:
    from azureml.core import Dataset, Model

    data = Dataset.File.from_files(workspace.get_default_datastore().path("no/other/*.csv"), validate=False)

    def ids(**wanted: Any) -> list[str]:
        return [model.id for model in Model.list(workspace, expand=False, **wanted)]

    first = Model.register(
        workspace,
        "net/net.json",
        "found",
        tags={"stage": "prod", "l'o'n%g k_ey": "a=b"},
        properties={"found": "yes"},
        datasets=[("training", data)],
        model_framework="Onnx",
    )
    Model.register(workspace, "net/net.json", "found", tags={"stage": "test"}, properties={"found": "yes"})
    assert ids(tags=[["stage", "prod"]]) == ["found:1"]
    assert ids(tags=["stage"], properties=[["found", "yes"]]) == ["found:2", "found:1"]
    assert ids(tags=["stage", ["l'o'n%g k_ey", "a=b"]]) == ["found:1"]
    assert ids(tags=["stag"]) == ids(tags=[["stage", "pro"]]) == []
    assert ids(name="found", latest=True) == ["found:2"]
    assert ids(name="found", latest=True, tags=[["stage", "prod"]]) == ["found:1"]
    assert ids(model_framework="Onnx") == ["found:1"]
    assert ids(dataset_id=first.datasets["training"][0].id) == ["found:1"]
    assert Model(workspace, "found", tags=[["stage", "prod"]]).version == 1


@pytest.mark.sdk("Model.list")
def test_model_list_longer_than_a_page_is_complete(workspace: Any) -> None:
    from azureml._restclient.models_client import ModelsClient
    from azureml.core import Model

    client = ModelsClient(workspace.service_context)
    for _ in range(21):
        client.register_model("many", url="aml://asset/none", tags={"many": "yes"})
    listed = Model.list(workspace, tags=["many"], expand=False, page_count=20)
    assert [model.version for model in listed] == list(range(21, 0, -1))


@pytest.mark.sdk("Model.delete")
def test_model_version_deleted_is_gone_and_its_number_is_not_reused(workspace: Any, folder: Path) -> None:
    from azureml.core import Model
    from azureml.exceptions import WebserviceException

    for version in (1, 2):
        assert Model.register(workspace, "net/net.json", "deleted").version == version
    second = Model(workspace, "deleted")
    second.delete()
    with pytest.raises(WebserviceException, match="ModelNotFound: Model with id deleted:2"):
        Model(workspace, "deleted", version=2)
    with pytest.raises(WebserviceException, match="ModelNotFound"):
        second.delete()
    assert Model(workspace, "deleted").version == 1
    assert Model.register(workspace, "net/net.json", "deleted").version == 3
    Model(workspace, "deleted").delete()
    Model(workspace, "deleted").delete()
    with pytest.raises(WebserviceException, match="ModelNotFound"):
        Model(workspace, "deleted")
    assert Model.register(workspace, "net/net.json", "deleted").version == 4


@pytest.mark.sdk("Model.get_model_path", "Model.download", "Model.serialize", "Model.deserialize", "Workspace.models")
def test_a_models_path_is_in_the_cache_once_it_was_downloaded(workspace: Any, folder: Path) -> None:
    from azureml.core import Model
    from azureml.exceptions import ModelNotFoundException, WebserviceException

    model = Model.register(workspace, "net", "cached")
    assert Model.deserialize(workspace, model.serialize()).id == workspace.models["cached"].id == "cached:1"
    with pytest.raises(ModelNotFoundException):
        Model.get_model_path("cached")  # outside of a run the SDK looks no further than the disk
    assert Model.get_model_path("cached", _workspace=workspace) == "azureml-models/cached/1/net"
    assert Path("azureml-models/cached/1/net/weights/1.bin").read_bytes() == b"weights"
    assert Model.get_model_path("cached") == Model.get_model_path("cached", version=1) == "azureml-models/cached/1/net"
    with pytest.raises(ModelNotFoundException, match="cached/9 not found"):
        Model.get_model_path("cached", version=9, _workspace=workspace)
    target = folder / "target"
    assert Path(model.download(str(target))) == target / "net"
    with pytest.raises(WebserviceException, match="File already exists"):
        model.download(str(target))
    (target / "net" / "net.json").write_text("changed")
    model.download(str(target), exist_ok=True)
    assert (target / "net" / "net.json").read_text() == "{}"


@pytest.mark.sdk("Model.get_model_path", "Run.register_model", "Run.get_secret", "Run.get_secrets")
def test_a_job_finds_models_and_secrets_of_its_workspace(
    submit: Callable[..., Any], workspace: Any, folder: Path, server: LocalServer
) -> None:
    from azureml.core import Model

    Model.register(workspace, "net", "for-a-job")
    keyvault = workspace.get_default_keyvault()
    keyvault.set_secrets({"job-one": "fish & chips", "job-two": "zwei"})
    run = submit("""
        from azureml.core import Model, Run
        run = Run.get_context()
        path = Model.get_model_path("for-a-job")
        assert open(path + "/weights/1.bin", "rb").read() == b"weights"
        assert run.get_secret("job-one") == "fish & chips"
        assert run.get_secrets(["job-two", "job-three"]) == {"job-two": "zwei", "job-three": None}
        run.upload_file("outputs/again.bin", path + "/weights/1.bin")
        run.register_model("of-a-job", model_path="outputs/again.bin")
    """)
    run.wait_for_completion()
    model = Model(workspace, "of-a-job")
    assert (model.run_id, model.experiment_name) == (run.id, run.experiment.name)
    kept = b"".join(path.read_bytes() for path in server.folder.root.glob("*.sqlite3*"))
    assert b"fish & chips" not in kept
    assert "fish & chips" not in server.folder.log.read_text()
    keyvault.delete_secrets(["job-one", "job-two"])


@pytest.mark.sdk("Model.print_configuration", "Workspace.images")
@pytest.mark.sdk_refused("Model.package", "Model.profile")
@pytest.mark.filterwarnings("ignore::FutureWarning")  # the SDK's own: deployment is SDK v2's now
def test_images_and_profiles_of_models_are_refused_with_an_alternative(
    workspace: Any, folder: Path, here: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    from azureml.core import Dataset, Model
    from azureml.core.model import InferenceConfig
    from azureml.core.webservice import AciWebservice, Webservice
    from azureml.exceptions import WebserviceException

    Path("rows.csv").write_text("input\nword\n")
    Path("score.py").write_text("def init(): ...\ndef run(data): return data\n")
    model = Model.register(workspace, "net/net.json", "undeployed")
    inference = InferenceConfig(entry_script="score.py", environment=here)
    Model.print_configuration([model], inference, AciWebservice.deploy_configuration(), None)
    assert "undeployed:1" in capsys.readouterr().out
    sentence = "images, packages and profiles .* not built in azureml-local.*Model.deploy"
    with pytest.raises(WebserviceException, match=sentence):
        Model.package(workspace, [model], inference)
    store = workspace.get_default_datastore()
    store.upload_files([str(folder / "rows.csv")], target_path="profiled", show_progress=False)
    rows = Dataset.Tabular.from_delimited_files(store.path("profiled/rows.csv"))
    with pytest.raises(WebserviceException, match=sentence):
        Model.profile(workspace, "profile", [model], inference, rows)
    with pytest.raises(WebserviceException, match="WebserviceNotFound"):
        Webservice(workspace, "service")
    with pytest.raises(WebserviceException, match="GPUs are not built"):
        Model.deploy(workspace, "gpu", [model], inference, _with_gpu())
    assert workspace.images == {}


def _with_gpu() -> Any:
    from azureml.core.webservice import AksWebservice

    return AksWebservice.deploy_configuration(gpu_cores=1)


def test_model_registration_refused_gives_the_reason(workspace: Any) -> None:
    """Not "Response Code: None": the SDK looks for model management's own shape of an error."""
    from azureml._restclient.models_client import ModelsClient
    from azureml.exceptions import WebserviceException

    client = ModelsClient(workspace.service_context)
    with pytest.raises(WebserviceException, match=r"(?s)Response Code: 400.*is no model name"):
        client.register_model("a/b", url="aml://asset/none")
    model = client.register_model("refused", url="aml://asset/none")
    with pytest.raises(WebserviceException, match=r"(?s)Response Code: 400.*can't be changed by"):
        client.patch(model.id, body=[{"op": "remove", "path": "/url"}])
