"""Kinds of faults that can be injected. Imports little, since the command line has a command for each."""

from __future__ import annotations

from enum import Enum


class FaultKind(str, Enum):
    """Kind of an injected fault; the values are the command line's names."""

    QUOTA_EXCEEDED = "quota-exceeded"
    ALLOCATION_FAILED = "allocation-failed"
    QUEUE_STUCK = "queue-stuck"
    BUILD_FAILED = "build-failed"
    NODE_LOST = "node-lost"
    THROTTLED = "throttled"
    UNAVAILABLE = "unavailable"

    @property
    def words(self) -> str:
        return _WORDS[self]

    @property
    def held(self) -> bool:
        """Whether the fault is a state that lasts until it is cleared; the others are events, which occur a number of
        times.
        """
        return self in (FaultKind.ALLOCATION_FAILED, FaultKind.QUEUE_STUCK)

    @property
    def of_requests(self) -> bool:
        """Whether the fault applies to requests; the others apply to computes."""
        return self in (FaultKind.THROTTLED, FaultKind.UNAVAILABLE)


_WORDS = {
    FaultKind.QUOTA_EXCEEDED: "A cluster that is created ends in the state Failed, for lack of quota.",
    FaultKind.ALLOCATION_FAILED: "A cluster gets no new node, and its status has the error. Until it is cleared.",
    FaultKind.QUEUE_STUCK: "Runs stay Queued, even if nodes are free. Until it is cleared.",
    FaultKind.BUILD_FAILED: "The environment of the next run fails to build.",
    FaultKind.NODE_LOST: "The node of a running job is lost, or of the next one that runs.",
    FaultKind.THROTTLED: "A request is answered 429, with Retry-After.",
    FaultKind.UNAVAILABLE: "A request is answered 503, with Retry-After.",
}
