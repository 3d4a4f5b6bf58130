"""Curated environments: the packages of the common ones, from what Azure publishes of them.

In Azure a curated environment is a container image. Here it is its list of packages, for jobs that need those and not
the image. The lists are facts of Azure's public definitions (the conda files of the registry ``azureml``, and for the
older ones the reference page "Azure Machine Learning Curated Environments" of 2020 and 2023), with these differences:

* Tools of the image that no training script imports (debuggers, profilers, Jupyter's kernel) are left out.
* Versions are widened, within a major one, where those of the definition have no release for a second Python.
* MLflow is 2.22.5 beside the newest azureml-mlflow: of what that would bring by itself, models can't be logged.

What needs CUDA, MPI, Spark or AutoML has no counterpart (`refusal`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from azureml_local.storage.tables import Json

PREFIX = "azureml-"
REGISTRY = "azureml"
IMAGES = "mcr.microsoft.com/azureml/curated/"
VERSION = "1"

SDK = ("azureml-core", "azureml-defaults")
TRAINING = (*SDK, "azureml-telemetry", "azureml-mlflow")
ESTIMATOR = (*SDK, "azureml-telemetry", "azureml-train-restclients-hyperdrive", "azureml-train-core")
TOOLS = ("matplotlib~=3.5", "tqdm~=4.66", "psutil", "tensorboard")
# Of Python 3.10; 3.11 has wheels of them too.
SCIENCE = ("mlflow==2.22.5", "pandas~=1.5.3", "scipy~=1.10", "numpy>=1.22,<2", "joblib~=1.2")
OLDER_SCIENCE = (
    "pandas~=1.3.0",
    "scipy~=1.10.0",
    "numpy~=1.22.0",
    "joblib~=1.2.0",
    "matplotlib~=3.5.0",
    "tqdm",
    "psutil",
)
OF_2021 = ("scikit-learn~=0.24.1", "scipy", "joblib", "pandas~=1.1", "matplotlib")
SERVING = (*SDK, "azureml-inference-server-http", "azure-storage-blob", "azure-identity", "numpy", "joblib")
TUTORIAL = (
    *(*ESTIMATOR, "azureml-train", "azureml-pipeline", "azureml-widgets", "azureml-opendatasets", "azureml-interpret"),
    *("azureml-tensorboard", "azureml-mlflow", "mlflow", "pandas", "numpy", "tqdm", "scikit-learn", "matplotlib"),
    "sklearn-pandas",
)
BOOSTING = ("scikit-learn~=1.5.1", "xgboost~=1.7.6", "lightgbm>=4.6", "dask[dataframe]", "distributed")


@dataclass(frozen=True)
class Curated:
    """A curated environment: its name as Azure spells it, the Python that it has (None: any), its PyPI packages."""

    name: str
    python: str | None
    packages: tuple[str, ...]

    def definition(self) -> Json:
        """As an environment's definition is kept (`environments`)."""
        python = [f"python={self.python}"] if self.python else []
        image = None if self.name.lower().startswith(PREFIX) else f"{IMAGES}{self.name}"
        return {
            "python": {
                "interpreterPath": "python",
                "userManagedDependencies": False,
                "condaDependencies": {
                    "name": "project_environment",
                    "channels": ["conda-forge"],
                    "dependencies": [*python, "pip", {"pip": list(self.packages)}],
                },
                "baseCondaEnvironment": None,
            },
            "docker": {"baseImage": image, "baseDockerfile": None},
            "environmentVariables": {},
        }


