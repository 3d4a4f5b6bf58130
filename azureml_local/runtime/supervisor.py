"""Supervisor of a job: starts the job's main process, and ends when no process of the job is left.

Started by path with the server's own interpreter, so that it needs nothing but the standard library. It outlives the
server: it writes the job's exit status to the status file, from which a later server reads it.

On a remote machine it doesn't outlive the worker: there it has a lease, and ends the job when the lease wasn't renewed
in time, or when its holder is gone. So no job continues unobserved by its run.

On Linux it adopts the job's orphaned processes (PR_SET_CHILD_SUBREAPER, prctl(2)): a daemon that forks twice and leaves
its session and process group becomes a child of this process instead of the machine's first one, and is found.
"""

import contextlib
import ctypes
import os
import resource
import select
import signal
import stat
import sys
import threading
import time

PR_SET_CHILD_SUBREAPER = 36
# Exit codes as a shell gives them: the program isn't there, or can't be run.
NOT_FOUND, NOT_RUNNABLE = 127, 126
# A process that can't be killed (it hangs in the kernel) must not keep a run from ending.
PATIENCE = 10.0
ORPHANED = 1.0


def adopt_orphans() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def start(argv: list[str], open_files: int) -> int:
    """Run a program as a child of this process, with a soft limit of open files. Returns its PID."""
    # The job is terminated by signals to its group; they are meant for the job, not for its supervisor. A handler,
    # since "ignore" would be inherited by the job.
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: None)
    pid = os.fork()
    if pid == 0:
        try:
            # Python ignores these two signals, and a program inherits that.
            for number in (signal.SIGPIPE, signal.SIGXFSZ):
                signal.signal(number, signal.SIG_DFL)
            # The server has raised its own limit, which is inherited.
            resource.setrlimit(resource.RLIMIT_NOFILE, (open_files, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
            os.execvp(argv[0], argv)
        except OSError as error:
            os.write(2, f"{argv[0]} can't be started: {error.strerror}\n".encode("utf-8", "backslashreplace"))
            os._exit(NOT_FOUND if isinstance(error, FileNotFoundError) else NOT_RUNNABLE)
    return pid


def wait_for(pid: int) -> int:
    """Wait for a child, and reap every orphan that ends before it. Returns the child's wait status."""
    while True:
        ended, status = os.wait()
        if ended == pid:
            return status


def descendants() -> list[int]:
    """The processes below this one; none where there is no /proc."""
    parents: dict[int, int] = {}
    with contextlib.suppress(OSError):
        for name in os.listdir("/proc"):
            if name.isdigit():
                with contextlib.suppress(OSError), open(f"/proc/{name}/stat", "rb") as file:
                    # After the program's name, which may hold blanks and brackets: the state, then the parent.
                    parents[int(name)] = int(file.read().rpartition(b")")[2].split()[1])
    found = {os.getpid()}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return sorted(found - {os.getpid()})


def end_what_is_left() -> None:
    """Kill the processes that the job left behind, as on a node that is released."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        for pid in descendants():
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        time.sleep(0.005)


def told_to_begin() -> int | None:
    """Wait for the server's start signal, which it sends once it has stored this process's identity.

    If the server is killed before that, the pipe closes and the job never begins: so no unknown job runs.
    Returns the pipe, which the job doesn't inherit; None when there was no signal.
    """
    told = bool(os.read(0, 1))
    pipe = os.dup(0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return pipe if told else None


def hold(lease: int, seconds: float) -> None:
    """End the job when the lease wasn't renewed for so many seconds, or its other end is closed."""
    while select.select([lease], [], [], seconds)[0] and os.read(lease, 4096):
        pass
    while True:
        for pid in descendants():
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)


def put_back(status_file: str, number: int, code: int) -> None:
    """Rewrite the status file if the job has removed or replaced it."""
    with contextlib.suppress(OSError):
        if os.lstat(status_file).st_ino == number:
            return
    fresh = f"{status_file}.{os.getpid()}"
    try:
        os.makedirs(os.path.dirname(status_file), exist_ok=True)
        file = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        os.write(file, f"{code:<8}".encode())
        os.close(file)
        if os.path.isdir(status_file) and not os.path.islink(status_file):
            os.rename(status_file, f"{fresh}.folder")
        os.replace(fresh, status_file)
    except OSError as error:
        os.write(2, f"The job's exit status can't be kept: {error}\n".encode("utf-8", "backslashreplace"))


def remove_short_folder(folder: str) -> None:
    """Remove the run's short folder (storage.short_folders), which lies outside the run's folder: the server may be
    gone.

    The job may have made the link point anywhere. What can't be removed here is left to the server.
    """
    try:
        place = os.readlink(os.path.join(folder, "short"))
        found = os.lstat(place)
    except OSError:
        return
    named = place.startswith("/") and "/../" not in place and os.path.basename(place).startswith("azl-")
    if named and stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid():
        import shutil  # imported here, where it doesn't delay the job

        shutil.rmtree(place, ignore_errors=True)


def orphaned(server: int) -> bool:
    """Whether the server has ended. A process that is killed closes its files a moment before it gives its children
    away.
    """
    deadline = time.monotonic() + ORPHANED
    while os.getppid() == server and time.monotonic() < deadline:
        time.sleep(0.01)
    return os.getppid() != server


def main(
    status_file: str, lease_seconds: float, held: list[int], open_files: int, server: int, argv: list[str]
) -> None:
    # Open as long as this process runs, as locks of the shared folders that the job uses; not inherited by the job.
    for descriptor in held:
        os.set_inheritable(descriptor, False)
    if (lease := told_to_begin()) is None:
        if orphaned(server):  # it was killed; else it does this itself
            remove_short_folder(os.path.dirname(status_file))
        return
    adopt_orphans()
    # Disk space for the exit status is allocated now: so it can be written even when the job has filled the disk. The
    # existence of the file means that the job began.
    with open(status_file, "wb", buffering=0) as status:
        status.write(b" " * 8)
        pid = start(argv, open_files)
        if lease_seconds:
            threading.Thread(target=hold, args=(lease, lease_seconds), daemon=True).start()
        code = os.waitstatus_to_exitcode(wait_for(pid))
        status.seek(0)
        status.write(f"{code:<8}".encode())
        os.fsync(status.fileno())
        number = os.fstat(status.fileno()).st_ino
    end_what_is_left()
    put_back(status_file, number, code)
    if os.getppid() != server:  # removed; if not, the server does it when the run is finished
        remove_short_folder(os.path.dirname(status_file))


if __name__ == "__main__":
    main(
        sys.argv[1],
        float(sys.argv[2]),
        [int(number) for number in sys.argv[3].split()],
        int(sys.argv[4]),
        int(sys.argv[5]),
        sys.argv[6:],
    )
