"""The part of OData that the SDK writes (azureml._restclient._odata): comparisons, ``and``, ``or``, parentheses.

The SDK puts names and values in unescaped: keys of tags with blanks, values with quotes, times with a blank. So
a key reaches to the operator, a value in double quotes to the quote after which the expression goes on, and a bare
one to the next ``and``, ``or`` or parenthesis. OData's own single quotes are read as OData has them. What can't be
read so is refused: a filter that were ignored would answer with too much.
"""

from __future__ import annotations

import re

from azureml_local.workspace.errors import Invalid
from azureml_local.workspace.filters import AllOf, AnyOf, Comparison, Filter

MAX_LENGTH = 100_000
MAX_COMPARISONS = 500
MAX_DEPTH = 20

FIELD = re.compile(r"[A-Za-z][A-Za-z0-9]*")
OPERATOR = re.compile(r"[ ](eq|ne|gt|ge|lt|le)[ ]")
JOINER = re.compile(r"[ ](and|or)[ ]")
END_OF_BARE = re.compile(r"[ ](?:and|or)[ ]|[()]")
END_OF_QUOTED = re.compile(r"\"(?=\)|$|[ ](?:and|or)[ ])")
LITERAL = re.compile(r"'([^']*(?:''[^']*)*)'")
ORDER = re.compile(r"([A-Za-z]+)(?:[ ](asc|desc))?")


def parse_filter(text: object) -> Filter | None:
    """A filter of a list; None when there is none.

    Raises:
        Invalid: the text isn't understood.
    """
    if text is None or text == "":
        return None
    if not isinstance(text, str) or len(text) > MAX_LENGTH:
        raise Invalid(f"A filter must be a text of at most {MAX_LENGTH} characters.")
    reader = _Reader(text.strip())
    found = reader.expression(0)
    if reader.at < len(reader.text):
        raise reader.misunderstood()
    return found


def parse_order(text: object, fields: tuple[str, ...]) -> tuple[str, bool] | None:
    """``Field``, ``Field asc`` or ``Field desc``: the field, as spelt in ``fields``, and whether it descends."""
    if text is None or text == "":
        return None
    match = ORDER.fullmatch(text.strip()) if isinstance(text, str) else None
    known = {field.lower(): field for field in fields}
    if match is None or match[1].lower() not in known:
        raise Invalid(f"The list can't be ordered by {str(text)[:80]!r}; it can by {', '.join(fields)}.")
    return known[match[1].lower()], match[2] == "desc"


class _Reader:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self._comparisons = 0

    def misunderstood(self) -> Invalid:
        return Invalid(f"This part of the filter isn't understood: {self.text[self.at : self.at + 80]!r}.")

    def expression(self, depth: int) -> Filter:
        operands, joiners = [self._operand(depth)], []
        while joiner := JOINER.match(self.text, self.at):
            self.at = joiner.end()
            joiners.append(joiner[1])
            operands.append(self._operand(depth))
        return _joined(operands, joiners)

    def _operand(self, depth: int) -> Filter:
        if not self.text.startswith("(", self.at):
            return self._comparison()
        if depth >= MAX_DEPTH:
            raise Invalid(f"The filter has more than {MAX_DEPTH} parentheses in each other.")
        self.at += 1
        inner = self.expression(depth + 1)
        if not self.text.startswith(")", self.at):
            raise self.misunderstood()
        self.at += 1
        # In parentheses it is one operand, whatever stands beside it.
        return AllOf((inner,)) if isinstance(inner, Comparison) else inner

    def _comparison(self) -> Comparison:
        self._comparisons += 1
        if self._comparisons > MAX_COMPARISONS:
            raise Invalid(f"The filter has more than {MAX_COMPARISONS} comparisons.")
        field = FIELD.match(self.text, self.at)
        if field is None:
            raise self.misunderstood()
        has_key = self.text.startswith("/", field.end())
        operator = (OPERATOR.search if has_key else OPERATOR.match)(self.text, field.end())
        if operator is None:
            raise self.misunderstood()
        key = self.text[field.end() + 1 : operator.start()] if has_key else None
        if key == "":
            raise self.misunderstood()
        self.at = operator.end()
        return Comparison(field[0], key, operator[1], self._value())

    def _value(self) -> str | None:
        if literal := LITERAL.match(self.text, self.at):
            self.at = literal.end()
            return literal[1].replace("''", "'")
        if self.text.startswith('"', self.at):
            end = END_OF_QUOTED.search(self.text, self.at + 1)
            if end is None:
                raise self.misunderstood()
            value = self.text[self.at + 1 : end.start()]
            self.at = end.end()
            return value
        end = END_OF_BARE.search(self.text, self.at)
        stop = end.start() if end else len(self.text)
        value = self.text[self.at : stop]
        if not value.strip() or value != value.strip() or value[0] in "'\"":
            raise self.misunderstood()
        self.at = stop
        return None if value == "null" else value


def _joined(operands: list[Filter], joiners: list[str]) -> Filter:
    """``and`` binds closer than ``or``, but closest binds an ``or`` between bare comparisons of one field.

    The SDK joins lists without parentheses, ``RunId eq a or RunId eq b and MetricType eq c``, and means the metrics
    of type c of both runs (azureml._restclient._odata.runs, get_filter_expression).
    """
    alternatives: list[list[list[Filter]]] = [[[operands[0]]]]  # joined by: or, and, or of one field
    for joiner, operand in zip(joiners, operands[1:], strict=True):
        last = alternatives[-1][-1][-1]
        if joiner == "and":
            alternatives[-1].append([operand])
        elif isinstance(last, Comparison) and isinstance(operand, Comparison) and _same_field(last, operand):
            alternatives[-1][-1].append(operand)
        else:
            alternatives.append([[operand]])
    return _any([_all([_any(group) for group in groups]) for groups in alternatives])


def _same_field(one: Comparison, other: Comparison) -> bool:
    return (one.field.lower(), one.key) == (other.field.lower(), other.key)


def _any(parts: list[Filter]) -> Filter:
    return parts[0] if len(parts) == 1 else AnyOf(tuple(parts))


def _all(parts: list[Filter]) -> Filter:
    return parts[0] if len(parts) == 1 else AllOf(tuple(parts))
