"""A local Azure Machine Learning workspace for the real, unmodified SDK."""

__version__ = "0.2.0"
