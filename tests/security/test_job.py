"""What a job may do with its run's token, asked by a real job through the real SDK; and what it can see."""

from __future__ import annotations

import datetime
import json
import textwrap
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import jwt
import psutil
import pytest

from azureml_local.client.instance import LocalServer
from azureml_local.names import DEFAULT_NAME

pytestmark = pytest.mark.slow  # one job, for all of them

SCRIPT = """
    import json, os, sys
    import requests
    from azureml.core import Dataset, Environment, Experiment, Model, Run, ScriptRunConfig
    from azureml.core.authentication import AzureMLTokenAuthentication
    from azureml.core.compute import ComputeTarget

    run = Run.get_context(allow_offline=False)
    ws = run.experiment.workspace
    other, parent, compute = sys.argv[1:4]
    said = {}

    def attempt(what, action):
        try:
            answer = action()
            said[what] = "allowed"
            return answer
        except Exception as error:
            said[what] = str(error)

    def submit():
        here = Environment("here")
        here.python.user_managed_dependencies = True
        os.makedirs("below", exist_ok=True)
        with open("below/script.py", "w") as file:
            file.write("import time; time.sleep(600)")
        config = ScriptRunConfig("below", "script.py", compute_target=compute, environment=here)
        run.submit_child(config).cancel()

    def log(run):
        run.log("loss", 0.0)
        run.flush()

    with open("model.txt", "w") as file:
        file.write("weights")
    theirs = Run.get(ws, other)

    attempt("log", lambda: log(run))
    attempt("tag", lambda: run.tag("seen", "yes"))
    child = attempt("make a child run", lambda: run.child_run("child"))
    attempt("make several children", lambda: [each.complete() for each in run.create_children(count=2)])
    attempt("log to the child", lambda: (log(child), child.complete()))
    attempt("log to the parent", lambda: log(run.parent))
    attempt("submit a run below", submit)
    attempt("read another run", theirs.get_details)
    attempt("list runs", lambda: list(run.experiment.get_runs()))
    attempt("upload", lambda: run.upload_file("kept/model.txt", "model.txt"))
    attempt("register a model", lambda: run.register_model("of-a-job", model_path="kept/model.txt"))
    attempt("register a local model", lambda: Model.register(ws, "model.txt", "of-a-job-local"))
    attempt("read the datastore", ws.get_default_datastore)
    attempt("list datasets", lambda: Dataset.get_all(ws))
    attempt("read a compute", lambda: ComputeTarget(ws, compute))

    attempt("cancel another run", lambda: theirs.cancel())
    attempt("tag another run", lambda: theirs.tag("seen", "yes"))
    attempt("upload to another run", lambda: theirs.upload_file("kept/model.txt", "model.txt"))
    attempt("start a run elsewhere", lambda: Experiment(ws, run.experiment.name).start_logging())

    # The SDK refreshes a token that is about to end; AzureMLTokenAuthentication asks for it on this route.
    auth = ws._auth
    client = next(iter(AzureMLTokenAuthentication._host_clientbase.values()))
    answer = client._client.run.get_token_by_exp_id(*auth._run_scope_info)
    said["new token"], said["its end"] = answer.token, answer.expiry_time_utc.isoformat()
    said["end of the first"] = str(auth.expiry_time)

    # What the SDK in a job has no operation for, or refuses by itself.
    def ask(method, path):
        url = os.environ["AZUREML_SERVICE_ENDPOINT"] + path
        return requests.request(method, url, headers=auth.get_authentication_header(), json={}).status_code
    arm = "/subscriptions/%s/resourceGroups/%s/providers/Microsoft.MachineLearningServices/workspaces/%s" % (
        ws.subscription_id, ws.resource_group, ws.name)
    said["asked"] = {f"{method} {path}": ask(method, path) for method, path in [
        ("GET", "/local/status"),
        ("POST", "/local/names"),
        ("GET", f"/history/v1.0{arm}/runs/{other}/token"),
        ("GET", f"/history/v1.0{arm}/runs/{run.id}/token"),
        ("GET", f"/artifact/v2.0{arm}/artifacts/write/ExperimentRun/dcid.{other}/outputs/x"),
        ("GET", f"/artifact/v2.0{arm}/artifacts/write/LocalUpload/x/y"),
        ("GET", f"/artifact/v2.0{arm}/artifacts/write/ExperimentRun/dcid.{run.id}/outputs/x"),
        ("POST", f"/history/v1.0{arm}/runs/{other}/cancel"),
        ("POST", f"/metric/v2.0{arm}/runs/{other}/batch"),
        ("POST", f"/history/v1.0{arm}/experiments/x"),
        ("DELETE", f"{arm}/computes/{compute}"),
        ("PUT", f"{arm}/computes/{compute}"),
        ("DELETE", f"/modelmanagement/v1.0{arm}/models/of-a-job:1"),
        ("DELETE", f"{arm}"),
        ("POST", f"{arm}/listKeys"),
        ("PUT", "/subscriptions"),
        ("GET", "/subscriptions"),
    ]}
    said["environment"] = dict(os.environ)
    said["open files"] = [os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd")
                          if os.path.exists(f"/proc/self/fd/{fd}")]
    os.makedirs("outputs", exist_ok=True)
    with open("outputs/said.json", "w") as file:
        json.dump(said, file)
"""
ALLOWED = (
    "log",
    "tag",
    "make a child run",
    "make several children",
    "log to the child",
    "log to the parent",
    "submit a run below",
    "read another run",
    "list runs",
    "upload",
    "register a model",
    "register a local model",
    "read the datastore",
    "list datasets",
    "read a compute",
)
# Run.cancel doesn't look at its answer; that nothing came of it is seen in the run.
REFUSED = (
    "tag another run",
    "upload to another run",
    "start a run elsewhere",
)


