import argparse
import warnings
from pathlib import Path

import joblib
import numpy as np
from azureml.core import Run
from scipy.sparse import csr_matrix
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from utils import load_data

LEARNED_FROM, PASSES, TESTS = 5000, 10, 6  # few images, on which overfitting shows

parser = argparse.ArgumentParser(description="Train a model, and test it every ten passes.")
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
    return array.ravel() if label else csr_matrix(array, dtype=np.float32) / 255


# The test images are left alone: a sixth of the training images is held out for validation.
X, y = read("train-images*.gz"), read("train-labels*.gz", label=True)
held_out = len(y) // 6
X_validation, y_validation = X[-held_out:], y[-held_out:]
X, y = X[:-held_out][:LEARNED_FROM], y[:-held_out][:LEARNED_FROM]
print(f"{len(y)} images to learn from, {held_out} for validation")

run = Run.get_context()
run.log("regularization rate", args.regularization)

# Ten passes at a time. That it has not converged by then is what scikit-learn warns of.
warnings.simplefilter("ignore", ConvergenceWarning)
model = LogisticRegression(C=1 / args.regularization, solver="saga", tol=0, max_iter=PASSES,
                           warm_start=True, random_state=42)
for _ in range(TESTS):
    model.fit(X, y)
    run.log("validation accuracy", float(model.score(X_validation, y_validation)))
    run.flush()  # at once, for whoever waits for it: a policy may end this run

Path("outputs").mkdir(exist_ok=True)
joblib.dump(model, "outputs/sklearn_mnist_model.pkl")
