"""The OData filters that the SDK writes (azureml._restclient._odata): comparisons joined by ``and``, in
parentheses or not.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from azureml_local.storage.tables import Run
from azureml_local.workspace.errors import Invalid

COMPARISON = re.compile(
    r"(?P<field>[A-Za-z]+)(?:/(?P<key>[^\s()]+))?\s+(?P<operator>eq|ne)\s+(?P<value>null|'(?:[^']|'')*'|\"[^\"]*\"|[^\s()]+)"
)

Predicate = Callable[[Run], bool]

FIELDS: dict[str, Callable[[Run], object]] = {
    "runid": lambda run: run.id,
    "parentrunid": lambda run: run.parent_id,
    "rootrunid": lambda run: run.root_id,
    "status": lambda run: run.status,
    "runtype": lambda run: run.run_type,
    "target": lambda run: run.target,
    "scriptname": lambda run: run.script_name,
}
MAPPINGS: dict[str, Callable[[Run], dict[str, object]]] = {
    "tags": lambda run: run.tags,
    "properties": lambda run: run.properties,
}


def run_filter(text: object) -> Predicate:
    """A filter of runs.

    Raises Invalid for what it does not understand: a filter that is ignored would answer with too much.
    """
    if text is None or text == "":
        return lambda run: True
    if not isinstance(text, str) or len(text) > 10_000:
        raise Invalid("The filter must be a text of at most 10,000 characters.")
    comparisons: list[Predicate] = []
    rest = text.strip()
    while rest:
        rest = rest.lstrip("( ")
        match = COMPARISON.match(rest)
        if match is None:
            raise Invalid(f"This part of the filter isn't understood: {rest[:80]!r}.")
        comparisons.append(_comparison(match))
        rest = rest[match.end() :].lstrip(") ")
        if rest and not rest.startswith("and "):
            raise Invalid(f"Only 'and' may join comparisons here, not {rest[:40]!r}.")
        rest = rest[4:]
    return lambda run: all(holds(run) for holds in comparisons)


def _comparison(match: re.Match[str]) -> Predicate:
    field, key, equal = match["field"].lower(), match["key"], match["operator"] == "eq"
    raw = match["value"]
    value = None if raw == "null" else raw[1:-1].replace("''", "'") if raw[0] in "'\"" else raw
    if key is not None and field in MAPPINGS:
        mapping = MAPPINGS[field]
        return lambda run: (mapping(run).get(key) == value) is equal
    if key is None and field in FIELDS:
        read = FIELDS[field]
        return lambda run: (read(run) == value) is equal
    raise Invalid(f"Runs can't be filtered by {match['field']!r} here.")
