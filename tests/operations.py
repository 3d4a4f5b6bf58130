"""docs/coverage.md: which operations of the SDK are shown to work, which are refused, and which nobody has tried.

    python tests/operations.py > docs/coverage.md        (or: make coverage)

It is made from three sources, so that it can't drift: the marks of the tests (``sdk``, ``sdk_refused``), the public
members of the SDK's own classes, and the server's routes. test_operations.py fails where the committed file is another.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import warnings
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

TESTS = Path(__file__).parent
DOCUMENT = TESTS.parent / "docs" / "coverage.md"

# What training code uses, and where the SDK has it. A mark's name begins with one of these.
PARTS: dict[str, dict[str, str]] = {
    "Workspace": {"Workspace": "azureml.core", "Keyvault": "azureml.core.keyvault"},
    "Experiment": {"Experiment": "azureml.core"},
    "Run": {"Run": "azureml.core", "ScriptRun": "azureml.core.script_run"},
    "Jobs": {
        "ScriptRunConfig": "azureml.core",
        "RunConfiguration": "azureml.core",
        "MpiConfiguration": "azureml.core.runconfig",
        "PyTorchConfiguration": "azureml.core.runconfig",
        "TensorflowConfiguration": "azureml.core.runconfig",
        "DockerConfiguration": "azureml.core.runconfig",
    },
    "Compute": {
        "ComputeTarget": "azureml.core",
        "AmlCompute": "azureml.core.compute",
        "ComputeInstance": "azureml.core.compute",
    },
    "Data": {
        "Dataset": "azureml.core",
        "FileDataset": "azureml.data",
        "TabularDataset": "azureml.data",
        "DatasetConsumptionConfig": "azureml.data.dataset_consumption_config",
        "OutputFileDatasetConfig": "azureml.data",
        "Datastore": "azureml.core",
        "AzureBlobDatastore": "azureml.data.azure_storage_datastore",
        "DataReference": "azureml.data.data_reference",
        "MNIST": "azureml.opendatasets",
    },
    "Environment": {
        "Environment": "azureml.core",
        "ImageBuildDetails": "azureml.core.environment",
        "DockerImageDetails": "azureml.core.environment",
    },
    "Model": {"Model": "azureml.core"},
    "Deployment": {
        "Webservice": "azureml.core",
        "AciWebservice": "azureml.core.webservice",
        "AksWebservice": "azureml.core.webservice",
        "InferenceConfig": "azureml.core.model",
    },
    "HyperDrive": {
        "HyperDriveConfig": "azureml.train.hyperdrive",
        "HyperDriveRun": "azureml.train.hyperdrive",
        "RandomParameterSampling": "azureml.train.hyperdrive",
        "GridParameterSampling": "azureml.train.hyperdrive",
        "BayesianParameterSampling": "azureml.train.hyperdrive",
        "BanditPolicy": "azureml.train.hyperdrive",
        "MedianStoppingPolicy": "azureml.train.hyperdrive",
        "TruncationSelectionPolicy": "azureml.train.hyperdrive",
    },
    "Pipelines": {
        "Pipeline": "azureml.pipeline.core",
        "PipelineRun": "azureml.pipeline.core",
        "StepRun": "azureml.pipeline.core",
        "PipelineData": "azureml.pipeline.core",
        "PipelineParameter": "azureml.pipeline.core",
        "PythonScriptStep": "azureml.pipeline.steps",
        "CommandStep": "azureml.pipeline.steps",
        "ParallelRunStep": "azureml.pipeline.steps",
        "HyperDriveStep": "azureml.pipeline.steps",
        "HyperDriveStepRun": "azureml.pipeline.steps",
        "ModuleStep": "azureml.pipeline.steps",
        "EstimatorStep": "azureml.pipeline.steps",
        "MpiStep": "azureml.pipeline.steps",
        "DatabricksStep": "azureml.pipeline.steps",
        "KustoStep": "azureml.pipeline.steps",
        "AutoMLStep": "azureml.pipeline.steps",
        "AutoMLConfig": "azureml.train.automl",
        "RScriptStep": "azureml.pipeline.steps",
        "AdlaStep": "azureml.pipeline.steps",
        "AzureBatchStep": "azureml.pipeline.steps",
        "DataTransferStep": "azureml.pipeline.steps",
        "SynapseSparkStep": "azureml.pipeline.steps",
        "Module": "azureml.pipeline.core",
        "PublishedPipeline": "azureml.pipeline.core",
        "PipelineEndpoint": "azureml.pipeline.core",
        "PipelineDraft": "azureml.pipeline.core",
        "StepSequence": "azureml.pipeline.core",
        "Schedule": "azureml.pipeline.core",
        "ScheduleRecurrence": "azureml.pipeline.core",
    },
    "Widgets": {"RunDetails": "azureml.widgets"},
}
# Public in the SDK's spelling, but its own plumbing and no operation of a workspace.
PLUMBING = frozenset(
    {
        "register_factory",
        "add_type_provider",
        "get_docs_url",
        "identity",
        "portal_url",
        "to_json",
    }
)
# Of these, only what tests name: the SDK answers the others itself with NotImplementedError (azureml.core.Dataset), or
# they are of something that can't be made.
OUT_OF_REACH = frozenset({"Dataset", "ComputeInstance", "Webservice"})
# What is to be submitted. Their properties only say again what they were made of.
CONFIGURATIONS = frozenset(
    {
        "ScriptRunConfig",
        "RunConfiguration",
        "DatasetConsumptionConfig",
        "OutputFileDatasetConfig",
        "DataReference",
        "PipelineData",
        "PipelineParameter",
        "PythonScriptStep",
        "CommandStep",
        "ParallelRunStep",
        "HyperDriveStep",
        "ModuleStep",
        "EstimatorStep",
        "MpiStep",
        "DatabricksStep",
        "KustoStep",
        "AutoMLStep",
        "AutoMLConfig",
        "RScriptStep",
        "AdlaStep",
        "AzureBatchStep",
        "DataTransferStep",
        "SynapseSparkStep",
        "HyperDriveConfig",
        "InferenceConfig",
        "BanditPolicy",
        "MedianStoppingPolicy",
        "TruncationSelectionPolicy",
    }
)


@dataclass
class Shown:
    """The tests that show an operation, by whether they show that it works or that it is refused."""

    works: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)


def marks() -> Iterator[tuple[str, str, str]]:
    """Every mark in the tests: ``sdk`` or ``sdk_refused``, the operation, and the test as pytest names it."""
    for path in sorted(TESTS.rglob("test_*.py")):
        for function, owner in _functions(ast.parse(path.read_text())):
            name = f"{path.relative_to(TESTS.parent).as_posix()}::{owner}{function.name}"
            for decorator in function.decorator_list:
                match decorator:
                    case ast.Call(func=ast.Attribute(attr="sdk" | "sdk_refused" as mark), args=arguments):
                        yield from ((mark, str(ast.literal_eval(argument)), name) for argument in arguments)


def _functions(tree: ast.Module) -> Iterator[tuple[ast.FunctionDef, str]]:
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            yield node, ""
        elif isinstance(node, ast.ClassDef):
            yield from ((inner, f"{node.name}::") for inner in node.body if isinstance(inner, ast.FunctionDef))


def shown() -> dict[str, Shown]:
    found: dict[str, Shown] = defaultdict(Shown)
    for mark, operation, test in marks():
        (found[operation].works if mark == "sdk" else found[operation].refused).append(test)
    return dict(found)


def sdk_class(name: str) -> Any:
    """Raises KeyError for a class that is not in PARTS."""
    module = next(classes[name] for classes in PARTS.values() if name in classes)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the SDK's own age
        return getattr(importlib.import_module(module), name)


def exists(operation: str) -> bool:
    """Whether the SDK has it: a class of PARTS, a member (``Dataset.File.from_files``), or a constructor's argument."""
    name, *path = operation.split(".")
    if not any(name in classes for classes in PARTS.values()):
        return False
    found = sdk_class(name)
    for word in path[:-1]:
        found = getattr(found, word, None)
    if not path or hasattr(found, path[-1]):
        return True
    return inspect.isclass(found) and path[-1] in inspect.signature(found.__init__).parameters


