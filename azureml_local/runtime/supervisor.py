"""What stands beside a job: it starts the job's first process, and ends when that has ended and nothing else is left.

Started by path with the server's own interpreter, so that it needs nothing but the standard library. It outlives the
server: how the job ended is in the status file for whichever server asks next.

On another machine than the server's it doesn't outlive who started it: there it is on a lease, and ends the job when
nobody has pulled at that for a while, or when its holder is gone. So no job goes on where its run can't see it.

On Linux it adopts what its job leaves behind (PR_SET_CHILD_SUBREAPER, prctl(2)): a daemon that forks twice and leaves
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
# As a shell says it: the program isn't there, or can't be run.
NOT_FOUND, NOT_RUNNABLE = 127, 126
# A process that can't be ended (it hangs in the kernel) must not keep a run from its end.
PATIENCE = 10.0


def adopt_orphans() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def start(argv: list[str], open_files: int) -> int:
    """Run a program as a child of this process, with a soft limit of open files. Returns its id."""
    # Asking the job to end is done by signals to its group; they are the job's own business, not the keeper's. A
    # handler, where "ignore" would be inherited by the job.
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: None)
    pid = os.fork()
    if pid == 0:
        try:
            # Python ignores these two, and a program inherits what is ignored.
            for number in (signal.SIGPIPE, signal.SIGXFSZ):
                signal.signal(number, signal.SIG_DFL)
            # The server has raised its own, and it is inherited.
            resource.setrlimit(resource.RLIMIT_NOFILE, (open_files, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
            os.execvp(argv[0], argv)
        except OSError as error:
            os.write(2, f"{argv[0]} can't be started: {error.strerror}\n".encode("utf-8", "backslashreplace"))
            os._exit(NOT_FOUND if isinstance(error, FileNotFoundError) else NOT_RUNNABLE)
    return pid


def wait_for(pid: int) -> int:
    """Wait until a child has ended, and for every orphan that ends before it. Returns its wait status."""
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
    """Whatever the job left behind ends with it, as on a node that is given back."""
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
    """Wait for a word of the server, which says it once it has written this process down.

    A server that is killed before that closes the pipe, and the job never begins: so no job runs that nobody knows of.
    Returns the pipe, out of the job's reach; None when nothing was said.
    """
    told = bool(os.read(0, 1))
    pipe = os.dup(0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return pipe if told else None


def hold(lease: int, seconds: float) -> None:
    """End the job when nobody has pulled at the lease for so long, or its other end is gone."""
    while select.select([lease], [], [], seconds)[0] and os.read(lease, 4096):
        pass
    while True:
        for pid in descendants():
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)


def put_back(status_file: str, number: int, code: int) -> None:
    """Write the status anew where the job has removed its file, or put something else in the place of it."""
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
    """Remove the run's short folder (storage.short_folders), which lies elsewhere: the server may be gone.

    The job may have made the link point anywhere. What can't be removed here is left to the server.
    """
    try:
        place = os.readlink(os.path.join(folder, "short"))
        found = os.lstat(place)
    except OSError:
        return
    named = place.startswith("/") and "/../" not in place and os.path.basename(place).startswith("azl-")
    if named and stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid():
        import shutil  # here, where the job doesn't wait for it

        shutil.rmtree(place, ignore_errors=True)


def main(status_file: str, lease_seconds: float, held: list[int], open_files: int, argv: list[str]) -> None:
    server = os.getppid()
    # Open as long as this process lives, which says that the job uses what they are of; no business of the job's own.
    for descriptor in held:
        os.set_inheritable(descriptor, False)
    if (lease := told_to_begin()) is None:
        return
    adopt_orphans()
    # Room for the exit status is taken now: when the job has filled the disk, its end can still be written. That the
    # file is there says that the job began.
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
    if os.getppid() != server:  # gone; else it is the server's to do, when nothing more is done for the run
        remove_short_folder(os.path.dirname(status_file))


if __name__ == "__main__":
    main(
        sys.argv[1],
        float(sys.argv[2]),
        [int(number) for number in sys.argv[3].split()],
        int(sys.argv[4]),
        sys.argv[5:],
    )
