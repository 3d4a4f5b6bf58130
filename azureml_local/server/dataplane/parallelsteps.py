"""A ParallelRunStep, read as what it shares out and how (`jobs.Parallel`).

Its settings are the first arguments of the driver that Azure puts into the job, before the user's own, and its inputs
the last ones (azureml.pipeline.core._parallel_run_step_base: _generate_main_file_args).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from azureml_local.server.dataplane.runconfiguration import MAX_PROCESSES
from azureml_local.workspace.errors import Invalid, NotBuilt
from azureml_local.workspace.jobs import Parallel

SETTINGS = frozenset(
    {
        *("client_sdk_version", "scoring_module_name", "mini_batch_size", "error_threshold", "output_action"),
        *("logging_level", "run_invocation_timeout", "run_max_try", "create_snapshot_at_runtime"),
        *("allowed_failed_count", "allowed_failed_percent", "append_row_file_name", "output"),
        *("process_count_per_node", "partition_keys"),
    }
)
INPUT = re.compile(r"--input(_ds_|_fds_|_pipeline_param_|)(\d+)")
SIZE = re.compile(r"(\d{1,15})\s*([KMG]?B?)", re.IGNORECASE)
UNITS = {"": 1, "B": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
# ParallelRunConfig: append_row_file_name.
ROWS = "parallel_run_step.txt"
# Before the name of an input or output in an argument.
REFERENCE = re.compile(r"Dataset(?:Consumption|Output)Config:(.+)")


def is_parallel(module: Mapping[str, Any]) -> bool:
    return str(module.get("ModuleType") or "").lower() == "batchinferencing"


def read_parallel(step: str, words: Sequence[str], nodes: int) -> tuple[str, tuple[str, ...], Parallel]:
    """The entry script, the user's own arguments, and how the inputs are shared out. Raises Invalid, NotBuilt."""
    settings, own, inputs, tables = _split(words)
    if "--rank_mini_batch_count" in own:
        raise NotBuilt(
            f"The step {step!r} has rank mini batches (--rank_mini_batch_count), which are not built in azureml-local: "
            "give it an input with a file for each of them."
        )
    keys = _keys(step, settings.get("partition_keys"))
    if keys and not tables:
        raise NotBuilt(
            f"The step {step!r} partitions files by partition_keys, which is not built in azureml-local for files, "
            "only for tables: use mini_batch_size."
        )
    action = settings.get("output_action", "").lower()
    if action not in ("append_row", "summary_only"):
        raise Invalid(f"output_action of the step {step!r} must be append_row or summary_only, not {action[:40]!r}.")
    output = REFERENCE.fullmatch(settings.get("output", ""))
    if action == "append_row" and output is None:
        raise Invalid(f"The step {step!r} has output_action='append_row' and no output: ParallelRunStep(output=...).")
    processes = nodes * _number(step, settings, "process_count_per_node", 1)
    if processes > MAX_PROCESSES:
        raise Invalid(
            f"The step {step!r} asks for {processes} processes. All nodes of a local workspace are one machine: "
            f"ask for {MAX_PROCESSES} or fewer."
        )
    percent = settings.get("allowed_failed_percent")
    parallel = Parallel(
        inputs=tuple(inputs),
        tables=tables,
        mini_batch_size=_size(step, settings.get("mini_batch_size", ""), tables=tables),
        partition_keys=keys,
        processes=processes,
        max_try=_number(step, settings, "run_max_try", 3),
        timeout=float(_number(step, settings, "run_invocation_timeout", 60)),
        error_threshold=_number(step, settings, "error_threshold", -1, least=-1),
        allowed_failed_count=_number(step, settings, "allowed_failed_count", 0, least=-1)
        if "allowed_failed_count" in settings
        else None,
        allowed_failed_percent=_percent(step, percent) if percent is not None else None,
        output=output[1] if output else None,
        append_to=settings.get("append_row_file_name", ROWS) if action == "append_row" else None,
        logging_level=_level(step, settings.get("logging_level", "INFO")),
    )
    if parallel.append_to is not None and ("/" in parallel.append_to or parallel.append_to in ("", ".", "..")):
        raise Invalid(f"append_row_file_name of the step {step!r} must be the name of a file.")
    return settings.get("scoring_module_name", ""), tuple(own), parallel


def _split(words: Sequence[str]) -> tuple[dict[str, str], list[str], list[str], bool]:
    """The settings, the user's own arguments, the names of the inputs, and whether they are tables."""
    settings: dict[str, str] = {}
    own: list[str] = []
    inputs: list[str] = []
    tables = False
    rest = iter(words)
    for word in rest:
        name = word.removeprefix("--")
        if word != name and name in SETTINGS and name not in settings:
            settings[name] = next(rest, "")
        elif found := INPUT.fullmatch(word):
            value = next(rest, "")
            tables = tables or found[1] == "_ds_"
            if found[1] != "_pipeline_param_":
                reference = REFERENCE.fullmatch(value)
                inputs.append(reference[1] if reference else value)
        else:
            own.append(word)
    return settings, own, inputs, tables


def _size(step: str, text: str, *, tables: bool) -> int:
    if not text or text == "None":
        return 1 << 20 if tables else 10  # the SDK's own
    found = SIZE.fullmatch(text.strip())
    unit = found[2].upper().rstrip("B") if found else ""
    size = int(found[1]) * UNITS[unit] if found and (tables or not found[2]) else 0
    if size < 1:
        right = "a number of bytes, such as 10KB or 1MB" if tables else "a number of files"
        raise Invalid(f"mini_batch_size of the step {step!r} must be {right}, not {text[:40]!r}.")
    return size


def _keys(step: str, text: str | None) -> tuple[str, ...]:
    try:
        found = json.loads(text) if text else []
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, list) or not all(isinstance(key, str) for key in found):
        raise Invalid(f"partition_keys of the step {step!r} must be a list of names.")
    return tuple(found)


def _number(step: str, settings: Mapping[str, str], name: str, default: int, *, least: int = 1) -> int:
    text = settings.get(name, "")
    if text in ("", "None"):
        return default
    if not re.fullmatch(r"-?\d{1,9}", text) or int(text) < least:
        raise Invalid(f"{name} of the step {step!r} must be a whole number of at least {least}, not {text[:40]!r}.")
    return int(text)


def _percent(step: str, text: str) -> float:
    if not re.fullmatch(r"\d{1,3}(?:\.\d{1,9})?", text) or float(text) > 100:
        raise Invalid(f"allowed_failed_percent of the step {step!r} must be from 0 to 100, not {text[:40]!r}.")
    return float(text)


def _level(step: str, text: str) -> str:
    if text not in ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"):
        raise Invalid(f"logging_level of the step {step!r} must be DEBUG, INFO or WARNING, not {text[:40]!r}.")
    return text
