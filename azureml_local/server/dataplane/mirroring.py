"""Addresses of the web in data flows that a folder of this machine stands for (`workspace.mirrors`).

A dataset keeps the address that its user named. Whoever reads it is told an address of this server instead, with a key
in it: the engine that reads it sends no token.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import yaml

from azureml_local.runtime.dataflows import read_flow
from azureml_local.server.context import Context
from azureml_local.workspace.mirrors import Mirror


def base_of(ctx: Context, mirror: Mirror) -> str:
    """Where this server serves the files of a mirror."""
    return f"{ctx.mirror_base}/{mirror.id}"


def told(ctx: Context, flow: str) -> str:
    """A data flow (YAML) that names this server where a folder stands for an address; or the same text."""
    if not ctx.workspace.mirrors.list():
        return flow
    try:
        parsed = read_flow(flow)
        paths = [each for entry in parsed["paths"] for each in _entries(ctx, entry)]
    except (ValueError, KeyError, TypeError, AttributeError):
        return flow
    if paths == parsed["paths"]:
        return flow
    return "---\n" + yaml.safe_dump({**parsed, "paths": paths}, sort_keys=False, allow_unicode=True, width=10**9)


def kept(ctx: Context, text: str) -> str:
    """The reverse, for what a client sends: text with the addresses that the folders stand for."""
    for mirror in ctx.workspace.mirrors.list():
        text = text.replace(f"{base_of(ctx, mirror)}/", f"{mirror.prefix}/")
    return text


def _entries(ctx: Context, entry: Any) -> list[Any]:
    ((_, url),) = entry.items()
    found = ctx.workspace.mirrors.find(str(url))
    if found is None:
        return [entry]
    mirror, rest = found
    names = [quote(name) for name in mirror.files(rest)] or [rest]  # one that isn't there is not found, by its name
    return [{"file": f"{base_of(ctx, mirror)}/{name}"} for name in names]
