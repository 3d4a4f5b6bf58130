"""A node of SDK v1's graph, read as a step: its module's ports and arguments, and the run configuration that it has."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from azureml_local.runtime.placeholders import DATA_REFERENCE
from azureml_local.server.dataplane.hyperdrivesteps import (
    CONFIGURATION,
    description,
    is_sweep,
    metadata,
    overrides_of,
    read_sweep,
)
from azureml_local.server.dataplane.parallelsteps import is_parallel, read_parallel
from azureml_local.server.dataplane.pipelinemodules import OWNER, interface_of, parts_of
from azureml_local.server.dataplane.runconfiguration import DEFAULT_DESTINATION, NAME, parse_run_configuration
from azureml_local.server.dataplane.submissions import definition_of
from azureml_local.storage.tables import PipelinePart
from azureml_local.workspace import Workspace, datastores, pipeline_parts, pipeline_runs
from azureml_local.workspace.datasets import check_dataset_name
from azureml_local.workspace.errors import Invalid, NotBuilt
from azureml_local.workspace.jobs import InputSpec, OutputSpec, Parallel
from azureml_local.workspace.pipelines import Link, Node
from azureml_local.workspace.reuse import digest

# The ports of run_after and StepSequence (azureml.pipeline.core.graph: ModuleDef.fake_output_name).
AFTER = "_run_after_"
STRUCTURED = "USE_STRUCTURED_ARGUMENTS"
# What a PipelineParameter is as text, where the SDK can't put its value (PipelineParameter.__str__).
UNRESOLVED = re.compile(r"PipelineParameter_Name:(.+?)_Default:")
# Where PipelineData is in its datastore, as in Azure.
PIPELINE_DATA = "azureml/{run-id}/{output-name}"
# In it is the id of the snapshot that the client has just made; `hyperdrivesteps.HASHED` is the same without.
UNCOMPARED = frozenset({CONFIGURATION})
PARAMETER = re.compile(r"\$(?:\{(AML_PARAMETER_\w+)\}|(AML_PARAMETER_\w+))")


@dataclass(frozen=True)
class Port:
    """What an input is that no step makes: a saved dataset, or a path in a datastore, which may have a name."""

    dataset_id: str | None = None
    path: tuple[str, str] | None = None
    name: str | None = None


@dataclass
class Wiring:
    """What leads into a node, by its input ports: outputs of other nodes (node and port), and data."""

    steps: dict[str, tuple[str, str]] = field(default_factory=dict)
    data: dict[str, Port] = field(default_factory=dict)


def read_node(workspace: Workspace, node: Mapping[str, Any], wiring: Wiring, parameters: Mapping[str, str]) -> Node:
    """Raises Invalid, NotFound and NotBuilt, in sentences that name the step."""
    module = workspace.pipeline_parts.get(pipeline_parts.MODULE, str(node.get("ModuleId")))
    interface, name = interface_of(module.body), str(module.body.get("Name"))
    values = _values(interface, node, parameters)
    ins, outs = list(_named(interface, "Inputs")), list(_named(interface, "Outputs"))
    outputs = {port: _output(name, port, each, _set(node, "ModuleOutputSettings", port)) for port, each in outs}
    for output in outputs.values():
        workspace.datastores.container(output.datastore)  # one whose files are elsewhere is refused now
    words = list(_arguments(name, interface, values, dict(ins), dict(outs)))
    if (text := values.get("Arguments")) and text != STRUCTURED:
        words = text.split(",")  # a ModuleStep's
    words = _by_port(words, dict(ins), dict(outs), wiring)
    marks = metadata(interface, node)
    source = description(name, marks) if is_sweep(module.body) else None
    given = overrides_of(source) if source is not None else _run_configuration(name, node, module.body)
    configuration = _configuration(name, given, values, words, interface)
    parallel = None
    if is_parallel(module.body):
        script, own, parallel = read_parallel(name, configuration["arguments"], configuration["nodeCount"])
        several = configuration["nodeCount"] > 1
        # The driver runs on one node, and starts all of the processes there.
        configuration |= {"script": script, "arguments": list(own), "nodeCount": 1, "communicator": "None"}
    job = replace(parse_run_configuration(configuration), parallel=parallel)
    if parallel is not None and several:
        job = replace(job, notes=(*job.notes, f"One node runs all {parallel.processes} processes of the step."))
    workspace.computes.ready(job.target)
    inputs = [
        _input(workspace, name, port, {**each, **_set(node, "ModuleInputSettings", port)}, wiring)
        for port, each in ins
        if port in wiring.data or port in wiring.steps
    ]
    for port, each in ins:
        if port not in wiring.data and port not in wiring.steps and not each.get("IsOptional"):
            raise Invalid(f"The input {port!r} of the step {name!r} is connected to nothing.")
    if parallel is not None:
        _check_shared_out(name, parallel, inputs)
    definition = definition_of(workspace, configuration, job)
    sweep = None
    if source is not None:
        ports = [(outputs[port].name, each) for port, each in outs]
        sweep, more = read_sweep(name, source, str(module.body["StorageId"]), job, ports)
        definition = {**definition, **more}
    return Node(
        id=str(node.get("Id")),
        name=name,
        step_type=str(module.body.get("StepType") or "PythonScriptStep"),
        module_id=module.id,
        module_name=name,
        snapshot_id=str(module.body["StorageId"]),
        job=replace(
            job,
            environment=definition.get("environment") or {},
            inputs=tuple(inputs),
            outputs=tuple(outputs.values()),
        ),
        definition=definition,
        links=tuple(Link(_input_name(port, each), *wiring.steps[port]) for port, each in ins if port in wiring.steps),
        after=tuple(node_id for port, (node_id, _) in wiring.steps.items() if port.startswith(AFTER)),
        outputs={port: spec.name for port, spec in outputs.items()},
        reuse=_reuse(module, node, {**values, **marks}, wiring, words, given),
        sweep=sweep,
    )


def _reuse(
    module: PipelinePart,
    node: Mapping[str, Any],
    values: Mapping[str, str],
    wiring: Wiring,
    words: list[str],
    configuration: Mapping[str, Any],
) -> dict[str, str] | None:
    """What an earlier run must have in common with it; None where allow_reuse or regenerate_outputs say so."""
    key = module.id if OWNER in module.body else module.key
    if not module.body.get("IsDeterministic") or node.get("RegenerateOutput") or not key:
        return None
    data = {port: [each.dataset_id, each.path] for port, each in wiring.data.items()}
    parts: dict[str, object] = {
        "the script's folder, the inputs' and outputs' names or other of the step's own settings": key,
        "parameters": {name: value for name, value in values.items() if name not in UNCOMPARED},
        "arguments": words,
        "inputs": data,
        "the run configuration": _compared(configuration),
        "the outputs' settings": node.get("ModuleOutputSettings"),
    }
    return {name: digest(value) for name, value in parts.items()}


def _compared(configuration: Mapping[str, Any]) -> dict[str, Any]:
    """A run configuration as it counts: the SDK makes None of an empty text when it submits the same object again, and
    an environment has a number from then on, whose definition counts.
    """
    found = {key: value for key, value in configuration.items() if value}
    if isinstance(environment := found.get("environment"), Mapping):
        found["environment"] = {key: value for key, value in environment.items() if key != "version"}
    return found


def _check_shared_out(step: str, parallel: Parallel, inputs: Sequence[InputSpec]) -> None:
    known = {each.name: each for each in inputs}
    if not parallel.inputs:
        raise Invalid(f"The step {step!r} is a ParallelRunStep without an input to share out.")
    for name in parallel.inputs:
        if name not in known:
            raise Invalid(f"The step {step!r} shares out the input {name[:80]!r}, which it doesn't have.")
        if parallel.tables != (known[name].mechanism == "direct"):
            raise Invalid(f"The input {name!r} of the step {step!r} must be a table, or files that are mounted.")


def _named(interface: Mapping[str, Any], key: str) -> Iterable[tuple[str, Mapping[str, Any]]]:
    """The ports that data goes through, by their names."""
    for each in parts_of(interface, key):
        port = str(each.get("Name"))
        if not each.get("SkipProcessing") and not port.startswith(AFTER):
            yield port, each


def _values(interface: Mapping[str, Any], node: Mapping[str, Any], parameters: Mapping[str, str]) -> dict[str, str]:
    """The values of a module's parameters: its defaults, and what the node and the graph's parameters say instead."""
    values = {str(each.get("Name")): _text(each.get("DefaultValue")) for each in parts_of(interface, "Parameters")}
    for each in parts_of(node, "ModuleParameters"):
        value = _text(each.get("Value"))
        if str(each.get("ValueType")) in ("1", "GraphParameterName"):
            if value not in parameters:
                raise Invalid(f"The pipeline has no parameter {value[:80]!r}.")
            value = parameters[value]
        values[str(each.get("Name"))] = value
    return values


def _run_configuration(step: str, node: Mapping[str, Any], module: Mapping[str, Any]) -> dict[str, Any]:
    try:
        configuration = json.loads(str(node.get("Runconfig") or module.get("Runconfig") or "{}"))
    except (ValueError, RecursionError) as error:
        raise Invalid(f"The run configuration of the step {step!r} is no JSON ({error}).") from error
    if not isinstance(configuration, dict):
        raise Invalid(f"The run configuration of the step {step!r} must be an object.")
    return configuration


def _configuration(
    step: str,
    configuration: Mapping[str, Any],
    values: Mapping[str, str],
    words: list[str],
    interface: Mapping[str, Any],
) -> dict[str, Any]:
    """A run configuration with what stands beside it: script or command, arguments, target, variables."""
    variables = {
        str(each.get("EnvironmentVariableOverride") or f"AML_PARAMETER_{each.get('Name')}"): values[str(each["Name"])]
        for each in parts_of(interface, "Parameters")
        if each.get("SetEnvironmentVariable") and "Name" in each
    }
    words = [PARAMETER.sub(lambda found: variables.get(found[1] or found[2], found[0]), word) for word in words]
    nodes = values.get("NodeCount") or str(configuration.get("nodeCount") or "1")
    if not nodes.isdecimal() or len(nodes) > 6:
        raise Invalid(f"The step {step!r} asks for {nodes[:40]!r} nodes; it must be a whole number.")
    command, script = values.get("Command"), values.get("Script") or configuration.get("script")
    if not command and not script and (given := configuration.get("command")):  # of a sweep's runs
        command = " ".join(map(str, given)) if isinstance(given, list) else str(given)
    return {
        **configuration,
        "target": values.get("Target") or configuration.get("target"),
        "script": None if command else script,
        "command": " ".join([command, *words]) if command else None,
        "arguments": [] if command else words,
        "nodeCount": int(nodes),
        "environmentVariables": {**(configuration.get("environmentVariables") or {}), **variables},
        # What these name comes through the ports.
        "dataReferences": {},
        "data": {},
        "outputData": {},
    }


def _arguments(
    step: str,
    interface: Mapping[str, Any],
    values: Mapping[str, str],
    ins: Mapping[str, Mapping[str, Any]],
    outs: Mapping[str, Mapping[str, Any]],
) -> Iterable[str]:
    for each in parts_of(interface, "Arguments"):
        kind, value = str(each.get("ValueType")), _text(each.get("Value"))
        if kind in ("0", "Literal"):
            yield value
        elif kind in ("1", "Parameter"):
            yield values.get(value, "")
        elif kind in ("2", "Input"):
            yield f"DatasetConsumptionConfig:{_input_name(value, ins[value])}" if value in ins else ""
        elif kind in ("3", "Output"):
            yield f"DatasetOutputConfig:{_reference(outs[value])}" if value in outs else ""
        else:
            raise NotBuilt(f"The step {step!r} has an argument of the kind {kind[:40]!r}, which is not built here.")


def _by_port(
    words: Iterable[str], ins: Mapping[str, Mapping[str, Any]], outs: Mapping[str, Mapping[str, Any]], wiring: Wiring
) -> list[str]:
    """Arguments that know data by the names of their ports: a reference may have the name of the data that is wired to
    it, and that of an output of the step before.
    """
    names = {_reference(each): _input_name(port, each) for port, each in ins.items()}
    names |= {str(wiring.data[port].name): _input_name(port, ins[port]) for port in ins if port in wiring.data}
    names |= {port: _input_name(port, each) for port, each in ins.items()}
    for port, each in outs.items():
        names[port] = names[_reference(each)] = _reference(each)

    def known(found: re.Match[str]) -> str:
        name = found[1] or found[2]
        return f"${{AZUREML_DATAREFERENCE_{names[name]}}}" if name in names else found[0]

    return [DATA_REFERENCE.sub(known, word) for word in words]


def _input_name(port: str, each: Mapping[str, Any]) -> str:
    """The name of a job's input: the user's, which is the port's. Several may read what one output has made."""
    return port if NAME.fullmatch(port) else _reference(each)