TABLE = (
    Curated("AzureML-Minimal", None, SDK),
    Curated("AzureML-Tutorial", None, TUTORIAL),
    Curated("AzureML-Scikit-learn-0.20.3", "3.6", (*ESTIMATOR, "scikit-learn==0.20.3", "scipy", "joblib")),
    Curated("AzureML-sklearn-0.24-ubuntu18.04-py37-cpu", "3.7", (*TRAINING, *OF_2021)),
    Curated("AzureML-sklearn-1.0-ubuntu20.04-py38-cpu", "3.8", (*TRAINING, "scikit-learn~=1.0.0", *OLDER_SCIENCE)),
    Curated("sklearn-1.0", "3.9", (*TRAINING, "scikit-learn~=1.0.0", *OLDER_SCIENCE)),
    Curated("sklearn-1.1", "3.9", (*TRAINING, "scikit-learn~=1.1.0", *OLDER_SCIENCE)),
    Curated(
        "sklearn-1.5",
        "3.10",
        (*TRAINING, "azureml-inference-server-http", "scikit-learn~=1.5.0", *SCIENCE, *TOOLS),
    ),
    Curated(
        "AzureML-lightgbm-3.2-ubuntu18.04-py37-cpu",
        "3.7",
        (*TRAINING, *OF_2021, "lightgbm~=3.2.0", "xgboost~=1.4.0", "dask~=2021.6.0", "distributed~=2021.6.0"),
    ),
    Curated("lightgbm-3.3", "3.10", (*TRAINING, *BOOSTING, *SCIENCE, *TOOLS)),
    Curated("lightgbm", "3.10", (*TRAINING, *BOOSTING, *SCIENCE, *TOOLS)),
    *(
        Curated(
            f"AzureML-PyTorch-{version}-CPU", "3.6", (*ESTIMATOR, f"torch=={version}.*", "torchvision", "tensorboard")
        )
        for version in ("1.2", "1.3", "1.4", "1.5", "1.6")
    ),
    *(
        Curated(f"AzureML-TensorFlow-{version}-CPU", "3.6", (*ESTIMATOR, f"tensorflow=={version}.*"))
        for version in ("1.13", "2.0", "2.1", "2.2")
    ),
    *(
        Curated(f"AzureML-minimal-ubuntu{ubuntu}-py{python.replace('.', '')}-cpu-inference", python, SERVING)
        for ubuntu, python in (
            ("18.04", "3.7"),
            ("20.04", "3.8"),
            ("20.04", "3.9"),
            ("22.04", "3.9"),
            ("22.04", "3.11"),
        )
    ),
    Curated("minimal-py311-inference", "3.11", SERVING),
    Curated("minimal-py312-inference", "3.12", SERVING),
)
BY_KEY = {one.name.lower().removeprefix(PREFIX): one for one in TABLE}
# What stands in a name for what isn't here, and the words for it.
LACKING = (
    (re.compile(r"cuda|gpu|acpt|rocm"), "needs CUDA"),
    (re.compile(r"automl|forecastdnn"), "is AutoML's"),
    (re.compile(r"spark|designer"), "needs Spark or the designer"),
    (re.compile(r"dask|chainer|horovod|mpi"), "needs MPI"),
)
FRAMEWORK = re.compile(r"(?P<name>pytorch|tensorflow|sklearn|scikit-learn|lightgbm)-(?P<version>\d+\.\d+)")
ON_PYPI = {"pytorch": "torch", "sklearn": "scikit-learn"}


def counterpart(name: str, *, registry: bool = False) -> Curated | None:
    """The curated environment of this name, in any case of its letters; None where there is none here.

    In a workspace the names of curated ones begin with ``AzureML-``; in Azure's own ``registry`` they need not.
    """
    key = name.lower()
    return BY_KEY.get(key.removeprefix(PREFIX)) if registry or key.startswith(PREFIX) else None


def is_curated_name(name: str) -> bool:
    """Whether Azure keeps names like this for curated environments."""
    return name.lower().startswith(PREFIX)


def refusal(name: str) -> str:
    """The sentence for a curated environment that has no counterpart here: what to register instead."""
    key = name.lower()
    why = next((words for pattern, words in LACKING if pattern.search(key)), "isn't in azureml-local's list")
    package = "the packages that your script imports"
    if framework := FRAMEWORK.search(key):
        package = f"{ON_PYPI.get(framework['name'], framework['name'])}=={framework['version']}.*, for example"
    known = ", ".join(sorted((one.name for one in TABLE), key=str.lower)[:3])
    return (
        f"The curated environment {name[:120]!r} is a container image of Azure's that {why}; images are not started "
        f"here. Register an environment under that very name with {package}: in v1 Environment.from_pip_requirements("
        "name, file).register(workspace), in v2 Environment(name=..., conda_file=..., image=...). docs/differences.md "
        f"lists those that are here ({known}, ...)."
    )
