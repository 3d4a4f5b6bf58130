"""What holds for every route, whoever adds one: asked of all that the applications have."""

from __future__ import annotations

import contextlib
import re
from typing import Any

import pytest
from security.conftest import Inside

from azureml_local.names import DEFAULT_NAME
from azureml_local.server.access import permissions
from azureml_local.server.access.auth import Caller
from azureml_local.server.access.gate import OPEN
from azureml_local.server.app import API, PLAIN
from azureml_local.server.errors import Forbidden
from azureml_local.workspace.containers import CONTAINERS
from azureml_local.workspace.new_runs import NewRun

NAMES = {
    "subscription_id": DEFAULT_NAME.subscription_id,
    "resource_group": DEFAULT_NAME.resource_group,
    "workspace_name": DEFAULT_NAME.name,
}
# A route may be let through the gate because it checks something else; these do.
WITHOUT_TOKEN = {
    "/msi/token",
    "/msi/token/",
    "/metadata/endpoints",
    "/metadata/{key}/endpoints",
    "/adfs/{key}/{tenant}/.well-known/openid-configuration",
    "/adfs/{key}/{tenant}/oauth2/token",
    "/adfs/{key}/{tenant}/oauth2/v2.0/token",
    "/adfs/{key}/{tenant}/oauth2/{other:path}",
    "/discovery/{key}/workspaces/{workspace_id}",
    "/opendata/mnist",
    "/opendata/mnist/{asked}/{file}",
    "/opendata/diabetes/diabetes.parquet",
    "/opendata/mirror/{key}/{mirror_id}",
    "/opendata/mirror/{key}/{mirror_id}/{path:path}",
}


def routes(modules: tuple[Any, ...]) -> list[tuple[str, str, str]]:
    """(method, path as it is written in the code, a path that it matches) of every route."""

    def sample(path: str) -> str:
        return re.sub(r"\{(\w+)(?::\w+)?\}", lambda match: NAMES.get(match[1], "x"), path)

    found = [route for module in modules for route in module.router.routes]
    return [(method, route.path, sample(route.path)) for route in found for method in sorted(route.methods)]


@pytest.fixture(scope="module")
def of_the_api() -> list[tuple[str, str, str]]:
    return routes(API)


@pytest.mark.case("tokens")
def test_every_route_needs_a_token(inside: Inside, of_the_api: list[tuple[str, str, str]]) -> None:
    closed = [(m, p, s) for m, p, s in of_the_api if p not in WITHOUT_TOKEN]
    assert len(closed) > 80
    for method, path, sample in closed:
        assert not OPEN.fullmatch(sample), path
        assert inside.anonymous.request(method, sample, json={}).status_code == 401, f"{method} {path}"


@pytest.mark.case("tokens")
def test_every_blob_needs_a_signature(inside: Inside) -> None:
    for container in CONTAINERS:
        for path in (f"/{container}", f"/{container}/x", f"/{container}/x/y", f"/{container}?comp=list"):
            for method in ("GET", "HEAD", "PUT", "DELETE"):
                for headers in ({}, {"Authorization": "SharedKey localstore:AAAA"}):
                    assert inside.client.request(method, path, headers=headers).status_code == 403, f"{method} {path}"


@pytest.mark.case("tokens")
def test_an_account_key_opens_nothing_but_blobs(inside: Inside, of_the_api: list[tuple[str, str, str]]) -> None:
    for _, path, sample in of_the_api:
        headers = {"Authorization": "SharedKey localstore:AAAA"}
        assert inside.anonymous.request("GET", sample, headers=headers).status_code == 403, path


@pytest.mark.case("foreign-host", "cross-site-methods")
def test_every_route_looks_at_host_and_origin(inside: Inside, of_the_api: list[tuple[str, str, str]]) -> None:
    plain = routes(PLAIN)
    for client, found in ((inside.client, of_the_api), (inside.plain, plain)):
        for method, path, sample in found:
            for headers in ({"Host": "evil.example"}, {"Origin": "https://evil.example"}):
                answer = client.request(method, sample, headers=headers)
                assert answer.status_code == 403, f"{method} {path}"
                assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.case("simple-requests")
