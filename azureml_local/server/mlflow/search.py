"""MLflow's filters and orders: ``metrics.loss < 0.1 and tags."who" = 'me'``, ``params.rate DESC``.

The grammar is that of mlflow.utils.search_utils: comparisons joined by AND, nothing else.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from azureml_local.workspace.errors import Invalid

MAX_LENGTH = 20_000
KEY = r"(?:(?P<place>[A-Za-z_]+)\.)?(?:`(?P<back>[^`]+)`|\"(?P<double>[^\"]+)\"|(?P<bare>[\w./:@ -]*?[\w./:@-]))"
COMPARISON = re.compile(
    rf"\s*{KEY}\s*(?P<operator>!=|>=|<=|=|>|<|\bNOT\s+IN\b|\bIN\b|\bI?LIKE\b)\s*"
    r"(?P<value>'(?:[^'])*'|\"(?:[^\"])*\"|\([^()]*\)|[^\s'\"()]+)",
    re.IGNORECASE,
)
AND = re.compile(r"\s+AND\b", re.IGNORECASE)
ORDER = re.compile(rf"\s*{KEY}(?:\s+(?P<direction>ASC|DESC))?\s*", re.IGNORECASE)
LISTED = re.compile(r"\s*(?:'([^']*)'|\"([^\"]*)\")\s*(?:,|$)")

PLACES = {
    **dict.fromkeys(("metric", "metrics"), "metrics"),
    **dict.fromkeys(("param", "params", "parameter", "parameters"), "params"),
    **dict.fromkeys(("tag", "tags"), "tags"),
    **dict.fromkeys(("attribute", "attributes", "attr", "run"), "attributes"),
}
NUMBERS: Mapping[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}
NUMERIC = frozenset({"start_time", "end_time", "creation_time", "last_update_time"})
NAMES = {"run name": "run_name", "Run name": "run_name", "Run Name": "run_name", "Created": "start_time"}

Thing = Mapping[str, Mapping[str, Any]]  # attributes, metrics, params and tags of something that is searched for


@dataclass(frozen=True)
class Comparison:
    place: str
    key: str
    operator: str
    value: Any

    def holds(self, thing: Thing) -> bool:
        found = thing.get(self.place, {}).get(self.key)
        if found is None:
            return False
        if self.operator == "IN":
            return found in self.value
        if self.operator == "NOT IN":
            return found not in self.value
        if self.operator in ("LIKE", "ILIKE"):
            return like(self.value, str(found), case=self.operator == "LIKE")
        return NUMBERS[self.operator](found, self.value)


def like(pattern: str, text: str, *, case: bool) -> bool:
    """SQL's LIKE. Each part between two ``%`` is looked for once, so that the time is that of the lengths' product."""
    if not case:
        pattern, text = pattern.lower(), text.lower()
    parts = pattern.split("%")
    if len(parts) == 1:
        return _fits(parts[0], text, 0) and len(parts[0]) == len(text)
    first, *middle, last = parts
    if len(first) + len(last) > len(text) or not _fits(first, text, 0) or not _fits(last, text, len(text) - len(last)):
        return False
    at, end = len(first), len(text) - len(last)
    for part in middle:
        at = next((place for place in range(at, end - len(part) + 1) if _fits(part, text, place)), -1)
        if at < 0:
            return False
        at += len(part)
    return True


def _fits(part: str, text: str, at: int) -> bool:
    if at + len(part) > len(text):
        return False
    return all(one in ("_", other) for one, other in zip(part, text[at : at + len(part)], strict=True))


def parse_filter(text: str | None) -> list[Comparison]:
    """Raises Invalid for what isn't understood: a filter that were ignored would answer with too much."""
    rest = (text or "").strip()
    if len(rest) > MAX_LENGTH:
        raise Invalid(f"A filter has at most {MAX_LENGTH} characters.")
    found: list[Comparison] = []
    at = 0
    while at < len(rest):
        if found:
            joined = AND.match(rest, at)
            if joined is None:
                raise Invalid(f"This part of the filter isn't understood: {rest[at : at + 80]!r}. Join by AND only.")
            at = joined.end()
        match = COMPARISON.match(rest, at)
        if match is None:
            raise Invalid(f"This part of the filter isn't understood: {rest[at : at + 80]!r}.")
        found.append(_comparison(match))
        at = match.end()
    return found


def _comparison(match: re.Match[str]) -> Comparison:
    place, key = _key(match)
    sign = " ".join(match["operator"].upper().split())
    number = place == "metrics" or (place == "attributes" and key in NUMERIC)
    text = match["value"]
    if sign in ("IN", "NOT IN"):
        if number or not text.startswith("("):
            raise Invalid(f"{sign} compares a text with a list, {key!r} with ('a', 'b').")
        return Comparison(place, key, sign, _listed(text[1:-1]))
    if number:
        if sign not in NUMBERS:
            raise Invalid(f"{key!r} is a number; it can't be compared with {sign}.")
        try:
            return Comparison(place, key, sign, float(text.strip("'\"")))
        except ValueError:
            raise Invalid(f"{key!r} is compared with a number, not with {text[:80]}.") from None
    if text[0] not in "'\"":
        raise Invalid(f"{key!r} is compared with a text in quotes, not with {text[:80]}.")
    if sign not in ("=", "!=", "LIKE", "ILIKE"):
        raise Invalid(f"{key!r} is a text; it can be compared with =, !=, LIKE, ILIKE and IN, not with {sign}.")
    return Comparison(place, key, sign, text[1:-1])


def _listed(text: str) -> tuple[str, ...]:
    found, at = [], 0
    while at < len(text):
        match = LISTED.match(text, at)
        if match is None:
            raise Invalid(f"A list is written as ('a', 'b'), not as ({text[:80]}).")
        found.append(match[1] if match[1] is not None else match[2])
        at = match.end()
    return tuple(found)


def _key(match: re.Match[str]) -> tuple[str, str]:
    key = match["back"] or match["double"] or match["bare"]
    if match["place"] is None:
        return "attributes", NAMES.get(key, key)
    place = PLACES.get(match["place"].lower())
    if place is None:
        raise Invalid(f"Nothing can be searched by {match['place'][:80]!r}; use metrics, params, tags or attributes.")
    return place, NAMES.get(key, key) if place == "attributes" else key


def ordered(things: list[tuple[Thing, Any]], order_by: Sequence[str]) -> list[tuple[Thing, Any]]:
    """The things by the first order, then the second; what has no such value comes last, whatever the direction."""
    for clause in reversed(order_by):
        match = ORDER.fullmatch(clause) if len(clause) < MAX_LENGTH else None
        if match is None:
            raise Invalid(f"The order {clause[:80]!r} isn't understood.")
        place, key = _key(match)
        descending = (match["direction"] or "").upper() == "DESC"

        def value(thing: tuple[Thing, Any], place: str = place, key: str = key) -> Any:
            found = thing[0].get(place, {}).get(key)
            return None if isinstance(found, float) and found != found else found

        there = sorted((each for each in things if value(each) is not None), key=value, reverse=descending)
        things = there + [each for each in things if value(each) is None]
    return things
