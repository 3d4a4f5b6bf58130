"""Permissions of a run's token: the operations that a job may call.

A client may do everything in the workspace. A job may read what the workspace holds, write to the runs of its
own tree (its run, what that started, and what started it: ``run.parent.log`` is common), start more runs
below it, and add datasets, environments and models. It may not change other runs, stop or delete what others
made, or manage computes and datastores. In Azure too the token of a run is good for no operation of Azure
Resource Manager (azureml.core.authentication: AzureMLTokenAuthentication).

What is in no row is refused, so that a new route has to be given to jobs on purpose.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from azureml_local.server.access.auth import Caller
from azureml_local.server.errors import Forbidden, Unauthorized
from azureml_local.workspace.artifacts import RUN_ORIGIN, UPLOAD_ORIGIN
from azureml_local.workspace.errors import NotFound
from azureml_local.workspace.runs import FINAL, Runs, container_name

ADDRESS = re.compile(
    r"(?:/(?P<service>[a-z]+)/[^/]+)?/subscriptions/[^/]+/resourceGroups/[^/]+"
    r"/providers/Microsoft\.MachineLearningServices/workspaces/[^/]+(?P<rest>/.*)?",
    re.DOTALL,
)
RUN = r"/(?:experiments/[^/]+/|experimentids/[^/]+/)?runs/(?P<run>[^/]+)"
READ = ("GET", "HEAD")
WRITE = ("POST", "PUT", "PATCH", "DELETE")


@dataclass(frozen=True)
class Rule:
    """A job may send these methods to the service's addresses that match.

    Where the pattern has a group ``run``, that run must be of the job's own tree.
    """

    methods: tuple[str, ...]
    service: str
    rest: str

    def match(self, method: str, service: str, rest: str) -> re.Match[str] | None:
        if method not in self.methods or not re.fullmatch(self.service, service):
            return None
        return re.fullmatch(self.rest, rest, re.DOTALL)


# The first that matches decides.
RULES = (
    # Another run's token would be a way around all that follows.
    Rule(READ, "history", RUN + "/token"),
    # Among them one whose answer is a URL to write to; of that, `may_replace_artifacts` says what it may be good for.
    # The pipelines' API makes a draft of another by GET.
    Rule(READ, ".*", r"(?!/PipelineDrafts/Clone).*"),
    # Questions that are asked by POST.
    Rule(("POST",), "history", r"/experiments:query|/(?:experiments|experimentids)/[^/]+/(?:runs|metrics):query"),
    Rule(("POST",), "metric", r"/runs/[^/]+/(?:list|full)"),
    Rule(("POST",), "credential", r"/secrets:getbatch"),
    Rule(("POST",), "|rp", r"/computes/[^/]+/listNodes"),
    Rule(
        ("POST",),
        "pipelines",
        r"/PipelineRuns/[^/]+/(?:Graph/(?:Node/Status(?:Code)?|Shareable/[A-Za-z]+)|Outputs)",
    ),
    # Runs. Of several at once, and of those that are to be made, the route asks `may_write` and `may_start`.
    Rule(WRITE, "history", RUN + r"(?:/.*)?"),
    Rule(("POST", "PATCH"), "history", r"/(?:experiments|experimentids)/[^/]+/batch/(?:runs|events)"),
    Rule(("POST",), "metric", r"/runs/(?P<run>[^/]+)/batch"),
    Rule(("POST",), "artifact", r"/artifacts/(?:batch/metadata/[^/]+/[^/]+|[^/]+/[^/]+/batch/metadata)"),
    # MLflow names the run in the body: its routes ask `may_write` and `may_start`.
    Rule(("POST",), "mlflow", r"/api/2\.0/mlflow/runs/(?:create|update|search|log-[a-z]+|set-tag|delete-tag)"),
    Rule(("POST",), "mlflow", r"/api/2\.0/preview/mlflow/runs/log-batch-async"),
    Rule(("POST",), "mlflow", r"/api/2\.0/mlflow/(?:experiments/(?:create|search)|model-versions/create)"),
    Rule(("POST",), "mlflow", r"/api/2\.0/mlflow/registered-models/(?:create|get-latest-versions)"),
    Rule(("POST",), "mlflow", r"/api/2\.0/mlflow/logged-models/search"),
    Rule(("POST",), "execution", r"/experiments/[^/]+/(?:snapshotrun|localrun)"),
    # For the node that has the run's job (routes.node says which run: only its own).
    Rule(("POST", "PUT"), "node", r"/runs/(?P<run>[^/]+)/(?:claim|report|fingerprints|wanted|bytes)"),
    # What runs are made of, and what comes of them: adding, and changing descriptions.
    Rule(("POST",), "content", r"/snapshots/.*"),
    Rule(("PUT",), "environment", r"/environments/.*"),
    Rule(("POST",), "environment", r"/environments/.*/recipe"),
    Rule(("POST", "PUT"), "dataset", r"/(?:datasets|saveddatasets)(?:/.*)?"),
    Rule(("POST", "PATCH"), "modelmanagement", r"/(?:assets|models)(?:/.*)?"),
)


def check(runs: Runs, caller: Caller, method: str, path: str) -> None:
    """Raises Forbidden for what a job may not do, Unauthorized when its run is over. Clients may do all."""
    if caller.run_id is None:
        return
    _root(runs, caller.run_id)
    address = ADDRESS.fullmatch(path)
    if address is not None:
        found = address["service"] or "", address["rest"] or ""
        rule, match = next(((rule, m) for rule in RULES if (m := rule.match(method, *found))), (None, None))
        if rule is not None and match is not None:
            if "run" in match.groupdict():
                may_write(runs, caller, match["run"])
            return
    elif method in READ and re.match(r"/subscriptions(?:/|$)", path):
        return
    raise Forbidden(
        f"The token of the run {caller.run_id} is not for {method} {path[:200]}: a job may read, write to its own "
        "run and the runs below it, and add datasets, environments and models. Do this from a client."
    )


def may_write(runs: Runs, caller: Caller, run_id: str) -> None:
    """Raises Forbidden for a run outside the tree of the caller's. One that isn't there yet passes."""
    if caller.run_id is None or caller.run_id == run_id:
        return
    try:
        root = runs.get(run_id).root_id
    except NotFound:
        return
    if root != _root(runs, caller.run_id):
        raise Forbidden(f"The token of the run {caller.run_id} is not for the run {run_id}, which isn't of its tree.")


def may_replace_artifacts(runs: Runs, caller: Caller, origin: str, container: str) -> bool:
    """Whether the caller may replace files here, or only add some (a file of an upload may be a model's by now).

    Raises Forbidden for a job, unless they are those of a run of its tree, or of an upload. Every route that lets
    somebody write an artifact asks this.
    """
    if caller.run_id is None:
        return True
    if origin == UPLOAD_ORIGIN:
        return False
    run_id = container.removeprefix(container_name(""))
    try:
        written = container_name(runs.get(run_id).id)
    except NotFound:
        written = ""
    if origin != RUN_ORIGIN or container != written:
        raise Forbidden(
            f"The token of the run {caller.run_id} is not for files of {origin[:40]}/{container[:80]}: a job writes "
            "the files of its own run and of the runs of its tree."
        )
    may_write(runs, caller, run_id)
    return True


def may_start(runs: Runs, caller: Caller, parent_id: object) -> None:
    """Raises Forbidden unless the new run's parent is of the tree of the caller's run."""
    if caller.run_id is None:
        return
    if not isinstance(parent_id, str):
        raise Forbidden(
            f"The token of the run {caller.run_id} starts runs below that run only: use run.submit_child() or "
            "run.child_run(), or start the run from a client."
        )
    may_write(runs, caller, parent_id)


def check_running(runs: Runs, run_id: str) -> None:
    """Raises Unauthorized when the run of a token is over or gone."""
    _root(runs, run_id)


def _root(runs: Runs, run_id: str) -> str:
    """The root of the tree of a job's own run. Raises Unauthorized when the run is over or gone."""
    try:
        run = runs.get(run_id)
    except NotFound:
        raise Unauthorized(f"The run {run_id} of this token is gone.") from None
    if run.status in FINAL:
        raise Unauthorized(f"The run {run_id} is {run.status}; its token ended with it.")
    return run.root_id