def test_every_route_that_takes_json_takes_nothing_else(inside: Inside, of_the_api: list[tuple[str, str, str]]) -> None:
    for method, path, sample in of_the_api:
        answer = inside.client.request(method, sample, content=b"{}", headers={"Content-Type": "text/plain"})
        assert answer.status_code == 415, f"{method} {path}"


@pytest.mark.case("tokens")
def test_token_of_an_ended_job_is_refused(inside: Inside, of_the_api: list[tuple[str, str, str]]) -> None:
    bearer = {"Authorization": f"Bearer {inside.context.tokens.for_run('nobody').text}"}
    for method, path, sample in of_the_api:
        if path not in WITHOUT_TOKEN:
            assert inside.client.request(method, sample, headers=bearer).status_code == 401, f"{method} {path}"


@pytest.mark.case("tokens")
def test_a_job_deletes_nothing_and_stays_out_of_the_servers_own_routes(
    inside: Inside, of_the_api: list[tuple[str, str, str]]
) -> None:
    """Asked of the rules themselves, with a run that goes on: nothing is deleted where that is allowed."""
    runs = inside.context.workspace.runs
    experiment = inside.context.workspace.experiments.get_or_create("going")
    runs.create(NewRun("going-on", experiment.id))
    allowed = set()
    for method, path, sample in of_the_api:
        with contextlib.suppress(Forbidden):
            permissions.check(runs, Caller("going-on"), method, sample)
            allowed.add((method, path.rpartition("{workspace_name}")[2] or path))
    assert {path for method, path in allowed if method == "DELETE"} == {
        "/experiments/{experiment}/runs/{run_id}/tags",
        "/experimentids/{experiment}/runs/{run_id}/tags",
        "/runs/{run_id}/tags",
    }
    assert not [path for _, path in allowed if path.startswith("/local")]
    assert not [path for method, path in allowed if "/computes" in path and method in ("PUT", "PATCH", "DELETE")]
    # A draft is made of another one by GET.
    assert not [path for _, path in allowed if "/PipelineDrafts/Clone" in path]
    publishing = ("/Pipelines", "/PipelineEndpoints", "/Schedules", "/PipelineDrafts", "/GraphDrafts")
    assert not [path for method, path in allowed if path.startswith(publishing) and method != "GET"]


@pytest.mark.case("server-side-requests", "templates", "unpickling", "yaml", "archives", "shell-words")
def test_server_code_makes_no_dangerous_calls() -> None:
    """What can't be shown by trying is shown by its absence."""
    from pathlib import Path

    import azureml_local

    package = Path(azureml_local.__file__).parent
    allowed = {
        # MNIST's three hosts, the command line program that asks its own server, and a worker that does.
        "httpx.": {"opendata/download.py", "client/instance.py", "cluster/remote/reporter.py"},
        "shell=True": set(),
        "os.system": set(),
        "yaml.load(": {"runtime/dataflows.py"},  # with a loader of its own, below the safe one
        "pickle": set(),
        "joblib.load": {"serving/layout.py"},  # in the text of a driver, which the service's own process runs
        "zipfile": {
            *("runtime/local_target.py", "workspace/snapshots.py"),  # both write only
            "cluster/remote/worker.py",  # reads, on a worker, what the server has written
        },
        "extractall": {"serving/layout.py"},  # with the filter that lets nothing out of the folder
        "from_string": set(),
        "eval(": set(),
        "exec(": set(),
        "ElementTree": {"server/blob/listings.py"},  # without document types
        "urlopen": set(),
        "requests.get": set(),
        "requests.post": set(),
    }
    for path in package.rglob("*.py"):
        text = path.read_text()
        for word, where in allowed.items():
            if re.search(rf"(?<![\w.]){re.escape(word)}", text):
                assert path.relative_to(package).as_posix() in where, f"{word} in {path.name}"