def members(name: str) -> list[str]:
    """The public methods and properties of a class, without those of another class of the list."""
    cls = sdk_class(name)
    others = {sdk_class(other) for part in PARTS.values() for other in part if other != name}
    kinds = (classmethod, staticmethod) if name in CONFIGURATIONS else (classmethod, staticmethod, property)
    own = [base for base in cls.__mro__ if base.__module__.startswith("azureml") and base not in others]
    found = {
        member
        for base in own
        for member, value in vars(base).items()
        if not member.startswith("_") and (inspect.isroutine(value) or isinstance(value, kinds))
    }
    return sorted(f"{name}.{member}" for member in found - PLUMBING)


def routes() -> list[tuple[str, str]]:
    """Every method and path of the API, in the order of the services."""
    from azureml_local.server.app import API

    found = []
    for module in API:
        for route in module.router.routes:
            methods = sorted(route.methods - {"HEAD", "OPTIONS"})
            if route.include_in_schema and methods:
                found += [(method, _short(route.path)) for method in methods]
    return list(dict.fromkeys(found))


def _short(path: str) -> str:
    from azureml_local.server.context import WORKSPACE_PATH

    return path.replace(WORKSPACE_PATH, "{workspace}")


def untried(part: str, known: dict[str, Shown]) -> list[str]:
    """The members of a part's classes that no test names, not even as another class's of the part (AmlCompute.list)."""
    named = {operation.split(".")[-1] for operation in known if operation.split(".")[0] in PARTS[part]}
    there = [member for name in PARTS[part] if name not in OUT_OF_REACH for member in members(name)]
    return [member for member in there if member.split(".")[-1] not in named]


