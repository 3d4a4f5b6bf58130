"""Where the seconds went: a span of time divided among causes, so that the parts add up to the whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

Span = tuple[float, float]  # from, to: seconds since 1970


def divide(whole: Span, causes: Mapping[str, Sequence[Span]], rest: str) -> dict[str, float]:
    """The seconds of ``whole`` by cause. Where spans of several causes overlap, the first cause in the order of
    ``causes`` has the time; what no cause has is the ``rest``.
    """
    marks = {whole[0], whole[1]}
    for spans in causes.values():
        marks.update(moment for span in spans for moment in span if whole[0] < moment < whole[1])
    ordered = sorted(marks)
    seconds = dict.fromkeys([*causes, rest], 0.0)
    for start, end in pairwise(ordered):
        middle = (start + end) / 2
        cause = next((name for name, spans in causes.items() if any(a <= middle < b for a, b in spans)), rest)
        seconds[cause] += end - start
    return seconds