@dataclass(frozen=True)
class Story:
    """A job's account, the runs in it, and the command lines of all processes that were seen meanwhile."""

    said: dict[str, Any]
    run: Any
    other: Any
    parent: Any
    command_lines: set[str]


@pytest.fixture(scope="module")
def story(workspace: Any, compute: Any, here: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    from azureml.core import Experiment, ScriptRunConfig

    folder = tmp_path_factory.mktemp("source")
    (folder / "script.py").write_text(textwrap.dedent(SCRIPT))
    experiment = Experiment(workspace, "what-a-job-may")
    other, parent = experiment.start_logging(), experiment.start_logging()
    run = parent.submit_child(
        ScriptRunConfig(
            str(folder),
            "script.py",
            [other.id, parent.id, compute.name],
            compute_target=compute,
            environment=here,
        )
    )
    seen: set[str] = set()
    while run.get_status() not in ("Completed", "Failed", "Canceled"):
        for process in psutil.process_iter(["cmdline"]):
            seen.add(" ".join(process.info["cmdline"] or []))
        time.sleep(0.2)
    run.wait_for_completion(raise_on_error=True)
    account = folder / "said.json"
    run.download_file("outputs/said.json", str(account))
    yield Story(json.loads(account.read_text()), run, other, parent, seen)
    other.complete()
    parent.complete()


@pytest.mark.case("tokens")
@pytest.mark.sdk("Run.submit_child", "Run.child_run")
def test_job_token_may_change_its_own_run(story: Story) -> None:
    assert {what: story.said[what] for what in ALLOWED} == dict.fromkeys(ALLOWED, "allowed")
    assert story.parent.get_metrics() == {"loss": 0.0}


@pytest.mark.case("tokens")
@pytest.mark.parametrize("what", REFUSED)
def test_job_token_is_refused_for_other_runs(story: Story, what: str) -> None:
    # The SDK puts words of its own in the place of a 403's message (azureml._restclient.clientbase).
    assert "Forbidden" in story.said[what] or "The token of the run" in story.said[what]


@pytest.mark.case("tokens")
def test_other_run_is_unchanged_after_refused_requests(story: Story) -> None:
    assert story.other.get_status() == "Running"
    assert story.other.get_tags() == {}
    assert story.other.get_metrics() == {}
    assert story.other.get_file_names() == []


@pytest.mark.case("tokens")
def test_job_token_is_refused_for_management(story: Story) -> None:
    answers = dict(story.said["asked"])
    own = next(key for key in answers if key.endswith(f"{story.run.id}/token"))
    assert answers.pop(own) == 200
    assert answers.pop(next(key for key in answers if key.endswith(f"dcid.{story.run.id}/outputs/x"))) == 200
    assert answers.pop("GET /subscriptions") == 200
    assert set(answers.values()) == {403}, answers


@pytest.mark.case("tokens")
def test_a_token_is_renewed_and_ends_with_its_run(story: Story, server: LocalServer) -> None:
    claims = jwt.decode(story.said["new token"], options={"verify_signature": False})
    assert claims["run"] == story.run.id
    end = datetime.datetime.fromisoformat(story.said["its end"])
    assert end.utcoffset() == datetime.timedelta(0)
    assert end.timestamp() == claims["exp"]
    assert claims["exp"] - claims["iat"] <= 24 * 3600
    assert datetime.datetime.fromisoformat(story.said["end of the first"]).utcoffset() == datetime.timedelta(0)
    for token in (story.said["new token"], story.said["environment"]["AZUREML_RUN_TOKEN"]):
        with server._client() as client:
            answer = client.get(DEFAULT_NAME.arm_id, headers={"Authorization": f"Bearer {token}"})
        assert answer.status_code == 401
        assert "ended with it" in answer.text


@pytest.mark.case("job-environment")
def test_a_job_sees_no_secret_and_no_open_file_of_the_server(story: Story, server: LocalServer) -> None:
    environment = story.said["environment"]
    secrets = server.folder.secrets()
    for secret in (secrets.sign_in, secrets.signing_key, secrets.account_key, secrets.view_key, secrets.sign_in_key()):
        assert not [name for name, value in environment.items() if secret in value]
    own = {name for name in environment if name.startswith(("AWS_", "MSI_", "AZURE_", "GITHUB_"))}
    assert own == {"MSI_ENDPOINT", "MSI_SECRET", "AZURE_AUTHORITY_HOST"}  # its run's
    assert environment["MSI_SECRET"] == environment["AZUREML_RUN_TOKEN"]
    assert environment["AZURE_AUTHORITY_HOST"].endswith(secrets.sign_in_key(story.run.id))
    root = server.folder.root
    inside = [name for name in story.said["open files"] if name.startswith(f"{root}/")]
    # Its standard output is a log of the run; its own files are in its own folder.
    assert not [name for name in inside if not name.startswith((f"{root}/blobs/", f"{root}/runs/{story.run.id}/"))]


@pytest.mark.case("secrets-unseen")
def test_no_secret_is_in_a_process_list_or_log(story: Story, server: LocalServer) -> None:
    assert any("azureml_local" in line and "serve" in line for line in story.command_lines)
    secrets = server.folder.secrets()
    hidden = [secrets.sign_in, secrets.signing_key, secrets.account_key, secrets.view_key]
    hidden += [story.said["new token"], story.said["environment"]["AZUREML_RUN_TOKEN"]]
    log = server.folder.log.read_text()
    for secret in hidden:
        assert not [line for line in story.command_lines if secret in line]
        assert secret not in log
    assert "sig=" not in log
    logs = story.run.get_details()["logFiles"]
    with httpx.Client(verify=False) as client:
        for url in logs.values():
            text = client.get(url).text
            assert not [secret for secret in hidden if secret in text], url