def document() -> str:
    known = shown()
    lines = [
        "# What works",
        "",
        "Made by `make coverage` from the marks of the tests, the SDK's own classes and the server's routes. *Works*",
        "means that the test beside it does it through the unmodified SDK. *Refused* means an answer that says so, 501",
        "in most cases. What nobody has tried may work or not. [differences.md](differences.md) says what is not as in",
        "Azure.",
        "",
    ]
    works, refused = (sum(bool(getattr(one, kind)) for one in known.values()) for kind in ("works", "refused"))
    rest = {part: untried(part, known) for part in PARTS}
    count = sum(map(len, rest.values()))
    lines += [f"{works} operations work, {refused} are refused at least in part, {count} were not tried.", ""]
    for part, classes in PARTS.items():
        lines += [f"## {part}", ""]
        rows = sorted(operation for operation in known if operation.split(".")[0] in classes)
        if rows:
            lines += ["| operation | | shown by |", "| --- | --- | --- |"]
            lines += [f"| `{row}` | {_verdict(known[row])} | {_tests(known[row])} |" for row in rows]
            lines.append("")
        if rest[part]:
            names = ", ".join(f"`{member}`" for member in rest[part])
            lines += [f"<details><summary>{len(rest[part])} not tried</summary>", "", names, "", "</details>", ""]
    lines += ["## Routes", "", "Every other path answers 501, with its method and path.", ""]
    lines += ["| method | path |", "| --- | --- |"]
    lines += [f"| {method} | `{path}` |" for method, path in routes()]
    return "\n".join(lines) + "\n"


def _verdict(one: Shown) -> str:
    if not one.works:
        return "refused"
    return "works, refused in part" if one.refused else "works"


def _tests(one: Shown) -> str:
    return "<br>".join(f"`{test.removeprefix('tests/')}`" for test in [*one.works, *one.refused][:2])


if __name__ == "__main__":
    print(document(), end="")