def _input(workspace: Workspace, step: str, port: str, each: Mapping[str, Any], wiring: Wiring) -> InputSpec:
    mechanism = str(each.get("DataStoreMode") or "mount").lower()
    if mechanism not in ("mount", "download", "direct"):
        raise NotBuilt(
            f"The input {port!r} of the step {step!r} asks for {mechanism[:40]!r}; there is mount, download."
        )
    name = _input_name(port, each)
    if not NAME.fullmatch(name):
        raise Invalid(f"{name[:80]!r} is no name of an input: use letters, digits, '-', '_' and '.'.")
    spec = InputSpec(
        name,
        "",
        mechanism,
        name,
        _optional(each.get("PathOnCompute")),
        transformation=_transformation(each.get("AdditionalTransformations")),
    )
    source = wiring.data.get(port)
    if source is None:
        return spec
    if source.path is not None:
        return pipeline_runs.at_place(workspace, spec, source.path[1], source.path[0])
    return replace(spec, dataset_id=str(source.dataset_id))


def _transformation(text: Any) -> str | None:
    """A transformation of a data set; None for one that does nothing."""
    try:
        found = json.loads(text) if isinstance(text, str) and text else None
    except (ValueError, RecursionError) as error:
        raise Invalid(f"The transformation of an input is no JSON ({error}).") from error
    return text if isinstance(found, dict) and found.get("blocks") else None


