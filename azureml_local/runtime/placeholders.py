"""Substitution of input and output paths in a job's arguments or command."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping

# azureml.data.dataset_consumption_config, azureml.data.output_dataset_config
DATASET_REFERENCE = "DatasetConsumptionConfig:"
OUTPUT_REFERENCE = "DatasetOutputConfig:"
# SDK v2's; inputs and outputs of one job have different names here (`commandjobs`).
V2_REFERENCE = re.compile(r"\$\{\{(?:inputs|outputs)\.([A-Za-z0-9_]+)(?:\.path)?\}\}")


# What Azure's runner puts into a word of the arguments, wherever it stands in it.
DATA_REFERENCE = re.compile(r"\$(?:\{AZUREML_DATAREFERENCE_(\w+)\}|AZUREML_DATAREFERENCE_(\w+))")


def resolve(arguments: tuple[str, ...], paths: Mapping[str, str]) -> list[str]:
    """Replace the placeholders of inputs and outputs in the arguments by their paths."""
    resolved = []
    for word in arguments:
        for name, path in paths.items():
            if word in (DATASET_REFERENCE + name, OUTPUT_REFERENCE + name, f"${name}"):
                word = path
        resolved.append(DATA_REFERENCE.sub(lambda found: paths.get(found[1] or found[2], found[0]), word))
    return resolved


def resolve_command(command: str, paths: Mapping[str, str]) -> str:
    """Replace the placeholders in a command; the shell expands variables itself, but not the SDKs' placeholders."""
    # The longest name first: one can be the prefix of another.
    for name in sorted(paths, key=len, reverse=True):
        for reference in (DATASET_REFERENCE, OUTPUT_REFERENCE):
            command = command.replace(reference + name, shlex.quote(paths[name]))
    return V2_REFERENCE.sub(lambda found: shlex.quote(paths[found[1]]) if found[1] in paths else found[0], command)
