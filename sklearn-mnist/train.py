import argparse
import time
from pathlib import Path

import joblib
import numpy as np
from azureml.core import Run
from scipy.sparse import csr_matrix
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import confusion_matrix

from utils import load_data

parser = argparse.ArgumentParser(description="Train a logistic regression on MNIST.")
parser.add_argument("--data-folder", type=Path, required=True, help="where MNIST is")
parser.add_argument("--regularization", type=float, default=1.0, help="rate, the inverse of C")
args = parser.parse_args()
if not 0 < args.regularization < float("inf"):
    parser.error(f"--regularization must be a number above 0, not {args.regularization}")


def read(pattern, label=False):
    files = sorted(args.data_folder.glob(f"**/{pattern}"))
    if not files:
        parser.error(f"there is no {pattern} below {args.data_folder}")
    array = load_data(files[0], label)
    # Four pixels of five are black: a sparse matrix leaves a tenth of the work.
    return array.ravel() if label else csr_matrix(array, dtype=np.float32) / 255


X, y = read("train-images*.gz"), read("train-labels*.gz", label=True)
X_test, y_test = read("t10k-images*.gz"), read("t10k-labels*.gz", label=True)
count = len(y) - len(y) // 12  # the others are for validation
print(f"{count} images to learn from, {len(y) - count} for validation, {len(y_test)} for the test")

run = Run.get_context()
run.log("regularization rate", args.regularization)

started = time.perf_counter()
model = LogisticRegression(C=1 / args.regularization, solver="saga", tol=0.05, random_state=42)
model.fit(X[:count], y[:count])
print(f"Fitted at rate {args.regularization} in {time.perf_counter() - started:.1f} s")

predicted = model.predict(X_test)
accuracy = float(np.mean(predicted == y_test))
run.log("validation accuracy", float(model.score(X[count:], y[count:])))
run.log("accuracy", accuracy)
run.log_confusion_matrix("confusion_matrix", {
    "schema_type": "confusion_matrix",
    "schema_version": "1.0.0",
    "data": {
        "class_labels": [str(digit) for digit in model.classes_],
        "matrix": confusion_matrix(y_test, predicted).tolist(),
    },
})
print(f"Accuracy on the test images: {accuracy:.4f}")

# Azure ML keeps what is in outputs/ with the run.
Path("outputs").mkdir(exist_ok=True)
joblib.dump(model, "outputs/sklearn_mnist_model.pkl")
