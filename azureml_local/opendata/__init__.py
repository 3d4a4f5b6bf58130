"""Azure Open Datasets without Azure: MNIST from the user's files, or drawn from digits that every scikit-learn has, and
Diabetes, whose rows come with scikit-learn too.
"""

from __future__ import annotations

from pathlib import Path

# ``sklearn.datasets.load_diabetes(scaled=False)`` (442 rows of Efron, Hastie, Johnstone and Tibshirani, 2004) with the
# names and types that Azure's columns have, as Parquet, which the server itself has no library for.
DIABETES = Path(__file__).with_name("diabetes.parquet")
