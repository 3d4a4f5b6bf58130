"""The training of the SDK's own tutorial, for comparison: liblinear, ten one-vs-rest models, all training images.

python published.py FOLDER RATE
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier

from utils import load_data


def main(folder: Path, rate: float) -> None:
    X_train, X_test = (load_data(next(folder.glob(f"**/{name}-images*.gz"))) / 255 for name in ("train", "t10k"))
    y_train, y_test = (
        load_data(next(folder.glob(f"**/{name}-labels*.gz")), label=True).ravel() for name in ("train", "t10k")
    )
    began = time.perf_counter()
    binary = LogisticRegression(C=1 / rate, solver="liblinear", random_state=42)
    model = OneVsRestClassifier(binary, n_jobs=-1).fit(X_train, y_train)
    print(f"Fitted at rate {rate} in {time.perf_counter() - began:.1f} s")
    print(f"Accuracy on the test images: {np.mean(model.predict(X_test) == y_test):.4f}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]))
