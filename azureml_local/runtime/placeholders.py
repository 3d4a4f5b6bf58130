"""The places of a job's inputs and outputs, put into its arguments or its command."""

from __future__ import annotations

import shlex
from collections.abc import Mapping

# azureml.data.dataset_consumption_config, azureml.data.output_dataset_config
DATASET_REFERENCE = "DatasetConsumptionConfig:"
OUTPUT_REFERENCE = "DatasetOutputConfig:"


def resolve(arguments: tuple[str, ...], paths: Mapping[str, str]) -> list[str]:
    """Put the place of each input and output where the arguments refer to it."""
    resolved = []
    for word in arguments:
        for name, path in paths.items():
            if word in (DATASET_REFERENCE + name, OUTPUT_REFERENCE + name, f"${name}"):
                word = path
        resolved.append(word)
    return resolved


def resolve_command(command: str, paths: Mapping[str, str]) -> str:
    """The same in a command; the shell itself puts variables in, but knows nothing of the SDK's placeholders."""
    # The longest name first: one can begin with another.
    for name in sorted(paths, key=len, reverse=True):
        for reference in (DATASET_REFERENCE, OUTPUT_REFERENCE):
            command = command.replace(reference + name, shlex.quote(paths[name]))
    return command
