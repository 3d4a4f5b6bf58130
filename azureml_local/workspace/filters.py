"""List filters: conversion of a client's filter to database conditions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from sqlalchemy import ColumnElement, SQLColumnExpression, and_, false, func, or_, select, true

from azureml_local.storage.clock import normal
from azureml_local.workspace.errors import Invalid

T = TypeVar("T")


@dataclass(frozen=True)
class Comparison:
    """``field operator value``, or of an entry of a dictionary: ``field/key operator value``; None is null."""

    field: str
    key: str | None
    operator: str
    value: str | None


@dataclass(frozen=True)
class AllOf:
    parts: tuple[Filter, ...]


@dataclass(frozen=True)
class AnyOf:
    parts: tuple[Filter, ...]


Filter = Comparison | AllOf | AnyOf


@dataclass(frozen=True)
class Text:
    """A field that is equal to something, or not."""

    column: SQLColumnExpression[Any]


@dataclass(frozen=True)
class TimeField:
    """A field that is a time."""

    column: SQLColumnExpression[Any]


@dataclass(frozen=True)
class Entries:
    """A field that is a dictionary of texts. ``among`` says of a key and a value, or any, which rows may have that."""

    column: SQLColumnExpression[Any]
    among: Callable[[str, str | None], ColumnElement[bool]] = lambda _key, _value: true()


Field = Text | TimeField | Entries


@dataclass(frozen=True)
class Page(Generic[T]):
    """Some of a list's items, and after which of them the next page begins; None on the last page."""

    items: list[T]
    next: str | None


def condition(wanted: Filter | None, fields: Mapping[str, Field]) -> ColumnElement[bool] | None:
    """The filter in terms of these fields, named in lower case.

    Raises:
        Invalid: a field that there isn't, or an operator that makes no sense for it.
    """
    return None if wanted is None else _condition(wanted, fields)


def _condition(wanted: Filter, fields: Mapping[str, Field]) -> ColumnElement[bool]:
    if isinstance(wanted, AllOf):
        return and_(*(_condition(part, fields) for part in wanted.parts))
    if isinstance(wanted, AnyOf):
        return _any_of(wanted, fields)
    field = fields.get(wanted.field.lower())
    if field is None or isinstance(field, Entries) is (wanted.key is None):
        shown = wanted.field if wanted.key is None else f"{wanted.field}/{wanted.key}"
        raise Invalid(f"This list can't be filtered by {shown[:80]!r}; it can by {', '.join(sorted(fields))}.")
    if isinstance(field, TimeField):
        return _moment(wanted, field)
    if wanted.operator not in ("eq", "ne"):
        raise Invalid(f"{wanted.field!r} can be compared with 'eq' and 'ne' only, not with {wanted.operator!r}.")
    return _entry(wanted, field) if isinstance(field, Entries) else _text(wanted, field)


def _any_of(wanted: AnyOf, fields: Mapping[str, Field]) -> ColumnElement[bool]:
    """Many ids of one field are one list: a chain of hundreds of ORs is deeper than SQLite takes."""
    values: dict[str, list[str]] = {}
    others: list[Filter] = []
    for part in wanted.parts:
        field = fields.get(part.field.lower()) if isinstance(part, Comparison) else None
        if isinstance(part, Comparison) and isinstance(field, Text) and part.operator == "eq" and part.value:
            values.setdefault(part.field.lower(), []).append(part.value)
        else:
            others.append(part)
    listed = [field.column.in_(values[name]) for name, field in fields.items() if name in values]
    return or_(false(), *listed, *(_condition(part, fields) for part in others))


def _text(wanted: Comparison, field: Text) -> ColumnElement[bool]:
    if wanted.operator == "eq":
        return field.column.is_(None) if wanted.value is None else field.column == wanted.value
    return field.column.is_not(None) if wanted.value is None else field.column.is_distinct_from(wanted.value)


def _moment(wanted: Comparison, field: TimeField) -> ColumnElement[bool]:
    if wanted.value is None:
        return field.column.is_(None) if wanted.operator == "eq" else field.column.is_not(None)
    try:
        time = normal(wanted.value)
    except ValueError as error:
        raise Invalid(f"{wanted.field} is compared with a time: {error}") from None
    column = field.column
    compared: dict[str, ColumnElement[bool]] = {
        "eq": column == time,
        "ne": column != time,
        "gt": column > time,
        "ge": column >= time,
        "lt": column < time,
        "le": column <= time,
    }
    return compared[wanted.operator]


def _entry(wanted: Comparison, field: Entries) -> ColumnElement[bool]:
    """False where the key is missing, whatever the operator: so the SDK's ``(Tags/x ne null or Tags/x eq null)``
    means "has the tag x" (azureml._restclient._odata.constants).
    """
    assert wanted.key is not None
    entries = func.json_each(field.column).table_valued("key", "value", "type")
    if wanted.value is None:
        holds = entries.c.type == "null" if wanted.operator == "eq" else entries.c.type != "null"
    elif wanted.operator == "eq":
        holds = entries.c.value == wanted.value
    else:
        holds = entries.c.value.is_distinct_from(wanted.value)
    among = field.among(wanted.key, wanted.value if wanted.operator == "eq" else None)
    return and_(among, select(1).select_from(entries).where(entries.c.key == wanted.key, holds).exists())