def test_a_metric_of_a_run_that_is_deleted_in_this_moment_is_refused(
    inside: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the route has found the run; and the same for a run of an experiment."""
    workspace = inside.context.workspace
    experiment = workspace.experiments.get_or_create("vanishes")
    run = workspace.runs.create(NewRun("vanished", experiment.id))
    workspace.runs.advance(run.id, "Completed")
    workspace.experiments.delete(experiment.id, workspace.artifacts)
    monkeypatch.setattr(workspace.experiments, "find", lambda _: experiment)
    value = {"name": "m", "columns": {"m": "double"}, "value": [{"data": {"m": 1.0}}]}
    new = {"runId": "new", "target": "sdk"}
    runs = f"/history/v1.0{DEFAULT_NAME.arm_id}/experiments/vanishes"
    one = inside.client.request("PATCH", f"{runs}/runs/new", json=new)
    several = inside.client.request("PATCH", f"{runs}/batch/runs", json={"runs": [new]})
    monkeypatch.setattr(workspace.runs, "get", lambda _: run)
    metrics = f"/metric/v2.0{DEFAULT_NAME.arm_id}/runs/vanished/batch"
    metric = inside.client.request("POST", metrics, json={"values": [value]})
    for answer in (one, metric):
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "NotFound"), answer.text
    assert several.json()["errors"]["new"]["error"]["code"] == "NotFound"


@pytest.mark.case("tokens")
def test_a_jobs_sign_in_gives_its_own_runs_token_while_that_goes_on(inside: Inside) -> None:
    runs, tokens = inside.context.workspace.runs, inside.context.tokens
    experiment = inside.context.workspace.experiments.get_or_create("signs-in")
    runs.create(NewRun("signs-in", experiment.id))
    mine = {"secret": tokens.for_run("signs-in").text}
    answer = inside.anonymous.request("GET", "/msi/token?resource=https://a.example", headers=mine)
    given = answer.json()["access_token"]
    assert tokens.check(f"Bearer {given}") == Caller("signs-in")
    assert inside.anonymous.request("GET", "/msi/token", headers={"secret": given}).status_code == 200
    client = {"secret": tokens.sign_in(inside.context.secrets.sign_in, "x").text}  # a token is no secret
    for secret in (client, {"secret": tokens.for_run("nobody").text}, {"secret": f"{given}x"}, {"secret": "a.b.c"}, {}):
        assert inside.anonymous.request("GET", "/msi/token", headers=secret).status_code == 401
    runs.advance("signs-in", "Canceled")
    assert inside.anonymous.request("GET", "/msi/token", headers=mine).status_code == 401


@pytest.mark.case("sign-in-address")
def test_sign_in_address_is_told_to_nobody_and_good_only_with_its_key(inside: Inside) -> None:
    secrets, ask = inside.context.secrets, inside.anonymous.request
    runs = inside.context.workspace.runs
    runs.create(NewRun("by-address", inside.context.workspace.experiments.get_or_create("by-address").id))
    client, job = secrets.sign_in_key(), secrets.sign_in_key("by-address")
    form = {"grant_type": "client_credentials", "scope": "https://a.example/.default", "client_secret": "x"}
    configuration = "/.well-known/openid-configuration"

    open_to_all = ["/metadata/endpoints", "/metadata/x/endpoints", "/opendata/mnist", "/msi/token", "/adfs/x/t/x"]
    told = [ask("GET", path).text for path in (*open_to_all, f"/adfs/x/t{configuration}")]
    assert not [text for text in told if client in text or job in text]
    others = [
        client[:-1],
        f"{client}0",
        f".{client}",
        f"by-address.{client}",
        job.replace("by", "By"),
        "x",
        "%ff",
        "%00",
    ]
    for key in (*others, secrets.sign_in_key("nobody"), secrets.sign_in, secrets.view_key):
        assert ask("GET", f"/adfs/{key}/t{configuration}").status_code == 401, key
        assert ask("POST", f"/adfs/{key}/t/oauth2/token", data=form).status_code == 401, key
        assert ask("POST", f"/adfs/{key}/t/oauth2/v2.0/token", data=form).status_code == 401, key
    for key, caller in ((client, Caller()), (job, Caller("by-address"))):
        endpoint = ask("GET", f"/adfs/{key}/t{configuration}").json()["token_endpoint"]
        given = ask("POST", endpoint.partition("8843")[2], data=form).json()["access_token"]
        assert inside.context.tokens.check(f"Bearer {given}") == caller
        assert ask("POST", f"/adfs/{key}/t/oauth2/token", data={"grant_type": "password"}).status_code == 400
    runs.advance("by-address", "Canceled")
    assert ask("POST", f"/adfs/{job}/t/oauth2/token", data=form).status_code == 401
