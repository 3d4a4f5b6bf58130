"""One request of each kind as the SDK sends it, in an order in which all succeed.

The fuzz tests begin from here: what they send differs from these in a part or two, so that it comes further than the
first check. ``{ws}`` is the workspace's path; other words in braces come from the answers (`KEPT`).
"""

from __future__ import annotations

from typing import Any, NamedTuple

SNAPSHOT = "5e1d6f9a-3f6e-4d5a-9d0c-0a4d3a1e7a11"
RUN = "fuzzed_1700000000_0a1b2c3d"
DATAFLOW = {"blocks": [], "inspectors": [], "meta": {"RsDataflow": "paths:\n- file: https://localhost:8843/x\n"}}


class Sample(NamedTuple):
    method: str
    path: str
    body: Any


HISTORY, METRIC = "/history/v1.0{ws}", "/metric/v2.0{ws}"
SAMPLES = (
    Sample("POST", HISTORY + "/experiments/fuzzed", {}),
    Sample(
        "PATCH",
        HISTORY + "/experiments/fuzzed/runs/" + RUN,
        {
            "runId": RUN,
            "runType": "azureml.scriptrun",
            "target": "local",
            "status": "NotStarted",
            "displayName": "a name",
            "description": "words",
            "hidden": False,
            "tags": {"a": "1"},
            "properties": {"b": "2"},
            "inputDatasets": [],
        },
    ),
    Sample("PATCH", HISTORY + "/experiments/fuzzed/runs/" + RUN, {"tags": {"c": "3"}, "hidden": False}),
    Sample(
        "PATCH",
        HISTORY + "/experiments/fuzzed/batch/runs",
        {"runs": [{"runId": RUN + "_0", "parentRunId": RUN, "tags": {}}]},
    ),
    Sample(
        "POST",
        HISTORY + "/experiments/fuzzed/runs/" + RUN + "/events",
        {"name": "Microsoft.MachineLearning.Run.Start", "timestamp": "2026-01-01T00:00:00Z", "data": {"RunId": RUN}},
    ),
    Sample(
        "POST",
        HISTORY + "/experiments/fuzzed/batch/events",
        {"events": [{"name": "Microsoft.MachineLearning.Run.Warning", "data": {"RunId": RUN, "Message": "m"}}]},
    ),
    Sample(
        "POST",
        HISTORY + "/experiments/fuzzed/runs:query",
        {"filter": "(ParentRunId eq null)", "orderby": "StartTimeUtc desc", "top": 500, "continuationToken": None},
    ),
    Sample("POST", HISTORY + "/experiments:query", {"viewType": "ActiveOnly"}),
    Sample("DELETE", HISTORY + "/experiments/fuzzed/runs/" + RUN + "/tags", ["a"]),
    Sample(
        "POST",
        METRIC + "/runs/" + RUN + "/batch",
        {
            "reportErrors": True,
            "values": [
                {
                    "name": "loss",
                    "columns": {"loss": "double"},
                    "value": [
                        {"metricId": "m1", "createdUtc": "2026-01-01T00:00:00Z", "step": 1, "data": {"loss": 0.5}}
                    ],
                    "properties": {"uxMetricType": "azureml.v1.scalar"},
                }
            ],
        },
    ),
    Sample("POST", METRIC + "/runs/" + RUN + "/list", {}),
    Sample("POST", METRIC + "/runs/" + RUN + "/full", {"metricName": "loss"}),
    Sample(
        "POST",
        HISTORY + "/experiments/fuzzed/metrics:query",
        {"filter": f"RunId eq {RUN}", "orderby": None, "top": 10},
    ),
    Sample(
        "POST",
        "/artifact/v2.0{ws}/artifacts/batch/metadata/ExperimentRun/dcid." + RUN,
        {"paths": [{"path": "outputs/a.txt"}, {"path": "./outputs/b c.txt"}]},
    ),
    Sample("POST", "/content/v2.0{ws}/snapshots/getblob", {"FileNames": ["train.py"]}),
    Sample(
        "POST",
        "/content/v2.0{ws}/snapshots/" + SNAPSHOT,
        {
            "ParentSnapshotId": "00000000-0000-0000-0000-000000000000",
            "Tags": None,
            "Properties": None,
            "DirTreeNode": {
                "name": "",
                "type": "Directory",
                "hash": "",
                "timestamp": "2026-01-01T00:00:00Z",
                "children": {"empty": {"name": "empty", "type": "Directory", "children": {}}},
            },
            "FileRevisionList": {"FileNodes": []},
        },
    ),
    Sample(
        "PUT",
        "{ws}/computes/fuzzed",
        {
            "location": "local",
            "tags": {"a": "b"},
            "properties": {
                "computeType": "AmlCompute",
                "description": None,
                "properties": {
                    "vmSize": "STANDARD_D2_V2",
                    "vmPriority": "dedicated",
                    "remoteLoginPortPublicAccess": "NotSpecified",
                    "scaleSettings": {"minNodeCount": 0, "maxNodeCount": 2, "nodeIdleTimeBeforeScaleDown": "PT120S"},
                },
            },
        },
    ),
    Sample(
        "PATCH",
        "{ws}/computes/fuzzed",
        {"properties": {"properties": {"scaleSettings": {"minNodeCount": 0, "nodeIdleTimeBeforeScaleDown": "PT1M"}}}},
    ),
    Sample(
        "PUT",
        "/environment/v1.0{ws}/environments/fuzzed",
        {
            "Name": "fuzzed",
            "Version": None,
            "EnvironmentVariables": {"A": "b"},
            "Python": {
                "UserManagedDependencies": False,
                "InterpreterPath": "python",
                "CondaDependencies": {"channels": ["anaconda"], "dependencies": ["python=3.10", {"pip": ["numpy"]}]},
            },
            "Docker": {"BaseImage": "ubuntu", "Enabled": False, "Arguments": []},
            "Spark": {"Packages": [], "Repositories": []},
        },
    ),
    Sample(
        "POST",
        "/execution/v1.0{ws}/experiments/fuzzed/snapshotrun?runId=" + RUN + "_submitted",
        {
            "SnapshotId": SNAPSHOT,
            "ParentRunId": None,
            "TargetDetails": None,
            "TelemetryValues": {},
            "Configuration": {
                "script": "train.py",
                "arguments": ["--rate", 0.5, "--n", 1],
                "command": None,
                "target": "fuzzed",
                "framework": "Python",
                "communicator": "None",
                "nodeCount": 1,
                "maxRunDurationSeconds": 60,
                "environmentVariables": {"A": "b"},
                "environment": {"name": "fuzzed", "python": {"userManagedDependencies": True}},
                "data": {},
                "outputData": {},
                "dataReferences": {},
                "docker": {"useDocker": False},
                "history": {"outputCollection": True, "snapshotProject": True, "directoriesToWatch": ["logs"]},
                "mpi": {"processCountPerNode": 1},
            },
        },
    ),
    Sample(
        "POST",
        "/dataset/v1.0{ws}/datasets?ifExistsOk=true&updateDefinitionIfExists=true",
        {
            "name": "fuzzed",
            "datasetType": "file",
            "description": "d",
            "tags": {"a": "b"},
            "isVisible": True,
            "latest": {"dataflow": DATAFLOW, "properties": {"a": "b"}, "description": None},
        },
    ),
    Sample(
        "POST",
        "/dataset/v1.0{ws}/saveddatasets",
        {"datasetType": "tabular", "dataflowJson": DATAFLOW, "properties": {"a": "b"}},
    ),
    Sample(
        "POST",
        "/modelmanagement/v1.0{ws}/assets",
        {"name": "fuzzed", "description": None, "artifacts": [{"prefix": "LocalUpload/x/y"}], "runid": RUN},
    ),
    Sample(
        "POST",
        "/modelmanagement/v1.0{ws}/models",
        {
            "name": "fuzzed",
            "description": "d",
            "url": "aml://asset/x",
            "mimeType": "application/json",
            "unpack": False,
            "runId": RUN,
            "experimentName": "fuzzed",
            "framework": "Custom",
            "frameworkVersion": None,
            "kvTags": {"a": "b"},
            "properties": {"c": "d"},
            "datasets": [],
            "resourceRequirements": None,
            "sampleInputDataset": None,
        },
    ),
    Sample(
        "PATCH",
        "/modelmanagement/v1.0{ws}/models/fuzzed:1",
        [
            {"op": "replace", "path": "/description", "value": "e"},
            {"op": "add", "path": "/properties", "value": {"n": "1"}},
        ],
    ),
    Sample("PUT", "/credential/v2.0{ws}/secrets", {"name": "fuzzed", "value": "v", "contentType": None}),
    Sample("POST", "/credential/v2.0{ws}/secrets:getbatch", {"secrets": [{"name": "fuzzed"}]}),
    Sample("POST", "/local/names", {"subscription_id": "s", "resource_group": "g", "workspace_name": "w"}),
)
# What stands in a path's place of this name, so that the route finds something.
KNOWN = {
    "experiment": "fuzzed",
    "run_id": RUN,
    "compute": "fuzzed",
    "name": "fuzzed",
    "environment": "fuzzed",
    "model_id": "fuzzed:1",
    "dataset": "fuzzed",
    "snapshot_id": SNAPSHOT,
    "datastore": "workspaceblobstore",
    "origin": "ExperimentRun",
    "container": "dcid." + RUN,
    "version": "1",
    "secret": "fuzzed",
    "resource_group": "local",
}
