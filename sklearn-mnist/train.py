import argparse
import time
import warnings
from pathlib import Path

import joblib
import numpy as np
from azureml.core import Run
from scipy.sparse import csr_matrix
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import confusion_matrix
from sklearn.multiclass import OneVsRestClassifier

from utils import load_data

parser = argparse.ArgumentParser(description="Train a logistic regression on MNIST.")
parser.add_argument("--data-folder", type=Path, required=True, help="where the four MNIST files are, at any depth")
parser.add_argument("--regularization", type=float, default=0.01, help="regularization rate, the inverse of C")
parser.add_argument("--solver", choices=["saga", "liblinear"], default="saga",
                    help="saga: multinomial and fast; liblinear: ten one-vs-rest models, as published")
parser.add_argument("--search", action="store_true",
                    help="learn from 5,000 images, and test every ten passes on training images held out for it")
args = parser.parse_args()
if not 0 < args.regularization < float("inf"):
    parser.error(f"--regularization must be a number greater than 0, not {args.regularization}")
if args.search and args.solver != "saga":
    parser.error("--search goes with the solver saga")


def read(pattern, label=False):
    files = sorted(args.data_folder.glob(f"**/{pattern}"))
    if not files:
        parser.error(f"there is no {pattern} below {args.data_folder}")
    return load_data(files[0], label)


X_train, y_train = read("train-images-idx3-ubyte.gz"), read("train-labels-idx1-ubyte.gz", label=True).ravel()
if args.search:
    # A search must not look at the test images: a sixth of the training images stands in for them.
    held_out = len(X_train) // 6
    X_test, y_test = X_train[-held_out:], y_train[-held_out:]
    X_train, y_train = X_train[:-held_out][:5000], y_train[:-held_out][:5000]
else:
    X_test, y_test = read("t10k-images-idx3-ubyte.gz"), read("t10k-labels-idx1-ubyte.gz", label=True).ravel()
print(f"{len(X_train)} training and {len(X_test)} test images of {X_train.shape[1]} pixels")

run = Run.get_context()
run.log("regularization rate", args.regularization)

started = time.perf_counter()
if args.solver == "saga":
    # Four pixels of five are black: as sparse single-precision matrices there is a tenth of the work to do.
    X_train, X_test = (csr_matrix(X).astype(np.float32) for X in (X_train, X_test))
    X_train /= 255
    X_test /= 255
    model = LogisticRegression(C=1 / args.regularization, solver="saga", tol=0.05, random_state=42)
else:
    X_train, X_test = X_train / 255, X_test / 255
    binary = LogisticRegression(C=1 / args.regularization, solver="liblinear", random_state=42)
    model = OneVsRestClassifier(binary, n_jobs=-1)

if args.search:
    # Ten passes over the images at a time. That it has not converged by then is what scikit-learn would warn of.
    model.set_params(warm_start=True, max_iter=10, tol=0)
    warnings.simplefilter("ignore", ConvergenceWarning)
    for _ in range(6):
        model.fit(X_train, y_train)
        run.log("validation accuracy", float(model.score(X_test, y_test)))
        run.flush()  # at once, for whoever waits for it: a policy may end this run
else:
    model.fit(X_train, y_train)
print(f"Fitted with {args.solver} at rate {args.regularization} in {time.perf_counter() - started:.1f} s")

predicted = model.predict(X_test)
accuracy = float(np.mean(predicted == y_test))
print(f"Accuracy on the {'held-out' if args.search else 'test'} images: {accuracy:.4f}")
if not args.search:
    run.log("accuracy", accuracy)
    run.log_confusion_matrix("confusion_matrix", {
        "schema_type": "confusion_matrix",
        "schema_version": "1.0.0",
        "data": {
            "class_labels": [str(digit) for digit in model.classes_],
            "matrix": confusion_matrix(y_test, predicted).tolist(),
        },
    })

# Azure ML keeps what is in outputs/ with the run.
Path("outputs").mkdir(exist_ok=True)
joblib.dump(model, "outputs/sklearn_mnist_model.pkl")
