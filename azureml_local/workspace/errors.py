"""Errors of requests to the workspace. The server maps each to an HTTP status."""

from __future__ import annotations


class WorkspaceError(Exception):
    """The message is shown to the user: what was wrong, where, and what to do."""

    code = "UserError"


class NotFound(WorkspaceError):
    """There is no such thing in the workspace."""

    code = "NotFound"


class Conflict(WorkspaceError):
    """It exists already, or is not in a state that allows this."""

    code = "Conflict"


class Invalid(WorkspaceError):
    """The request is not valid."""

    code = "BadArgument"


class NotBuilt(WorkspaceError):
    """Azure has it, this workspace does not (yet)."""

    code = "NotImplemented"
