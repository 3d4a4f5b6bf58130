"""The training of the SDK's own tutorial against ours: the same data, one after the other."""

from __future__ import annotations

import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path

from processes import SCRIPT, run, say, temporary_folder
from table import Part, Row

RATE = 0.5
OTHER_RATES = (0.01, 0.1, 0.8)
PUBLISHED = 0.9193  # liblinear's accuracy at this rate, in the SDK's own tutorial
RUNS = 3
PUBLISHED_SCRIPT = Path(__file__).with_name("published.py")
FITTED = re.compile(r"Fitted at rate \S+ in (\d+\.\d+) s")
ACCURACY = re.compile(r"Accuracy on the test images: (\d\.\d+)")


@dataclass(frozen=True)
class Training:
    wall: float
    cpu: float
    fit: float
    accuracy: float


def measure() -> Part:
    part = Part("The published training (liblinear, one-vs-rest) against the whole of train.py (saga, multinomial)")
    data = os.environ.get("AZUREML_LOCAL_MNIST")
    if not data:
        part.remarks.append(
            "Not measured: it means something on the real MNIST only; set AZUREML_LOCAL_MNIST to its folder."
        )
        return part
    with temporary_folder() as folder:
        ours = [train(folder, Path(data), RATE) for _ in range(RUNS)]
        say("  liblinear (about two minutes of CPU time)")
        classic = published(folder, Path(data), RATE)
        if abs(classic.accuracy - PUBLISHED) > 0.0005:
            raise RuntimeError(f"liblinear comes to {classic.accuracy}, and is known for {PUBLISHED}")
        others = {rate: train(folder, Path(data), rate) for rate in OTHER_RATES}
    part.rows = [
        Row(f"CPU time at rate {RATE}", [one.cpu for one in ours], "s", "liblinear", [classic.cpu]),
        Row(f"wall time at rate {RATE}", [one.wall for one in ours], "s", "liblinear", [classic.wall]),
        Row("of which fitting", [one.fit for one in ours], "s", "liblinear", [classic.fit]),
        Row(f"accuracy at rate {RATE}", [one.accuracy for one in ours], "", "liblinear", [classic.accuracy]),
    ]
    for rate, one in others.items():
        part.rows.append(Row(f"CPU time at rate {rate}", [one.cpu]))
        part.rows.append(Row(f"accuracy at rate {rate}", [one.accuracy], ""))
    return part


def train(folder: Path, data: Path, rate: float) -> Training:
    return _training(folder, SCRIPT, "--data-folder", str(data), "--regularization", str(rate))


def published(folder: Path, data: Path, rate: float) -> Training:
    return _training(folder, PUBLISHED_SCRIPT, str(data), str(rate))


def _training(folder: Path, script: Path, *arguments: str) -> Training:
    environment = {**os.environ, "PYTHONPATH": str(SCRIPT.parent)}  # both read the data with its utils.py
    done = run([sys.executable, str(script), *arguments], folder=folder, environment=environment)
    return Training(done.wall, done.cpu, fit_seconds(done.output), _number(ACCURACY, done.output))


def fit_seconds(output: str) -> float:
    """The seconds that train.py says its fit took."""
    return _number(FITTED, output)


def _number(pattern: re.Pattern[str], output: str) -> float:
    match = pattern.search(output)
    if match is None:
        raise ValueError(f"train.py has not printed {pattern.pattern!r}, but: {output[-500:]}")
    return float(match[1])
