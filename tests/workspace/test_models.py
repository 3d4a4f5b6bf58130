"""Models: the numbers of their versions, and lists in pages."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from azureml_local.storage.database import Database
from azureml_local.workspace.errors import Invalid, NotFound
from azureml_local.workspace.models import Models, Wanted


@pytest.fixture
def models(tmp_path: Path) -> Models:
    return Models(Database(tmp_path / "database.sqlite3"))


def test_versions_registered_at_once_are_different(models: Models) -> None:
    with ThreadPoolExecutor(8) as pool:
        versions = [model.version for model in pool.map(lambda _: models.register("same", {}), range(20))]
    assert sorted(versions) == list(range(1, 21))


def test_pages_hold_every_model_once_whatever_comes_and_goes_between_them(models: Models) -> None:
    for number in range(10):
        models.register(f"model-{number % 3}", {"kvTags": {"even": str(number % 2 == 0)}})
    first, mark = models.list(limit=4)
    models.register("newer", {})
    models.delete(f"{first[0].name}:{first[0].version}")
    second, mark = models.list(after=mark, limit=4)
    third, end = models.list(after=mark, limit=4)
    assert end is None
    assert len({(model.name, model.version) for model in [*first, *second, *third]}) == 10
    found, _ = models.list(Wanted(tags=[("even", "True")]), latest_only=True)
    assert [(model.name, model.version) for model in found] == [("model-2", 3), ("model-0", 3), ("model-1", 2)]


@pytest.mark.parametrize("mark", ["", "x", "2026~a~name", "2026~1~", "~" * 9, "2026~" + "9" * 40 + "~name"])
def test_a_mark_of_ones_own_making_is_refused(models: Models, mark: str) -> None:
    with pytest.raises(Invalid):
        models.list(after=mark)


@pytest.mark.parametrize("name", ["", ":", "a:", "a:b", "a:-1", "a:²", ":1", "a:" + "9" * 40, "a"])
def test_an_id_that_names_no_model_is_not_found(models: Models, name: str) -> None:
    models.register("a", {})
    for operation in (models.get, models.delete, lambda model: models.change(model, [])):
        with pytest.raises(NotFound):
            operation(name)


@pytest.mark.parametrize(
    "body",
    [
        {"kvTags": ["a"]},
        {"description": 1},
        {"datasets": [{"name": "x"}]},
        {"datasets": {}},
        {"unpack": "no"},
        {"resourceRequirements": {"cpu": float("nan")}},
    ],
)
def test_a_field_of_another_type_is_refused(models: Models, body: dict[str, object]) -> None:
    with pytest.raises(Invalid):
        models.register("a", body)
    assert models.list() == ([], None)


def test_tags_are_texts_and_lists_by_tag_stay_readable(models: Models) -> None:
    models.register("a", {"kvTags": {"number": 5, "none": None, "nan": float("nan")}})
    assert models.get("a:1").body["kvTags"] == {"number": "5", "none": None, "nan": "nan"}
    assert len(models.list(Wanted(tags=[("number", "5"), ("none", None)]))[0]) == 1
    assert models.list(Wanted(tags=[("\x00", None)])) == ([], None)