def _set(node: Mapping[str, Any], key: str, port: str) -> Mapping[str, Any]:
    """What a node says of a port instead of its module."""
    found = next((each for each in parts_of(node, key) if each.get("Name") == port), {})
    return {key: value for key, value in found.items() if value is not None}


def _output(step: str, port: str, each: Mapping[str, Any], settings: Mapping[str, Any]) -> OutputSpec:
    """PipelineData, or, where there are options of a dataset, an OutputFileDatasetConfig."""
    said = {**each, **{key: value for key, value in settings.items() if value is not None}}
    name, options = _reference(said), settings.get("DatasetOutputOptions")
    if not NAME.fullmatch(name):
        raise Invalid(f"{name[:80]!r} is no name of an output: use letters, digits, '-', '_' and '.'.")
    registration = settings.get("DatasetRegistration") or {}
    mechanism = str(said.get("DataStoreMode") or "mount").lower()
    destination = PIPELINE_DATA
    if options is not None:
        destination = str(options.get("PathOnDatastore") or DEFAULT_DESTINATION)
        if found := UNRESOLVED.search(destination):
            raise NotBuilt(
                f"The output {port!r} of the step {step!r} has the PipelineParameter {found[1][:80]!r} in its "
                "destination, which the SDK sends as text and not as its value: pass the parameter to the script, and "
                "let it choose a folder below the output."
            )
    registered = registration.get("Name")
    return OutputSpec(
        name=name,
        mechanism="upload" if mechanism == "upload" else "mount",
        destination=datastores.clean_path(destination),
        path_on_compute=_optional(said.get("PathOnCompute")),
        overwrite=mechanism != "upload" or bool(said.get("Overwrite")),
        globs=tuple(map(str, (((options or {}).get("SourceGlobs") or {}).get("GlobPatterns")) or ())),
        register_as=check_dataset_name(str(registered)) if registered else None,
        description=_optional(registration.get("Description")),
        tags=dict(registration.get("Tags") or {}),
        transformation=_optional(registration.get("AdditionalTransformations")),
        free=options is None,
        datastore=str(said.get("DataStoreName") or datastores.DEFAULT),
    )


def _reference(each: Mapping[str, Any]) -> str:
    """The name by which arguments and variables know a port."""
    return str(each.get("DataReferenceName") or each.get("Name"))


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def _optional(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None
