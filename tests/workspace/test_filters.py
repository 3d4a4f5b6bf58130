"""Filters of lists: what the SDK writes is found, and nothing that isn't understood passes."""

from __future__ import annotations

import contextlib
import re
import uuid

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from azureml_local.server.http.odata import parse_filter, parse_order
from azureml_local.storage.database import Database
from azureml_local.workspace.errors import Invalid
from azureml_local.workspace.experiments import Experiments
from azureml_local.workspace.filters import AllOf, AnyOf, Comparison
from azureml_local.workspace.new_runs import NewRun
from azureml_local.workspace.run_lists import Listing
from azureml_local.workspace.runs import Runs


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    database = Database(tmp_path_factory.mktemp("store") / "database.sqlite3")
    experiment = Experiments(database).get_or_create("e").id
    runs = Runs(database)
    runs.create(NewRun("a", experiment, run_type="kind", target="t", tags={"colour": "dark blue", "empty": None}))
    runs.create(NewRun("b", experiment, parent_id="a", properties={"azureml.runsource": "kind", "x.y": 'say "hi"'}))
    runs.create(NewRun("c", experiment, parent_id="b", tags={"my key": "it's (so) and more", "or": "1"}))
    runs.advance("c", "Failed")
    return runs


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", "abc"),
        (None, "abc"),
        ("(ParentRunId eq null)", "a"),
        ("ParentRunId ne null", "bc"),
        ("RunId eq a or RunId eq c", "ac"),
        ("(RootRunId eq a and RunId ne a)", "bc"),
        ("(Status eq Failed)", "c"),
        ("(STATUS ne 'Failed')", "ab"),
        ("(RunType eq kind or Properties/azureml.runsource eq kind)", "ab"),
        ("(Target eq t)", "a"),
        ('(Tags/colour eq "dark blue")', "a"),
        ('(Tags/colour ne "dark blue")', ""),
        ('(Tags/empty ne "dark blue")', "a"),
        ("(Tags/empty ne null or Tags/empty eq null)", "a"),
        ("Tags/empty eq null", "a"),
        ("Tags/colour eq null", ""),
        ('(Tags/my key eq "it\'s (so) and more")', "c"),
        ("(Tags/or ne null or Tags/or eq null)", "c"),
        ('(Properties/x.y eq "say "hi"")', "b"),
        ("Properties/x.y eq 'say \"hi\"'", "b"),
        ('((Tags/colour eq "dark blue") and (ParentRunId eq null))', "a"),
        ("((Status eq Failed) or ((RunId eq a) and (RunType eq kind)))", "ac"),
        # Joined without parentheses: the runs are one list, and the other comparison is about all of them.
        ("(RunId eq a or RunId eq c and Status eq Failed)", "c"),
        ("Status eq Failed and RunId eq a or RunId eq c", "c"),
        # With parentheses, or of two fields, they mean what they mean.
        ("(RunId eq a) or (RunId eq c) and Status eq Failed", "ac"),
        ("RunId eq a or ParentRunId eq b and Status eq Failed", "ac"),
        (" or ".join(f"RunId eq {i}" for i in range(450)) + " or RunId eq b", "b"),
        ("(CreatedUtc ge 2001-01-01 00:00:00.000001+00:00)", "abc"),
        ("CreatedUtc gt 2901-01-01T00:00:00.000001Z", ""),
        ("CreatedUtc le 9999-12-31 23:59:59+00:00 and EndTimeUtc ne null", "c"),
    ],
)
def test_filter_written_by_the_sdk_finds_its_runs(runs: Runs, text: str | None, found: str) -> None:
    assert sorted(run.id for run in runs.page(parse_filter(text)).items if len(run.id) == 1) == list(found)


@pytest.mark.parametrize(
    "text",
    [
        5,
        "x" * 200_000,
        "RunId",
        "RunId eq",
        "RunId eq ",
        "RunId like 'a'",
        "RunId eq a b) or RunId ne null",
        "Nonsense eq 1",
        "Status gt Failed",
        "RunId/x eq 1",
        "Tags eq 1",
        "Tags/ eq 1",
        "CreatedUtc gt yesterday",
        "CreatedUtc gt 0001-01-01T00:00:00+14:00",
        "startswith(RunId, 'a')",
        "not (RunId eq a)",
        "((((",
        "(RunId eq a",
        "RunId eq a)",
        "RunId eq 'a",
        "(" * 2000 + "RunId eq a" + ")" * 2000,
        " and ".join(["RunId eq a"] * 501),
        "Tags/" + " " * 90_000,
        "RunId eq 'a' RunId eq 'b'",
    ],
)
def test_a_filter_that_is_not_understood_is_refused(runs: Runs, text: object) -> None:
    with pytest.raises(Invalid):
        runs.page(parse_filter(text))


def test_run_order_is_parsed_or_refused() -> None:
    assert parse_order(None, ("RunId",)) is None
    assert parse_order("runid desc", ("RunId",)) == ("RunId", True)
    assert parse_order("RunId", ("RunId",)) == ("RunId", False)
    for text in ("Nonsense desc", "RunId down", "RunId desc, Status asc", 5):
        with pytest.raises(Invalid):
            parse_order(text, ("RunId",))


def test_parentheses_are_no_operands_of_a_list() -> None:
    a, b = Comparison("RunId", None, "eq", "a"), Comparison("RunId", None, "eq", "b")
    assert parse_filter("RunId eq a or RunId eq b") == AnyOf((a, b))
    assert parse_filter("(RunId eq a) or RunId eq b") == AnyOf((AllOf((a,)), b))


WORDS = ["RunId", "Tags/a b", "Status", "CreatedUtc", " eq ", " ne ", " gt ", " and ", " or ", *"()'x\"", "null"]


@settings(max_examples=200, deadline=None)
@given(text=st.lists(st.one_of(st.sampled_from(WORDS), st.text(max_size=4)), max_size=12).map("".join))
def test_any_text_is_a_filter_or_refused(runs: Runs, text: str) -> None:
    with contextlib.suppress(Invalid):
        assert len(runs.page(parse_filter(text)).items) >= 0


# What a key and a value may hold and still be told from the expression around them, as the SDK writes it.
ANY = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
KEYS = st.text(ANY, min_size=1, max_size=20).filter(lambda key: not re.search(r" (eq|ne|gt|ge|lt|le) ", f"{key} "))
VALUES = st.text(ANY, max_size=20).filter(lambda value: not re.search(r'"(\)|$| and | or )', value))


@settings(max_examples=100, deadline=None)
@given(tags=st.dictionaries(KEYS, st.one_of(st.none(), VALUES), min_size=1, max_size=3), other=KEYS)
def test_the_sdks_filter_finds_what_has_the_tags_and_nothing_else(
    runs: Runs, tags: dict[str, str | None], other: str
) -> None:
    from azureml._restclient._odata.runs import get_filter_run_has_tag, get_filter_run_tag_equals

    experiment = runs.get("a").experiment_id
    these = [f"{uuid.uuid4()}-{name}" for name in ("has", "has-another-value")]
    runs.create(NewRun(these[0], experiment, tags=tags))
    runs.create(NewRun(these[1], experiment, tags={key: f"{value} not" for key, value in tags.items()}))

    def found(text: str) -> list[str]:
        return [run.id for run in runs.page(parse_filter(text), Listing(descending=False)).items if run.id in these]

    assert found(get_filter_run_tag_equals(tags)) == these[:1]
    assert found(get_filter_run_has_tag(next(iter(tags)))) == these
    assert found(get_filter_run_has_tag(other)) == (these if other in tags else [])
