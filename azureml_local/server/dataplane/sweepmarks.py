"""What the SDK makes a HyperDriveConfig of again: properties and tags of a sweep's run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from azureml_local.workspace import sweep_runs
from azureml_local.workspace.sweeps import SweepSpec


def properties_and_tags(
    source: Mapping[str, Any], sweep: SweepSpec, snapshot_id: str
) -> tuple[dict[str, str], dict[str, str]]:
    """Those of a sweep's run (azureml.train.hyperdrive.run: HyperDriveRun), from the description that was sent."""
    metric = json.dumps(source["primary_metric_config"])
    platform = {key: value for key, value in source["platform_config"].items() if key != "Definition"}
    tags = {
        "max_concurrent_jobs": str(sweep.max_concurrent),
        "max_total_jobs": str(sweep.max_total),
        "max_duration_minutes": str(sweep.max_minutes),
        "policy_config": json.dumps(source["policy_config"]),
        "generator_config": json.dumps(source["generator_config"]),
        "primary_metric_config": metric,
        "platform_config": json.dumps(platform),
        "resume_child_runs": "null",
        "all_jobs_generated": "false",
        "cancellation_requested": "false",
    }
    properties = {
        "primary_metric_config": metric,
        "resume_from": json.dumps(source.get("resume_from")),
        "runTemplate": "HyperDrive",
        "azureml.runsource": "hyperdrive",
        "platform": "AML",
        "ContentSnapshotId": snapshot_id,
    }
    return properties, {f"{sweep_runs.SYSTEM}{key}": text for key, text in tags.items()}
