"""The page of an experiment: its runs as a table that is sorted, searched and drawn; and several side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Query
from fastapi.responses import HTMLResponse, Response

from azureml_local.server.studio import charts, figures
from azureml_local.server.studio.access import Viewer, Viewing
from azureml_local.server.studio.events import mark
from azureml_local.server.studio.render import events, page
from azureml_local.server.studio.runs import packages, script_difference
from azureml_local.storage.tables import Experiment
from azureml_local.workspace.comparison import METRIC, PARAMETER, TAG, Columns, RunQuery, Sorting, columns_of
from azureml_local.workspace.errors import Invalid
from azureml_local.workspace.experiments import shown_name
from azureml_local.workspace.runs import ORDER

router = APIRouter(prefix="/studio/{key}")

PAGE = 50
MOST_POINTS = 1000
MOST_COMPARED = 8
KINDS = {"m": METRIC, "p": PARAMETER, "t": TAG}
TITLES = {"m": "Metrics", "p": "Parameters", "t": "Tags"}
OWN = ("created", "duration", "status")

Text = Annotated[str, Query(max_length=300)]


@dataclass(frozen=True)
class View:
    """How the table is looked at. All of it stands in the page's address, so that it can be kept and sent."""

    q: str = ""
    status: str = ""
    sort: str = "-created"
    hide: tuple[str, ...] = ()
    x: str = ""
    y: str = ""
    page: int = 1

    @property
    def query(self) -> str:
        """As it stands in an address; what is as usual is left out."""
        usual = View()
        given = {key: value for key, value in vars(self).items() if value != getattr(usual, key)}
        return "?" + urlencode(given, doseq=True)

    def sorted_by(self, key: str) -> View:
        """The same key again turns the order round. Numbers begin with the largest."""
        return replace(self, sort=key if self.sort == f"-{key}" else f"-{key}", page=1)

    def toggled(self, key: str) -> View:
        shown = key in self.hide
        return replace(self, hide=tuple(k for k in self.hide if k != key) if shown else (*self.hide, key))

    def turned_to(self, number: int) -> View:
        return replace(self, page=number)

    @property
    def sorting(self) -> Sorting:
        key = self.sort.removeprefix("-")
        kind, dot, name = key.partition(".")
        if dot and kind in KINDS:
            return Sorting(name, KINDS[kind], self.sort.startswith("-"))
        return Sorting(key if key in OWN else "created", "", self.sort.startswith("-"))


@router.get("/experiments/id/{experiment_id}", response_class=HTMLResponse)
def experiment_page_by_id(
    viewing: Viewing,
    experiment_id: str,
    q: Text = "",
    status: Text = "",
    sort: Text = "-created",
    hide: Annotated[list[str], Query(max_length=300)] = [],  # noqa: B006  (FastAPI copies it)
    x: Text = "",
    y: Text = "",
    page: Annotated[int, Query(ge=1, le=10**6)] = 1,
) -> Response:
    """The page behind the link that a notebook shows for an experiment."""
    found = viewing.ctx.workspace.experiments.get_by_id(experiment_id)
    return _page(viewing, found, View(q, status, sort, tuple(hide), x, y, page))


@router.get("/experiments/{experiment}", response_class=HTMLResponse)
def experiment_page(
    viewing: Viewing,
    experiment: str,
    q: Text = "",
    status: Text = "",
    sort: Text = "-created",
    hide: Annotated[list[str], Query(max_length=300)] = [],  # noqa: B006
    x: Text = "",
    y: Text = "",
    page: Annotated[int, Query(ge=1, le=10**6)] = 1,
) -> Response:
    """The page behind an experiment's link (``Experiment.get_portal_url``, where its id isn't known)."""
    found = viewing.ctx.workspace.experiments.get(experiment)
    return _page(viewing, found, View(q, status, sort, tuple(hide), x, y, page))


@router.get("/compare", response_class=HTMLResponse)
def compare_page(viewing: Viewing, run: Annotated[list[str], Query(max_length=100)] = []) -> Response:  # noqa: B006
    """Several runs side by side, the first being the one that the others are compared with."""
    ctx = viewing.ctx
    wanted = list(dict.fromkeys(run))
    if not 2 <= len(wanted) <= MOST_COMPARED:
        raise Invalid(f"Choose 2 to {MOST_COMPARED} runs in an experiment's table to see them side by side.")
    runs = [ctx.workspace.runs.get(run_id) for run_id in wanted]
    rows = ctx.workspace.comparison.compared(runs)
    environments = [packages(one) for one in runs]
    experiments = {one.experiment_id: ctx.workspace.experiments.get_by_id(one.experiment_id) for one in runs}
    return page(
        viewing,
        "compare.html",
        here="runs",
        rows=rows,
        columns=columns_of(rows),
        series=figures.overlaid(ctx.workspace, runs),
        experiments={each.id: shown_name(each) for each in experiments.values()},
        environments=environments,
        same_environment=len(set(environments)) == 1,
        differences=[(other, script_difference(ctx, runs[0], other)) for other in runs[1:]],
    )


def _page(viewing: Viewer, experiment: Experiment, view: View) -> Response:
    ctx = viewing.ctx
    seen = mark(ctx)
    wanted = RunQuery(experiment.id, view.q, view.status if view.status in ORDER else "")
    comparison = ctx.workspace.comparison
    total = comparison.count(wanted)
    pages = max(1, -(-total // PAGE))
    view = view.turned_to(min(view.page, pages))
    columns = comparison.columns(experiment.id)
    keys = all_keys(columns)
    x, y = axes(view, columns)
    rows = comparison.rows(wanted, view.sorting, start=(view.page - 1) * PAGE, top=PAGE)
    metrics = [key.removeprefix("m.") for key in (x, y) if key.startswith("m.")]
    drawn = comparison.points(wanted, MOST_POINTS, metrics) if y else []
    return page(
        viewing,
        "experiment.html",
        here="runs",
        events=events(viewing),
        seen=seen,
        experiment=experiment,
        name=shown_name(experiment),
        view=view,
        rows=rows,
        total=total,
        pages=pages,
        first=(view.page - 1) * PAGE + 1,
        keys=keys,
        shown=[key for key in keys if key not in view.hide],
        statuses=comparison.statuses(experiment.id),
        cell=charts.cell,
        label=charts.label,
        groups=groups,
        x=x,
        y=y,
        chart=charts.points(drawn, x, y, viewing.base) if y else None,
        drawn=len(drawn),
    )


def all_keys(columns: Columns) -> list[str]:
    sides = (("m", columns.metrics), ("p", columns.parameters), ("t", columns.tags))
    return [f"{kind}.{name}" for kind, names in sides for name in names]


def groups(keys: Sequence[str]) -> list[tuple[str, list[str]]]:
    """The keys under the heading of what they are; a parameter and a tag may have the same name."""
    found = [(title, [key for key in keys if key.startswith(f"{kind}.")]) for kind, title in TITLES.items()]
    return [(title, of_it) for title, of_it in found if of_it]


def axes(view: View, columns: Columns) -> tuple[str, str]:
    """What the figure shows: what the address asks for, else the main metric against a parameter."""
    keys: Sequence[str] = all_keys(columns)
    usual = f"p.{columns.parameters[0]}" if columns.parameters else "run"
    y = view.y if view.y in keys else (f"m.{columns.main}" if columns.main else "")
    return view.x if view.x in (*keys, "run") else usual, y
