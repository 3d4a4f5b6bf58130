"""The scripts of sklearn-mnist as real processes, outside of any workspace."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import joblib
import pytest

from azureml_local.opendata.digits import write_digits
from utils import load_data

FOLDER = Path(__file__).parents[1] / "sklearn-mnist"


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_digits(tmp_path_factory.mktemp("digits") / "deep" / "inside")


@pytest.fixture(scope="module")
def mnist() -> str:
    folder = os.environ.get("AZUREML_LOCAL_MNIST")
    if not folder:
        pytest.skip("AZUREML_LOCAL_MNIST names no folder with the original MNIST")
    return folder


def train(folder: Path, *arguments: object, script: str = "train.py") -> subprocess.CompletedProcess[str]:
    # Whatever scikit-learn warns of, a fit that has not converged for one, ends the script. Older releases of the SDK
    # have Python warn of what they import.
    warn = ["-W", "error:::sklearn", "-W", "ignore:pkg_resources is deprecated"]
    command = [sys.executable, *warn, str(FOLDER / script), *map(str, arguments)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=600)


def accuracy(done: subprocess.CompletedProcess[str]) -> float:
    assert done.returncode == 0, done.stderr
    assert "ConvergenceWarning" not in done.stderr
    return float(re.findall(r"Accuracy on the test images: (\d\.\d+)", done.stdout)[0])


def test_training_saves_a_model_that_predicts(digits: Path, tmp_path: Path) -> None:
    done = train(tmp_path, "--data-folder", digits.parent.parent, "--regularization", 0.5)
    assert accuracy(done) > 0.95
    model = joblib.load(tmp_path / "outputs" / "sklearn_mnist_model.pkl")
    images = load_data(digits / "t10k-images-idx3-ubyte.gz") / 255
    labels = load_data(digits / "t10k-labels-idx1-ubyte.gz", label=True).ravel()
    assert (model.predict(images) == labels).mean() == pytest.approx(accuracy(done), abs=1e-4)


def test_training_is_deterministic(digits: Path, tmp_path: Path) -> None:
    runs = []
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        accuracy(train(tmp_path / name, "--data-folder", digits))
        runs.append(joblib.load(tmp_path / name / "outputs" / "sklearn_mnist_model.pkl").coef_)
    assert (runs[0] == runs[1]).all()


def search(folder: Path, data: Path | str, rate: float) -> list[float]:
    """The accuracies that search.py logs, in order."""
    done = train(folder, "--data-folder", data, "--regularization", rate, script="search.py")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return [float(text) for text in re.findall(r"validation accuracy:\n(\d\.\d+)", done.stdout)]


def test_search_looks_at_no_test_image_and_logs_as_it_goes(digits: Path, tmp_path: Path) -> None:
    training = tmp_path / "training"
    training.mkdir()
    for path in digits.glob("train-*.gz"):
        (training / path.name).write_bytes(path.read_bytes())
    values = search(tmp_path, training, 10)
    assert len(values) == 6
    assert min(values) > 0.9


@pytest.mark.parametrize("script", ["train.py", "search.py"])
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "--data-folder"),
        (["--data-folder", "."], "there is no train-images*.gz below"),
        (["--data-folder", ".", "--regularization", "0"], "must be a number above 0"),
        (["--data-folder", ".", "--regularization", "nan"], "must be a number above 0"),
        (["--data-folder", ".", "--regularization", "inf"], "must be a number above 0"),
        (["--data-folder", ".", "--regularization", "much"], "invalid float value"),
    ],
)
def test_training_arguments_invalid_are_a_one_line_error(
    tmp_path: Path, script: str, arguments: list[str], words: str
) -> None:
    done = train(tmp_path, *arguments, script=script)
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("rate", [0.01, 1])
def test_training_on_mnist_reaches_the_published_accuracy(mnist: str, tmp_path: Path, rate: float) -> None:
    assert accuracy(train(tmp_path, "--data-folder", mnist, "--regularization", rate)) >= 0.9204


@pytest.mark.slow
def test_search_shows_under_and_overfitting_on_mnist(mnist: str, tmp_path: Path) -> None:
    curves = {rate: search(tmp_path, mnist, rate) for rate in (0.01, 10, 1000)}
    assert max(curves[0.01]) > curves[0.01][-1] + 0.003
    assert curves[10][-1] > curves[0.01][-1] + 0.003
    assert curves[10][-1] > curves[1000][-1] + 0.03
