"""Deployments of SDK v1, made with the SDK and asked as its users ask them."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests

from azureml_local.client.instance import LocalServer
from azureml_local.serving.process import RECORD

pytestmark = [
    pytest.mark.slow,  # a scoring process takes seconds to start
    pytest.mark.filterwarnings("ignore::FutureWarning"),  # the SDK's own: deployment is SDK v2's now
]

SCORE = """
import json, os, time
from azureml.core import Model

def init():
    global factor
    factor = int(open(os.path.join(os.environ["AZUREML_MODEL_DIR"], "factor.txt")).read())
    assert open(Model.get_model_path("factor")).read() == str(factor)
    print("init with", factor)

def run(data):
    asked = json.loads(data)
    if asked == "end":
        os._exit(1)
    if asked == "fail":
        raise ValueError("no such thing")
    return {"answer": [factor * each for each in asked], "pid": os.getpid()}
"""


@pytest.fixture(scope="module")
def registered(workspace: Any, tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Any]:
    """Registers a model that is a number."""
    from azureml.core import Model

    def register(number: int) -> Any:
        folder = tmp_path_factory.mktemp("model")
        (folder / "factor.txt").write_text(str(number))
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(folder)  # the SDK takes files of the current folder only
            return Model.register(workspace, model_path="factor.txt", model_name="factor")

    return register


@pytest.fixture(scope="module")
def scripts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scripts")
    (folder / "src").mkdir()
    (folder / "src" / "score.py").write_text(SCORE)
    (folder / "src" / "beside.py").write_text("x = 1\n")
    return folder


def inference(script: Path, **options: Any) -> Any:
    from azureml.core import Environment
    from azureml.core.model import InferenceConfig

    environment = Environment("score")
    environment.python.user_managed_dependencies = True
    return InferenceConfig(str(script), environment=environment, **options)


@pytest.fixture(scope="module")
def service(workspace: Any, registered: Callable[[int], Any], scripts: Path) -> Iterator[Any]:
    """One that multiplies by three, and wants a key."""
    from azureml.core import Model
    from azureml.core.webservice import AciWebservice

    made = Model.deploy(
        workspace,
        "times",
        [registered(3)],
        inference(Path("score.py"), source_directory=str(scripts / "src")),
        AciWebservice.deploy_configuration(auth_enabled=True, tags={"kind": "factor"}, description="multiplies"),
    )
    made.wait_for_deployment(show_output=True)
    yield made
    made.delete()


def ask(service: Any, data: object, key: str | None = None) -> requests.Response:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    return requests.post(service.scoring_uri, json.dumps(data), headers=headers, timeout=60)


@pytest.mark.sdk(
    "Model.deploy",
    "AciWebservice.run",
    "AciWebservice.get_keys",
    "AciWebservice.regen_key",
    "AciWebservice.get_logs",
    "AciWebservice.serialize",
    "Webservice.list",
    "Workspace.webservices",
)
def test_service_answers_whoever_has_a_key(service: Any, workspace: Any) -> None:
    from azureml.core import Webservice

    assert service.state == "Healthy"
    answer = service.run(json.dumps([1, 2]))
    assert answer["answer"] == [3, 6]
    assert "init with 3" in service.get_logs()
    primary, secondary = service.get_keys()
    assert ask(service, [1]).status_code == 401
    assert ask(service, [1], "x" * len(primary)).status_code == 401
    assert ask(service, [2], secondary).json()["answer"] == [6]
    service.regen_key("Primary", set_key="a-key-of-mine")
    assert ask(service, [2], primary).status_code == 401
    assert ask(service, [2], "a-key-of-mine").json()["answer"] == [6]
    swagger = requests.get(
        service.swagger_uri, headers={"Authorization": "Bearer a-key-of-mine"}, params={"version": 3}, timeout=60
    )
    assert "/score" in swagger.json()["paths"]
    assert [each.name for each in Webservice.list(workspace, tags=["kind"])] == ["times"]
    assert Webservice.list(workspace, tags=[["kind", "other"]]) == []
    assert [each.name for each in Webservice.list(workspace, model_name="factor")] == ["times"]
    assert workspace.webservices["times"].serialize()["description"] == "multiplies"


def test_run_that_raises_is_a_502_and_its_words_are_in_the_log(service: Any) -> None:
    key = service.get_keys()[0]
    answer = ask(service, "fail", key)
    assert answer.status_code == 502
    assert "error occurred in scoring script" in answer.text
    assert "ValueError: no such thing" in service.get_logs()


def test_worker_that_ends_is_replaced(service: Any, wait_for: Callable[..., Any]) -> None:
    key = service.get_keys()[0]
    before = ask(service, [1], key).json()["pid"]
    assert ask(service, "end", key).status_code == 502
    wait_for(lambda: ask(service, [1], key).status_code == 200)
    assert ask(service, [1], key).json()["pid"] != before


def test_process_that_is_killed_is_started_again(
    service: Any, server: LocalServer, wait_for: Callable[..., Any]
) -> None:
    key = service.get_keys()[0]
    (record,) = (server.folder.services / "times").glob(f"*/{RECORD}")
    supervisor = psutil.Process(json.loads(record.read_text())["pid"])
    for each in supervisor.children(recursive=True):
        each.kill()
    wait_for(lambda: ask(service, [1], key).status_code in (502, 503))
    wait_for(lambda: ask(service, [1], key).status_code == 200, 60)
    assert "it is started again" in service.get_logs()
    service.update_deployment_state()
    assert service.state == "Healthy"


@pytest.mark.sdk("AciWebservice.update", "AciWebservice.add_tags", "AciWebservice.remove_tags")
def test_update_loses_no_request(service: Any, registered: Callable[[int], Any], scripts: Path) -> None:
    key, answers = service.get_keys()[0], []
    ended = threading.Event()

    def go_on() -> None:
        while not ended.is_set():
            answer = ask(service, [1], key)
            answers.append((answer.status_code, answer.json().get("answer") if answer.ok else answer.text))

    asking = threading.Thread(target=go_on)
    asking.start()
    try:
        service.update(
            models=[registered(5)], inference_config=inference(Path("score.py"), source_directory=str(scripts / "src"))
        )
        service.wait_for_deployment()
    finally:
        ended.set()
        asking.join()
    assert {status for status, _ in answers} == {200}
    assert answers[0][1] == [3]
    assert ask(service, [1], key).json()["answer"] == [5]
    service.add_tags({"more": "1"})
    service.remove_tags(["kind"])
    service.update_deployment_state()
    assert service.tags == {"more": "1"}


@pytest.mark.sdk("AciWebservice.wait_for_deployment", "AciWebservice.delete")
@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("import no_such_module\n\ndef init(): pass\n\ndef run(data): pass\n", "No module named 'no_such_module'"),
        ("def init(): open('nothing.pkl')\n\ndef run(data): pass\n", "FileNotFoundError"),
    ],
    ids=["import", "init"],
)
def test_deployment_whose_script_fails_says_why(
    workspace: Any, registered: Callable[[int], Any], tmp_path: Path, script: str, words: str
) -> None:
    from azureml.core import Model
    from azureml.core.webservice import AciWebservice
    from azureml.exceptions import WebserviceException

    (tmp_path / "score.py").write_text(script)
    service = Model.deploy(
        workspace,
        "broken",
        [registered(1)],
        inference(tmp_path / "score.py"),
        AciWebservice.deploy_configuration(),
        overwrite=True,
    )
    with pytest.raises(WebserviceException, match=words):
        service.wait_for_deployment()
    assert service.state == "Failed"
    assert "Traceback" in service.get_logs()
    assert service.scoring_uri is None
    service.delete()
    assert "broken" not in workspace.webservices


@pytest.mark.sdk("AksWebservice.get_token", "AksWebservice.run")
def test_service_of_the_type_aks_takes_tokens_and_models_come_without_code(
    workspace: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import joblib
    import sklearn
    from azureml.core import Model
    from azureml.core.webservice import AksWebservice
    from sklearn.linear_model import LinearRegression

    monkeypatch.chdir(tmp_path)
    joblib.dump(LinearRegression().fit([[0.0], [1.0]], [0.0, 2.0]), "model.pkl")
    model = Model.register(
        workspace,
        model_path="model.pkl",
        model_name="line",
        model_framework=Model.Framework.SCIKITLEARN,
        model_framework_version=sklearn.__version__,
    )
    target = type("AksCompute", (), {"name": "aks", "type": "AKS"})()
    service = Model.deploy(
        workspace,
        "line",
        [model],
        deployment_config=AksWebservice.deploy_configuration(
            token_auth_enabled=True, auth_enabled=False, scoring_timeout_ms=5000
        ),
        deployment_target=target,
    )
    try:
        service.wait_for_deployment()
        assert service.run(json.dumps({"data": [[3.0]]}))["predict"] == [pytest.approx(6.0)]
        token, _ = service.get_token()
        assert ask(service, {"data": [[1.0]]}, token).status_code == 200
        assert ask(service, {"data": [[1.0]]}, token[:-2]).status_code == 401
    finally:
        service.delete()


def test_scoring_address_refuses_other_sites_and_unknown_services(service: Any) -> None:
    key = service.get_keys()[0]
    headers = {"Authorization": f"Bearer {key}", "Origin": "https://example.org"}
    assert requests.post(service.scoring_uri, "[1]", headers=headers, timeout=60).status_code == 403
    other = service.scoring_uri.replace("/times/", "/nothing/")
    assert requests.post(other, "[1]", timeout=60).status_code == 404
    assert requests.post(service.scoring_uri.replace("/times/", "/..%2ftimes/"), "[1]", timeout=60).status_code != 200


def test_socket_and_files_of_a_service_are_its_owners(service: Any, server: LocalServer) -> None:
    (socket,) = (server.folder.services / service.name).glob("*/scoring.sock")
    assert socket.stat().st_mode & 0o077 == 0
    assert server.folder.root.stat().st_mode & 0o077 == 0
    (script,) = (server.folder.services / service.name).glob("*/app/src/score.py")
    assert script.stat().st_mode & 0o222 == 0
