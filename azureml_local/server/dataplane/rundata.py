"""What SDK v2 asks the data plane of a job: its named outputs, where they are, and its services."""

from __future__ import annotations

import re
from typing import Any

from fastapi import APIRouter

from azureml_local.server.context import WORKSPACE_PATH, Ctx, Named
from azureml_local.server.dataplane import wire
from azureml_local.workspace.errors import Invalid, NotFound
from azureml_local.workspace.places import shown_uri

router = APIRouter()

# The client only carries the id from the one answer to the other question.
OUTPUT = re.compile(r"azureml://jobs/([^/]+)/outputs/([^/]+)")
MOST_IDS = 1000


@router.post("/history/v1.0" + WORKSPACE_PATH + "/rundata")
def run_data(ctx: Ctx, name: Named, body: dict[str, Any]) -> dict[str, Any]:
    """A run with its named outputs (``jobs.download``)."""
    run = ctx.workspace.runs.get(str(body.get("runId") or ""))
    outputs = {
        each.name: {"assetId": f"azureml://jobs/{run.id}/outputs/{each.name}", "type": _type(each.type)}
        for each in ctx.workspace.run_data.of(run.id, output=True)
    }
    return {"runMetadata": {**wire.run(ctx, name, run), "outputs": outputs}}


@router.get("/history/v1.0" + WORKSPACE_PATH + "/runs/{run_id}/serviceinstances/{node}")
def service_instances(ctx: Ctx, name: Named, run_id: str, node: str) -> dict[str, Any]:
    """Services of a job (``jobs.show_services``): none is started."""
    ctx.workspace.runs.get(run_id)
    return {"instances": {}}


@router.post("/data/v1.0" + WORKSPACE_PATH + "/dataversion/batchGetResolvedUris")
def resolved_uris(ctx: Ctx, name: Named, body: dict[str, Any]) -> dict[str, Any]:
    asked = body.get("values")
    if not isinstance(asked, list) or len(asked) > MOST_IDS:
        raise Invalid(f"'values' must be a list of at most {MOST_IDS} ids.")
    found = {}
    for each in map(str, asked):
        known = OUTPUT.fullmatch(each)
        data = ctx.workspace.run_data.of(known[1], output=True) if known else []
        one = next((one for one in data if known is not None and one.name == known[2]), None)
        if one is None or one.uri is None:
            raise NotFound(f"There is no data {each[:200]!r} in this workspace.")
        found[each] = {"uri": shown_uri(one.uri, name), "type": _type(one.type)}
    return {"values": found}


def _type(kind: str) -> str:
    # With a model's own type the client (azure-ai-ml 1.35.2) fails before it asks for anything.
    return "uri_folder" if kind.endswith("_model") else kind
