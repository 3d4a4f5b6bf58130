"""Data, environments, code and models of SDK v2: versions, labels, archiving, and what the other client sees."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

V2 = Callable[[str], Any]


def test_data_has_versions_that_are_texts_and_never_change(v2: V2) -> None:
    found = v2(
        """
        (here / "f" / "sub").mkdir(parents=True)
        (here / "f" / "a.csv").write_text("x,y\\n1,2\\n")
        (here / "f" / "sub" / "b.txt").write_text("b")
        make = ml_client.data.create_or_update
        nope = "azureml://datastores/nope/paths/c"
        first = make(Data(name="v2-data", path=str(here / "f"), type="uri_folder", tags={"a": "1"}, description="hi"))
        file = make(Data(name="v2-data", path=str(here / "f" / "a.csv"), type="uri_file", version="initial"))
        web = make(Data(name="v2-data", path="https://example.org/x.csv", type="uri_file"))
        again = make(Data(name="v2-data", version="1", path=first.path, type="uri_folder", tags={"b": "2"}))
        got = ml_client.data.get("v2-data", version="1")
        print(json.dumps({
            "versions": [first.version, file.version, web.version],
            "path": first.path, "file": file.path, "web": web.path,
            "tags": [first.tags, again.tags, got.tags], "description": got.description, "type": str(got.type),
            "listed": [each.version for each in ml_client.data.list("v2-data")],
            "latest": ml_client.data.get("v2-data", label="latest").version,
            "other": error_of(lambda: make(Data(name="v2-data", version="1", path=web.path, type="uri_file"))),
            "missing": error_of(lambda: ml_client.data.get("v2-none", version="1")),
            "scheme": error_of(lambda: make(Data(name="v2-x", path="abfss://a@b.c/d", type="uri_file"))),
            "store": error_of(lambda: make(Data(name="v2-x", path=nope, type="uri_file"))),
        }))
        """
    )
    assert found["versions"] == ["1", "initial", "2"]
    assert found["path"].startswith("azureml://subscriptions/")
    assert found["path"].endswith("/f")
    assert found["file"].endswith("/a.csv")
    assert found["web"] == "https://example.org/x.csv"
    assert found["tags"] == [{"a": "1"}, {"b": "2"}, {"b": "2"}]
    assert (found["description"], found["type"]) == ("hi", "uri_folder")
    assert found["listed"] == ["2", "initial", "1"]
    assert found["latest"] == "2"
    assert "a version never changes" in found["other"]
    assert found["missing"].startswith("ResourceNotFoundError: (NotFound) There is no version '1'")
    assert "can't be read in azureml-local" in found["scheme"]
    assert "There is no datastore 'nope'" in found["store"]


def test_archived_versions_and_names_are_left_out_of_lists_until_restored(v2: V2) -> None:
    found = v2(
        """
        for version in ("1", "2"):
            data = Data(name="v2-old", version=version, path="https://example.org/" + version, type="uri_file")
            ml_client.data.create_or_update(data)
        def versions():
            return [each.version for each in ml_client.data.list("v2-old")]
        def listed():
            return "v2-old" in [each.name for each in ml_client.data.list()]
        seen = []
        ml_client.data.archive("v2-old", "2")
        seen += [versions(), ml_client.data.get("v2-old", label="latest").version]
        ml_client.data.restore("v2-old", "2")
        seen += [versions(), listed()]
        ml_client.data.archive("v2-old")
        seen += [listed(), "v2-old" in [each.name for each in ml_client.data.list(list_view_type="ArchivedOnly")]]
        ml_client.data.restore("v2-old")
        print(json.dumps([*seen, listed()]))
        """
    )
    assert found == [["1"], "1", ["2", "1"], True, False, True, True]


def test_environment_of_v2_is_the_definition_that_v1_reads(v2: V2, workspace: Any) -> None:
    from azureml.core import Environment

    found = v2(
        """
        (here / "conda.yml").write_text("name: x\\ndependencies:\\n- python=3.11\\n- pip:\\n  - pyyaml\\n")
        (here / "f").mkdir()
        (here / "f" / "Dockerfile").write_text("FROM x")
        make = ml_client.environments.create_or_update
        def described(**more):
            known = {"conda_file": str(here / "conda.yml"), "image": "mcr.microsoft.com/x"}
            return Environment(name="v2-environment", **known, **more)
        first, same = make(described()), make(described(version="1", tags={"a": "b"}))
        (here / "conda.yml").write_text("name: x\\ndependencies:\\n- python=3.10\\n")
        print(json.dumps({
            "first": [first.version, first.conda_file, first.image],
            "same": [same.version, same.tags],
            "changed": error_of(lambda: make(described(version="1"))),
            "latest": make(described()).version,
            "label": ml_client.environments.get("v2-environment", label="latest").version,
            "built": error_of(lambda: make(Environment(name="v2-built", build=BuildContext(path=str(here / "f"))))),
        }))
        """
    )
    conda = {"name": "x", "dependencies": ["python=3.11", {"pip": ["pyyaml"]}]}
    assert found["first"] == ["1", conda, "mcr.microsoft.com/x"]
    assert found["same"] == ["1", {"a": "b"}]
    assert "a version never changes" in found["changed"]
    assert (found["latest"], found["label"]) == ("2", "2")
    assert "starts no images" in found["built"]
    seen = Environment.get(workspace, "v2-environment", "1")
    assert seen.docker.base_image == "mcr.microsoft.com/x"
    assert [*seen.python.conda_dependencies.pip_packages] == ["pyyaml"]


def test_environment_of_v1_is_read_by_v2(v2: V2, workspace: Any) -> None:
    from azureml.core import Environment
    from azureml.core.conda_dependencies import CondaDependencies

    environment = Environment("v1-environment")
    environment.python.conda_dependencies = CondaDependencies.create(pip_packages=["pyyaml"])
    environment.register(workspace)
    found = v2(
        """
        got = ml_client.environments.get("v1-environment", version="1")
        print(json.dumps(got.conda_file))
        """
    )
    assert "pyyaml" in next(each for each in found["dependencies"] if isinstance(each, dict))["pip"]


def test_code_that_is_there_is_not_uploaded_again_and_keeps_its_files(v2: V2, workspace: Any) -> None:
    found = v2(
        """
        from azure.ai.ml.entities._assets import Code
        (here / "src" / "package").mkdir(parents=True)
        (here / "src" / "main.py").write_text("print(1)")
        (here / "src" / "package" / "__init__.py").write_text("")
        ids = [ml_client._code.create_or_update(Code(path=str(here / "src"))).id for _ in range(2)]
        (here / "src" / "main.py").write_text("print(2)")
        print(json.dumps([*ids, ml_client._code.create_or_update(Code(path=str(here / "src"))).id]))
        """
    )
    assert found[0] == found[1] != found[2]


def test_model_from_a_folder_is_downloaded_by_v2(v2: V2) -> None:
    found = v2(
        """
        (here / "m" / "sub").mkdir(parents=True)
        (here / "m" / "a.pkl").write_text("a")
        (here / "m" / "sub" / "b").write_text("b")
        make = ml_client.models.create_or_update
        first = make(Model(name="v2-model", path=str(here / "m"), type="custom_model", tags={"a": "1"}))
        named = make(Model(name="v2-model", path=str(here / "m" / "a.pkl"), type="custom_model", version="initial"))
        ml_client.models.download("v2-model", first.version, str(here / "loaded"))
        seen = {
            "versions": [first.version, named.version],
            "listed": [each.version for each in ml_client.models.list("v2-model")],
            "latest": ml_client.models.get("v2-model", label="latest").version,
            "files": files_below(here / "loaded"),
        }
        ml_client.models.archive("v2-model", "initial")
        print(json.dumps({**seen, "left": [each.version for each in ml_client.models.list("v2-model")]}))
        """
    )
    assert found["versions"] == ["1", "initial"]
    assert found["listed"] == ["initial", "1"]
    assert found["latest"] == "initial"
    assert found["files"] == ["v2-model/m/a.pkl", "v2-model/m/sub/b"]
    assert found["left"] == ["1"]


def test_model_of_v1_is_downloaded_by_v2(
    v2: V2, workspace: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from azureml.core import Model

    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.pkl").write_text("weights")
    Model.register(workspace, "model.pkl", "v1-model")
    found = v2(
        """
        got = ml_client.models.get("v1-model", version="1")
        ml_client.models.download("v1-model", "1", str(here / "loaded"))
        (file,) = [path for path in (here / "loaded").rglob("*") if path.is_file()]
        print(json.dumps([str(got.type), file.name, file.read_text()]))
        """
    )
    assert found == ["custom_model", "model.pkl", "weights"]
