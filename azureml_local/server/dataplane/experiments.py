"""Run history: experiments (azureml._restclient.workspace_client)."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Query, Response

from azureml_local.server.context import WORKSPACE_PATH, Ctx, Named
from azureml_local.server.dataplane import wire
from azureml_local.server.http import odata
from azureml_local.workspace.errors import Invalid, NotFound

router = APIRouter(prefix="/history/v1.0" + WORKSPACE_PATH)

# Which of them a list shows; None: all.
VIEWS: dict[str, bool | None] = {"ActiveOnly": False, "ArchivedOnly": True, "All": None}


@router.get("/experiments/{experiment}")
def get_experiment(
    ctx: Ctx, name: Named, experiment: str, view: str = Query("ActiveOnly", alias="viewType")
) -> dict[str, Any]:
    """An archived one isn't found here: so Experiment(workspace, name) begins a new one, as in Azure."""
    found = ctx.workspace.experiments.get(experiment)
    if _view(view) not in (None, found.archived is not None):
        raise NotFound(f"The experiment {experiment!r} is archived, or not: the view {view} doesn't show it.")
    return wire.experiment(found)


@router.post("/experiments/{experiment}")
def create_experiment(ctx: Ctx, name: Named, experiment: str) -> dict[str, Any]:
    return wire.experiment(ctx.workspace.experiments.get_or_create(experiment))


@router.get("/experimentids/{experiment_id}")
def get_experiment_by_id(ctx: Ctx, name: Named, experiment_id: str) -> dict[str, Any]:
    return wire.experiment(ctx.workspace.experiments.get_by_id(experiment_id))


@router.patch("/experimentids/{experiment_id}")
def update_experiment(ctx: Ctx, name: Named, experiment_id: str, body: dict[str, Any]) -> dict[str, Any]:
    """Tags, description, archive and reactivate (azureml._restclient.models.modify_experiment_dto)."""
    if body.get("name") is not None:
        raise Invalid("An experiment can't be renamed.")
    return wire.experiment(ctx.workspace.experiments.modify(experiment_id, body))


@router.delete("/experimentids/{experiment_id}")
def delete_experiment(ctx: Ctx, name: Named, experiment_id: str) -> Response:
    """Done when this is answered; Azure answers 202 and lets the client ask again."""
    ctx.workspace.experiments.delete(experiment_id, ctx.workspace.artifacts)
    return Response(status_code=200)


@router.post("/experimentids/{experiment_id}/tags:delete")
def delete_tags(ctx: Ctx, name: Named, experiment_id: str, body: dict[str, Any]) -> dict[str, Any]:
    keys = body.get("tags")
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        raise Invalid("Tags are deleted by a list of their names.")
    changed = ctx.workspace.experiments.remove_tags(experiment_id, keys)
    return {"name": wire.experiment(changed)["name"], "tags": changed.tags, "result": "Success"}


@router.post("/experiments:query")
def query_experiments(ctx: Ctx, name: Named, body: wire.OptionalBody = None) -> Response:
    asked = body or {}
    if (order := odata.parse_order(asked.get("orderby"), ("CreatedUtc",))) not in (None, ("CreatedUtc", True)):
        raise Invalid(f"Experiments are listed newest first only, not by {order}.")
    page = ctx.workspace.experiments.page(
        odata.parse_filter(asked.get("filter")),
        archived=_view(str(asked.get("viewType") or "ActiveOnly")),
        after=wire.token(asked.get("continuationToken")),
        top=wire.top(asked.get("top")),
    )
    return wire.answer(wire.page([wire.experiment(row) for row in page.items], page.next))


def _view(name: str) -> bool | None:
    if name not in VIEWS:
        raise Invalid(f"Experiments are viewed as {', '.join(VIEWS)}, not as {name[:40]!r}.")
    return VIEWS[name]
