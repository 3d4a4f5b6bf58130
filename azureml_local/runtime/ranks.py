"""The ranks of a distributed job: processes side by side, each with variables and a log of its own; one end for all.

Started by path with the server's own interpreter, below the job's supervisor: standard library only. Its argument is a
file with what to start (`distribution.write_plan`).

The first rank that fails is the job's reason: its number is left in a file, the others are asked to end, and ended when
they don't. Parameter servers, which serve until they are ended, end with the last worker.
"""

import contextlib
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

GRACE = 10.0


def start(argv: list[str], variables: dict[str, str], log: str | None) -> int:
    """Run one rank as a child of this process. Returns its id."""
    pid = os.fork()
    if pid == 0:
        try:
            if log is not None:
                descriptor = os.open(log, os.O_WRONLY | os.O_APPEND)
                os.dup2(descriptor, 1)
                os.dup2(descriptor, 2)
                os.close(descriptor)
            for number in (signal.SIGPIPE, signal.SIGXFSZ):  # which Python ignores, and a program inherits
                signal.signal(number, signal.SIG_DFL)
            os.execvpe(argv[0], argv, {**os.environ, **variables})
        except OSError as error:
            os.write(2, f"{argv[0]} can't be started: {error.strerror}\n".encode("utf-8", "backslashreplace"))
        finally:
            os._exit(127)
    return pid


def end(running: dict[int, int]) -> None:
    """End the ranks that still run, and wait for them."""
    for pid in running:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + GRACE
    while running:
        if time.monotonic() > deadline:
            for pid in running:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        pid = os.waitpid(-1, os.WNOHANG)[0]
        running.pop(pid, None)
        if not pid:
            time.sleep(0.02)


def main(plan: dict[str, Any]) -> int:
    """Start all ranks and wait for them. Returns the exit code of the job, negative for a signal."""
    # Who ends the job signals each of its processes; this one stays until the ranks are gone.
    for asked in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(asked, lambda *_: None)
    ranks = plan["ranks"]
    running = {start(plan["argv"], rank["variables"], rank["log"]): number for number, rank in enumerate(ranks)}
    workers = {number for number, rank in enumerate(ranks) if not rank["serves"]}
    while workers:
        pid, status = os.wait()
        if pid not in running:
            continue
        number = running.pop(pid)
        code = os.waitstatus_to_exitcode(status)
        if code:
            Path(plan["failed"]).write_text(str(number), encoding="ascii")
            print(f"Rank {number} of {len(ranks)} has failed ({code}); the others are ended.", flush=True)
            end(running)
            return code
        workers.discard(number)
    end(running)
    return 0


if __name__ == "__main__":
    ended = main(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
    if ended < 0:
        if -ended != signal.SIGKILL:  # which has no handler
            signal.signal(-ended, signal.SIG_DFL)
        os.kill(os.getpid(), -ended)
    sys.exit(ended)
