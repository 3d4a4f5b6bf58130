"""Modules and data sources of SDK v1's pipelines: what a step is, before it is part of a graph."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from azureml_local.storage.tables import PipelinePart
from azureml_local.workspace import Workspace, datastores
from azureml_local.workspace.errors import Invalid, NotBuilt

# Every one that the SDK looks for (azureml.pipeline.core._graph_context); one that is missing it would make.
DATA_TYPES = (
    *("AnyFile", "AnyDirectory", "AzureBlobReference", "AzureDataLakeReference", "AzureFilesReference"),
    *("AzureSqlDatabaseReference", "AzurePostgresDatabaseReference", "AzureDataLakeGen2Reference", "AzureMLDataset"),
    *("AzureMySqlDatabaseReference", "DBFSReference"),
)
# How a step runs that is a job of its own: a script or a command on a cluster.
ESCLOUD = "escloud"
# One that is a sweep.
HYPERDRIVE = "hyperdrivecloud"
# In the body of a version of a named module: the module that it is of (`azuremlmodules`).
OWNER = "AmlModuleId"
OWN_SCRIPT = "Do the same in a script of your own: PythonScriptStep."
# What to do in place of kinds of steps that run elsewhere.
INSTEAD = {
    "datatransfercloud": "Copy the files in a script of your own: a dataset as_mount() as its input, and "
    "OutputFileDatasetConfig(destination=(datastore, path)) as its output.",
    "automlcloud": "A HyperDriveStep tries a script's parameters.",
    "databrickscloud": "Run the notebook or the script on this machine: PythonScriptStep, with pyspark in its "
    "environment where it needs Spark.",
    "synapse": "Run the script on this machine: PythonScriptStep, with pyspark in its environment.",
    "azurebatchcloud": "Start the program on this machine: CommandStep.",
}


def data_types() -> list[dict[str, Any]]:
    return [
        {
            "Id": name,
            "Name": name,
            "Description": name,
            "IsDirectory": name == "AnyDirectory",
            "ParentDataTypeIds": [],
            "EntityStatus": "Active",
        }
        for name in DATA_TYPES
    ]


def check_module(workspace: Workspace, body: Mapping[str, Any]) -> None:
    """Raises NotBuilt for a kind of step that doesn't run here, NotFound for an unknown snapshot, Invalid."""
    kind, name = str(body.get("ModuleExecutionType") or ""), str(body.get("Name") or "")[:80]
    step = str(body.get("StepType") or kind or "a step without a type")[:80]
    if kind.lower() not in (ESCLOUD, HYPERDRIVE):
        instead = INSTEAD.get(kind.lower(), OWN_SCRIPT)
        raise NotBuilt(f"The step {name!r} is of the kind {step}, which is not built in azureml-local. {instead}")
    if str(body.get("StepType") or "").lower() == "rscriptstep":
        raise NotBuilt(
            f"The step {name!r} is of the kind RScriptStep, which is not built in azureml-local: it runs Python. "
            "CommandStep starts any program of this machine, such as Rscript."
        )
    for key in ("Inputs", "Outputs", "Parameters", "MetadataParameters", "Arguments"):
        parts_of(interface_of(body), key)
    if not isinstance(body.get("StorageId"), str):
        raise Invalid(f"The module {name!r} needs the id of a snapshot: StorageId.")
    workspace.snapshots.get(body["StorageId"])


def interface_of(module: Mapping[str, Any]) -> Mapping[str, Any]:
    """Its ports, parameters and arguments."""
    found = module.get("StructuredInterface") or {}
    if not isinstance(found, Mapping):
        raise Invalid("A module's StructuredInterface must be an object.")
    if OWNER not in module:
        return found
    # The ports of a named module may have one name for data: users name the datastore there.
    ports = {
        key: [{**each, "DataReferenceName": each.get("Name")} for each in parts_of(found, key)]
        for key in ("Inputs", "Outputs")
    }
    return {**found, **ports}


def parts_of(body: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    """A list of objects. Raises Invalid where there is something else."""
    found = body.get(key) or []
    if not isinstance(found, list) or not all(isinstance(each, Mapping) for each in found):
        raise Invalid(f"{key} must be a list of objects.")
    return found


def module_entity(row: PipelinePart) -> dict[str, Any]:
    return {
        **row.body,
        "Id": row.id,
        "UploadState": "Completed",
        "DataLocation": {"StorageId": row.body.get("StorageId")},
        "EntityStatus": row.body.get("EntityStatus") or "Active",
        "CreatedDate": row.created,
        "LastModifiedDate": row.created,
    }


def hash_of(body: Mapping[str, Any]) -> str | None:
    """The client's own fingerprint of a module or a data source."""
    found = body.get("IdentifierHash")
    return found if isinstance(found, str) else None


def module(row: PipelinePart) -> dict[str, Any]:
    """A Module: the entity, and its interface, which is derived here."""
    structured = interface_of(row.body)
    return {
        "Data": module_entity(row),
        "Interface": {
            "Parameters": [_parameter(each) for each in parts_of(structured, "Parameters")],
            "MetadataParameters": [_parameter(each) for each in parts_of(structured, "MetadataParameters")],
            "Ports": {
                "Inputs": [
                    {
                        "Name": each.get("Name"),
                        "DataTypesIds": each.get("DataTypeIdsList"),
                        "IsOptional": each.get("IsOptional"),
                    }
                    for each in parts_of(structured, "Inputs")
                ],
                "Outputs": [
                    {"Name": each.get("Name"), "DataTypeId": each.get("DataTypeId")}
                    for each in parts_of(structured, "Outputs")
                ],
            },
        },
    }


def _parameter(each: Mapping[str, Any]) -> dict[str, Any]:
    kept = {key: each.get(key) for key in ("Name", "DefaultValue", "IsOptional")}
    return {**kept, "Type": "3"}  # text


def check_source(workspace: Workspace, body: Mapping[str, Any]) -> None:
    """Raises NotFound for a datastore that isn't there, Invalid for a path that leads out of it."""
    workspace.datastores.get(str(body.get("DataStoreName") or ""))
    datastores.clean_path(str(body.get("PathOnDataStore") or ""))


def source_entity(row: PipelinePart) -> dict[str, Any]:
    body = row.body
    return {
        **body,
        "Id": row.id,
        "DataLocation": data_location(str(body.get("DataStoreName")), str(body.get("PathOnDataStore") or "")),
        "EntityStatus": "Active",
        "CreatedDate": row.created,
        "LastModifiedDate": row.created,
    }


def data_location(datastore: str, path: str) -> dict[str, Any]:
    reference = {"RelativePath": path, "AmlDataStoreName": datastore}
    return {"StorageType": "None", "DataReference": {"Type": "AzureBlob", "AzureBlobReference": reference}}
