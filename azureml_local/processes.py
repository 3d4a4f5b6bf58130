"""Process identity: a PID together with the start time, since PIDs are reused."""

from __future__ import annotations

from pathlib import Path

import psutil

from azureml_local.storage.clock import boot

# Of /proc/PID/stat (proc_pid_stat(5)), behind the program's name: the state is the first field, the start the 20th.
START = 19


def identity_of(pid: int) -> str | None:
    """Identity of the process with this PID: its start time, which no other process with the same PID shares. None
    where there is none.

    On Linux in ticks since the machine was started, and which start that was: psutil's ``create_time`` is counted from
    1970, and moves with every step of the wall clock.
    """
    try:
        text = Path(f"/proc/{pid}/stat").read_bytes()
        return f"{boot()} {int(text.rpartition(b')')[2].split()[START])}"
    except (FileNotFoundError, ProcessLookupError):
        pass  # no such process, or no /proc
    except (IndexError, ValueError):
        return None
    try:
        return None if psutil.LINUX else repr(psutil.Process(pid).create_time())
    except psutil.Error:
        return None


def find(pid: int, identity: str) -> psutil.Process | None:
    """The process with this PID and identity; None when it has ended or is a zombie."""
    try:
        process = psutil.Process(pid)
        # psutil compares the start time too before it signals, so a reused PID is never signalled.
        alive = identity_of(pid) == identity and process.status() != psutil.STATUS_ZOMBIE
    except (psutil.NoSuchProcess, OverflowError, ValueError):
        return None
    return process if alive else None
