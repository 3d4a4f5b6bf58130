"""Models: their versions, names and labels, and lists in pages."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from azureml_local.storage.database import Database
from azureml_local.workspace.assets import DATA, Assets, NewVersion
from azureml_local.workspace.errors import Conflict, Invalid, NotFound
from azureml_local.workspace.models import DatasetReference, ModelChange, ModelDetails, ModelFilter, Models, details_of


@pytest.fixture
def models(tmp_path: Path) -> Models:
    return Models(Database(tmp_path / "database.sqlite3"))


def test_versions_registered_at_once_are_different(models: Models) -> None:
    with ThreadPoolExecutor(8) as pool:
        versions = [model.version for model in pool.map(lambda _: models.register(NewVersion("same")), range(20))]
    assert sorted(map(int, versions)) == list(range(1, 21))


def test_model_pages_hold_every_model_once_despite_changes_between_them(models: Models) -> None:
    for number in range(10):
        models.register(NewVersion(f"model-{number % 3}", tags={"even": str(number % 2 == 0)}))
    first, mark = models.list(limit=4)
    models.register(NewVersion("newer"))
    models.delete(first[0].name, first[0].version)
    second, mark = models.list(after=mark, limit=4)
    third, end = models.list(after=mark, limit=4)
    assert end is None
    assert len({(model.name, model.version) for model in [*first, *second, *third]}) == 10
    found, _ = models.list(ModelFilter(tags=[("even", "True")]), latest_only=True)
    assert [(model.name, model.version) for model in found] == [("model-2", "3"), ("model-0", "3"), ("model-1", "2")]


@pytest.mark.parametrize("mark", ["", "x", "2026~a~name", "2026~1~", "~" * 9, "2026~" + "9" * 40 + "~name"])
def test_model_page_token_forged_is_refused(models: Models, mark: str) -> None:
    with pytest.raises(Invalid):
        models.list(after=mark)


@pytest.mark.parametrize("version", ["", "-1", "²", "9" * 40, "2", "01", "latest"])
def test_model_version_unknown_is_not_found(models: Models, version: str) -> None:
    models.register(NewVersion("a"))
    for operation in (models.get, models.delete, lambda *words: models.change(*words, [])):
        with pytest.raises(NotFound):
            operation("a", version)


def test_model_tags_are_kept_as_texts_and_found_by(models: Models) -> None:
    models.register(NewVersion("a", tags={"number": 5, "none": None, "nan": float("nan")}))
    assert models.get("a", "1").tags == {"number": "5", "none": None, "nan": "nan"}
    assert len(models.list(ModelFilter(tags=[("number", "5"), ("none", None)]))[0]) == 1
    assert models.list(ModelFilter(tags=[("\x00", None)])) == ([], None)


def test_model_changes_apply_in_order_or_not_at_all(models: Models) -> None:
    training, test = DatasetReference("training", "d1"), DatasetReference(None, "d2")
    models.register(NewVersion("a", properties={"p": "1"}), ModelDetails(datasets=[training], client={"unpack": False}))
    changes = [
        ModelChange(tags={"t": "1"}),
        ModelChange(tags={"t": "2"}, properties={"q": "2"}),
        ModelChange(description="d", datasets=[training, test], client={"sample": "s"}),
    ]
    changed = models.change("a", "1", changes)
    assert (changed.tags, changed.properties, changed.description) == ({"t": "2"}, {"p": "1", "q": "2"}, "d")
    assert details_of(models.get("a", "1")) == ModelDetails(
        datasets=[training, test], client={"unpack": False, "sample": "s"}
    )
    with pytest.raises(Conflict):
        models.change("a", "1", [ModelChange(description="lost"), ModelChange(properties={"p": "2"})])
    assert models.get("a", "1").description == "d"


def test_numbers_go_on_counting_beside_versions_that_are_texts(models: Models) -> None:
    assert [models.register(NewVersion("a", version)).version for version in (None, "initial", None, "7", None)] == [
        *("1", "initial", "2", "7", "8")
    ]
    assert [row.version for row in models.versions("a")] == ["8", "7", "2", "initial", "1"]
    models.delete("a", "8")
    models.register(NewVersion("a", "3"))
    assert models.get("a").version == "3"  # the newest made, whatever its number
    assert [row.version for row in models.list(latest_only=True)[0]] == ["3"]
    assert models.register(NewVersion("a")).version == "9"
    with pytest.raises(Conflict):
        models.register(NewVersion("a", "initial"))


@pytest.mark.parametrize("version", ["latest", "Latest", "", "a b", "v" * 65, "ü"])
def test_asset_version_invalid_is_refused_and_leaves_no_name(models: Models, version: str) -> None:
    with pytest.raises(Invalid):
        models.register(NewVersion("a", version))
    assert models.names() == []


def test_registered_model_without_versions(models: Models) -> None:
    models.create_name("a", description="made by MLflow", tags={"k": 1})
    assert (models.name("a").description, models.name("a").tags, list(models.versions("a"))) == (
        *("made by MLflow", {"k": "1"}, []),
    )
    with pytest.raises(Conflict):
        models.create_name("a")
    with pytest.raises(NotFound):
        models.get("a")
    assert models.register(NewVersion("a")).version == "1"
    assert models.name("a").description == "made by MLflow"


def test_label_stands_for_one_version_until_that_is_deleted(models: Models) -> None:
    for _ in range(2):
        models.register(NewVersion("a"))
    models.label("a", "1", ["champion", "old"])
    models.label("a", "2", ["champion"])
    assert models.labels("a") == {"champion": "2", "old": "1"}
    assert models.labelled("a", "latest").version == models.labelled("a", "champion").version == "2"
    models.delete("a", "2")
    assert models.labels("a") == {"old": "1"}
    with pytest.raises(NotFound):
        models.labelled("a", "champion")


def test_archived_versions_and_names_are_left_out_of_lists(models: Models) -> None:
    for name in ("a", "a", "b"):
        models.register(NewVersion(name))
    models.archive("a", "2", archived=True)
    assert models.get("a").version == "1"
    assert [row.version for row in models.versions("a")] == ["1"]
    assert [row.version for row in models.versions("a", archived=True)] == ["2"]
    assert models.get("a", "2").archived is not None
    models.archive("b", None, archived=True)
    assert [row.name for row in models.latest()] == [row.name for row in models.names()] == ["a"]
    models.archive("b", None, archived=False)
    assert [row.name for row in models.latest()] == ["a", "b"]
    with pytest.raises(NotFound):
        models.archive("c", None, archived=True)


def test_kinds_of_assets_share_no_names(models: Models) -> None:
    data = Assets(models._database, DATA)
    made = data.create(NewVersion("a", type="uri_folder", uri="azureml://datastores/workspaceblobstore/paths/x/"))
    assert (made.version, made.kind, data.get("a").uri) == ("1", "data", made.uri)
    with pytest.raises(NotFound):
        models.get("a")
    assert models.list() == ([], None)
