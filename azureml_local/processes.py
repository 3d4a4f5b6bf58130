"""Which process a number means: numbers are given to others when their process has ended."""

from __future__ import annotations

from pathlib import Path

import psutil

from azureml_local.storage.clock import boot

# Of /proc/PID/stat (proc_pid_stat(5)), behind the program's name: the state is the first field, the start the 20th.
START = 19


def identity_of(pid: int) -> str | None:
    """What no other process of any time has together with this number: when it was started. None where there is none.

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
    """The process with this number and identity; None when it has ended, or waits only to be reaped."""
    try:
        process = psutil.Process(pid)
        # The number can't go to another one while psutil has this one's start too: what is signalled is compared.
        alive = identity_of(pid) == identity and process.status() != psutil.STATUS_ZOMBIE
    except (psutil.NoSuchProcess, OverflowError, ValueError):
        return None
    return process if alive else None
